/* libc's functions that look at or change files, by syscall(2), with a look at the plan before and a note on the tape after. */
#include "tests/faults/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct plan {
    unsigned kinds; /* that count */
    bool kills, half;
    int errnum; /* of the call that fails; 0: a write by half */
    uint64_t at, seen;
    bool spoilt, spoilt_sync;
    struct tape *tape;
    const void *skipped;
} plan;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void calls_pass(void)
{
    plan = (struct plan){0};
}

void calls_kill_at(unsigned kinds, uint64_t at, bool half)
{
    plan = (struct plan){.kinds = kinds, .kills = true, .half = half, .at = at};
}

void calls_fail_at(unsigned kinds, uint64_t at, int errnum)
{
    plan = (struct plan){.kinds = kinds, .errnum = errnum, .at = at};
}

uint64_t calls_seen(void)
{
    return plan.seen;
}

bool calls_spoilt(void)
{
    return plan.spoilt;
}

bool calls_spoilt_a_sync(void)
{
    return plan.spoilt_sync;
}

void calls_record(struct tape *tape, const void *skipped)
{
    plan.tape = tape;
    plan.skipped = skipped;
}

void calls_mark(uint32_t number)
{
    struct tape_op op = {.kind = TAPE_MARK, .mode = number};
    if (plan.tape)
        tape_add(plan.tape, &op, NULL, 0);
}

/* ---- before a call ---- */

enum verdict { GO_ON, FAIL, HALVE };

static void die(void)
{
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

static enum verdict judge(enum calls_kind kind)
{
    if (!(plan.kinds & kind) || plan.seen++ != plan.at)
        return GO_ON;
    if (plan.kills && plan.half && kind == CALLS_WRITE)
        return HALVE;
    if (plan.kills)
        die();
    plan.spoilt = true;
    plan.spoilt_sync = kind == CALLS_SYNC;
    errno = plan.errnum;
    return plan.errnum != 0 ? FAIL : HALVE;
}

/* Begins a call; the lock is held until leave(). */
static enum verdict enter(enum calls_kind kind)
{
    pthread_mutex_lock(&lock);
    if (plan.tape)
        plan.tape->calls++;
    return judge(kind);
}

static long leave(long result)
{
    int errnum = errno;
    pthread_mutex_unlock(&lock);
    errno = errnum;
    return result;
}

/* ---- after a call ---- */

static struct tape_op note(enum tape_kind kind)
{
    return (struct tape_op){.kind = kind, .call = plan.tape->calls};
}

/* The folder in which the last part of the path stands, and that part. */
static uint64_t folder_of(int dir_fd, const char *path, char name[TAPE_NAME_MAX])
{
    char folder[4096];
    struct stat st = {0};
    const char *slash = strrchr(path, '/');
    snprintf(name, TAPE_NAME_MAX, "%s", slash ? slash + 1 : path);
    if (!slash && dir_fd != AT_FDCWD)
        fstat(dir_fd, &st);
    else {
        snprintf(folder, sizeof folder, "%.*s", slash ? (int) (slash - path) : 1, slash ? path : ".");
        fstatat(dir_fd, folder, &st, 0);
    }
    return st.st_ino;
}

static void note_new(int dir_fd, const char *path, const char *target)
{
    struct tape_op op = note(TAPE_ENTER);
    struct stat st = {0};
    fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW);
    op.made = true;
    op.dir = folder_of(dir_fd, path, op.name);
    op.node = st.st_ino;
    op.mode = st.st_mode;
    op.mtime = st.st_mtim;
    tape_add(plan.tape, &op, target, target ? strlen(target) : 0);
}

static void note_pages(uint64_t node, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct tape_op op = note(TAPE_WRITE);
    op.node = node;
    for (size_t done = 0, part; done < size; done += part) {
        op.offset = offset + done;
        part = TAPE_PAGE - op.offset % TAPE_PAGE;
        part = part < size - done ? part : size - done;
        tape_add(plan.tape, &op, bytes + done, part);
    }
}

static void note_write(int fd, uint64_t offset, const void *bytes, long size)
{
    struct stat st;
    if (plan.tape && size > 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        note_pages(st.st_ino, offset, bytes, (size_t) size);
}

/* What was copied from one file to another. */
static void note_copy(int from, uint64_t from_offset, int to, uint64_t offset, long size)
{
    static uint8_t bytes[1 << 20];
    for (long done = 0, n; plan.tape && done < size; done += n) {
        long want = size - done < (long) sizeof bytes ? size - done : (long) sizeof bytes;
        n = syscall(SYS_pread64, from, bytes, want, from_offset + (uint64_t) done);
        if (n <= 0)
            return;
        note_write(to, offset + (uint64_t) done, bytes, n);
    }
}

static void note_file(enum tape_kind kind, int fd)
{
    struct stat st;
    if (!plan.tape || fstat(fd, &st) != 0)
        return;
    struct tape_op op = note(kind);
    op.node = st.st_ino;
    op.offset = (uint64_t) st.st_size;
    op.mode = st.st_mode;
    op.mtime = st.st_mtim;
    tape_add(plan.tape, &op, NULL, 0);
}

static void note_removed(int dir_fd, const char *path)
{
    struct tape_op op = note(TAPE_REMOVE);
    op.dir = folder_of(dir_fd, path, op.name);
    tape_add(plan.tape, &op, NULL, 0);
}

static void note_renamed(int from_fd, const char *from, int to_fd, const char *to)
{
    struct tape_op op = note(TAPE_RENAME);
    op.dir = folder_of(from_fd, from, op.name);
    op.to_dir = folder_of(to_fd, to, op.to_name);
    tape_add(plan.tape, &op, NULL, 0);
}

/* ---- opening ---- */

static long open_file(int dir_fd, const char *path, int flags, unsigned mode)
{
    struct stat st;
    bool creates = flags & O_CREAT;
    bool is_new = creates && plan.tape && fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) != 0;
    if (enter(creates ? CALLS_CREATE : CALLS_OPEN) == FAIL)
        return leave(-1);
    long fd = syscall(SYS_openat, dir_fd, path, flags, mode);
    if (fd >= 0 && plan.tape && is_new)
        note_new(dir_fd, path, NULL);
    else if (fd >= 0 && flags & O_TRUNC)
        note_file(TAPE_SIZE, (int) fd);
    return leave(fd);
}

#define MODE_ARGUMENT(mode, flags)                  \
    unsigned mode = 0;                              \
    if ((flags) & O_CREAT) {                        \
        va_list args;                               \
        va_start(args, flags);                      \
        mode = va_arg(args, unsigned);              \
        va_end(args);                               \
    }

int open(const char *path, int flags, ...)
{
    MODE_ARGUMENT(mode, flags)
    return (int) open_file(AT_FDCWD, path, flags, mode);
}

int openat(int dir_fd, const char *path, int flags, ...)
{
    MODE_ARGUMENT(mode, flags)
    return (int) open_file(dir_fd, path, flags, mode);
}

/* ---- bytes ---- */

ssize_t read(int fd, void *out, size_t size)
{
    return leave(enter(CALLS_READ) == FAIL ? -1 : syscall(SYS_read, fd, out, size));
}

ssize_t pread(int fd, void *out, size_t size, off_t offset)
{
    return leave(enter(CALLS_READ) == FAIL ? -1 : syscall(SYS_pread64, fd, out, size, offset));
}

static long write_at(int fd, const void *bytes, size_t size, off_t offset, bool moves)
{
    enum verdict verdict = enter(CALLS_WRITE);
    if (verdict == FAIL)
        return leave(-1);
    if (verdict == HALVE)
        size = (size + 1) / 2;
    long n = moves ? syscall(SYS_write, fd, bytes, size) : syscall(SYS_pwrite64, fd, bytes, size, offset);
    if (verdict == HALVE && plan.kills)
        die();
    note_write(fd, (uint64_t) offset, bytes, n);
    return leave(n);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    return write_at(fd, bytes, size, plan.tape ? lseek(fd, 0, SEEK_CUR) : 0, true);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return write_at(fd, bytes, size, offset, false);
}

ssize_t copy_file_range(int from, off_t *from_offset, int to, off_t *to_offset, size_t size, unsigned flags)
{
    if (enter(CALLS_COPY) == FAIL)
        return leave(-1);
    off_t start = from_offset ? *from_offset : lseek(from, 0, SEEK_CUR), to_start = to_offset ? *to_offset : lseek(to, 0, SEEK_CUR);
    long n = syscall(SYS_copy_file_range, from, from_offset, to, to_offset, size, flags);
    note_copy(from, (uint64_t) start, to, (uint64_t) to_start, n);
    return leave(n);
}

int ioctl(int fd, unsigned long request, ...)
{
    struct stat st;
    va_list args;
    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (request != FICLONE)
        return (int) syscall(SYS_ioctl, fd, request, argument);
    if (enter(CALLS_COPY) == FAIL)
        return (int) leave(-1);
    int from = (int) (intptr_t) argument;
    long result = syscall(SYS_ioctl, fd, request, argument);
    if (result == 0 && fstat(from, &st) == 0)
        note_copy(from, 0, fd, 0, st.st_size);
    return (int) leave(result);
}

int ftruncate(int fd, off_t size)
{
    if (enter(CALLS_SIZE) == FAIL)
        return (int) leave(-1);
    long result = syscall(SYS_ftruncate, fd, size);
    if (result == 0)
        note_file(TAPE_SIZE, fd);
    return (int) leave(result);
}

/* ---- making it last ---- */

static void remember_site(const void *site)
{
    for (uint32_t i = 0; plan.tape && i < plan.tape->site_count; i++)
        if (plan.tape->sites[i] == site)
            return;
    if (plan.tape && plan.tape->site_count < TAPE_SITES_MAX)
        plan.tape->sites[plan.tape->site_count++] = site;
}

static int sync_from(const void *site, int fd, enum tape_kind kind)
{
    if (enter(CALLS_SYNC) == FAIL)
        return (int) leave(-1);
    remember_site(site);
    if (!plan.skipped || site != plan.skipped)
        note_file(kind, fd);
    return (int) leave(0);
}

__attribute__((noinline)) int fsync(int fd)
{
    return sync_from(__builtin_return_address(0), fd, TAPE_SYNC);
}

__attribute__((noinline)) int fdatasync(int fd)
{
    return sync_from(__builtin_return_address(0), fd, TAPE_SYNC);
}

__attribute__((noinline)) int syncfs(int fd)
{
    return sync_from(__builtin_return_address(0), fd, TAPE_SYNC_ALL);
}

/* ---- names ---- */

int mkdirat(int dir_fd, const char *path, mode_t mode)
{
    if (enter(CALLS_NAME) == FAIL)
        return (int) leave(-1);
    long result = syscall(SYS_mkdirat, dir_fd, path, mode);
    if (result == 0 && plan.tape)
        note_new(dir_fd, path, NULL);
    return (int) leave(result);
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int symlinkat(const char *target, int dir_fd, const char *path)
{
    if (enter(CALLS_NAME) == FAIL)
        return (int) leave(-1);
    long result = syscall(SYS_symlinkat, target, dir_fd, path);
    if (result == 0 && plan.tape)
        note_new(dir_fd, path, target);
    return (int) leave(result);
}

int linkat(int from_fd, const char *from, int dir_fd, const char *path, int flags)
{
    if (enter(CALLS_NAME) == FAIL)
        return (int) leave(-1);
    long result = syscall(SYS_linkat, from_fd, from, dir_fd, path, flags);
    if (result == 0 && plan.tape) {
        note_new(dir_fd, path, NULL);
        plan.tape->ops[plan.tape->count - 1].made = false;
    }
    return (int) leave(result);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    if (enter(CALLS_NAME) == FAIL)
        return (int) leave(-1);
    long result = syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    if (result == 0 && plan.tape)
        note_renamed(from_fd, from, to_fd, to);
    return (int) leave(result);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return renameat2(from_fd, from, to_fd, to, 0);
}

int unlinkat(int dir_fd, const char *path, int flags)
{
    if (enter(CALLS_REMOVE) == FAIL)
        return (int) leave(-1);
    long result = syscall(SYS_unlinkat, dir_fd, path, flags);
    if (result == 0 && plan.tape)
        note_removed(dir_fd, path);
    return (int) leave(result);
}

/* ---- modes and times ---- */

int futimens(int fd, const struct timespec times[2])
{
    if (enter(CALLS_META) == FAIL)
        return (int) leave(-1);
    long result = syscall(SYS_utimensat, fd, NULL, times, 0);
    note_file(TAPE_META, fd);
    return (int) leave(result);
}

int fchmod(int fd, mode_t mode)
{
    if (enter(CALLS_META) == FAIL)
        return (int) leave(-1);
    long result = syscall(SYS_fchmod, fd, mode);
    note_file(TAPE_META, fd);
    return (int) leave(result);
}
