/* Reading /proc: processes, groups, and whose socket listens. */
#include "server/supervise/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "net/listening.h"

enum { STAT_MAX = 1024, ENVIRON_MAX = 1024 * 1024, END_TRIES = 64 };

static ssize_t read_small(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n;
}

/* ---- processes ---- */

int proc_stat_parse(struct slice text, struct proc_stat *out)
{
    char line[STAT_MAX];
    size_t size = text.size < sizeof line - 1 ? text.size : sizeof line - 1;
    memcpy(line, text.data, size);
    line[size] = '\0';
    const char *behind = strrchr(line, ')'); /* the name may hold anything, ')' too */
    long long start = 0;
    if (!behind || sscanf(line, "%d", &out->pid) != 1 ||
        sscanf(behind, ") %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %lld", &out->state, &out->group,
               &start) != 3)
        return GRID_EPROTO;
    out->start_time = (uint64_t) start;
    return 0;
}

int proc_stat_read(int pid, struct proc_stat *out)
{
    char path[64], text[STAT_MAX];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    ssize_t n = read_small(path, text, sizeof text);
    if (n <= 0)
        return GRID_ENOENT;
    return proc_stat_parse(slice_of(text, (size_t) n), out);
}

/* Calls fn for every process of the group until it returns false. */
static void each_member(int group, bool (*fn)(void *ctx, const struct proc_stat *member), void *ctx)
{
    DIR *dir = opendir("/proc");
    bool more = dir != NULL;
    for (struct dirent *d; more && (d = readdir(dir)) != NULL;) {
        struct proc_stat member;
        if (isdigit((unsigned char) d->d_name[0]) && proc_stat_read(atoi(d->d_name), &member) == 0 && member.group == group)
            more = fn(ctx, &member);
    }
    if (dir)
        closedir(dir);
}

void proc_boot_id(char out[37])
{
    char text[64];
    ssize_t n = read_small("/proc/sys/kernel/random/boot_id", text, sizeof text);
    snprintf(out, 37, "%.36s", n >= 36 ? text : "");
}

struct group_end {
    uint64_t start_time;
    unsigned ended;
};

static bool end_member(void *ctx, const struct proc_stat *member)
{
    struct group_end *g = ctx;
    if (member->state != 'Z' && member->start_time >= g->start_time && kill(member->pid, SIGKILL) == 0)
        g->ended++;
    return true;
}

unsigned proc_group_end(int group, uint64_t start_time)
{
    struct proc_stat leader;
    if (group <= 1 || (proc_stat_read(group, &leader) == 0 && leader.start_time != start_time))
        return 0; /* the number belongs to somebody else by now */
    struct group_end g = {.start_time = start_time};
    each_member(group, end_member, &g);
    return g.ended;
}

static bool is_marked(int pid, const char *mark, char *room)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    ssize_t size = read_small(path, room, ENVIRON_MAX);
    for (const char *at = room; at < room + size; at += strlen(at) + 1)
        if (strcmp(at, mark) == 0)
            return true;
    return false;
}

unsigned proc_marked_end(const char *mark)
{
    unsigned ended = 0;
    char *room = malloc(ENVIRON_MAX);
    DIR *dir = room ? opendir("/proc") : NULL;
    for (struct dirent *d; dir && (d = readdir(dir)) != NULL;) {
        int pid = isdigit((unsigned char) d->d_name[0]) ? atoi(d->d_name) : 0;
        if (pid > 1 && pid != getpid() && is_marked(pid, mark, room) && kill(pid, SIGKILL) == 0)
            ended++;
    }
    if (dir)
        closedir(dir);
    free(room);
    return ended;
}

/* From its status: the owner of its folder in /proc is root for one that made itself undumpable. */
static bool is_of_user(int pid, uint32_t uid)
{
    char path[64], text[4096];
    unsigned real;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    ssize_t size = read_small(path, text, sizeof text);
    const char *line = size > 0 ? strstr(text, "\nUid:") : NULL;
    return line && sscanf(line, "\nUid: %u", &real) == 1 && real == uid;
}

static void end_each_of(uint32_t uid)
{
    DIR *dir = opendir("/proc");
    for (struct dirent *d; dir && (d = readdir(dir)) != NULL;) {
        int pid = isdigit((unsigned char) d->d_name[0]) ? atoi(d->d_name) : 0;
        if (pid > 1 && pid != getpid() && is_of_user(pid, uid))
            kill(pid, SIGKILL);
    }
    if (dir)
        closedir(dir);
}

/* Becomes that user with no right of root's, and is sure of it, since -1 means whomever it may signal. */
_Noreturn static void end_all_as(uint32_t uid)
{
    struct __user_cap_header_struct version = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct nothing[_LINUX_CAPABILITY_U32S_3] = {{0}};
    bool is_theirs = uid != 0 && syscall(SYS_setresuid, uid, uid, uid) == 0 && getuid() == uid && geteuid() == uid && syscall(SYS_capset, &version, nothing) == 0 &&
                     kill(getppid(), 0) != 0 && errno == EPERM;
    _exit(is_theirs && (kill(-1, SIGKILL) == 0 || errno == ESRCH) ? 0 : 1);
}

/* Its exit status; one that was stopped instead, by one of theirs, is ended. */
static int wait_for_end(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, WUNTRACED) < 0 && errno == EINTR)
        continue;
    if (WIFSTOPPED(status)) {
        kill(child, SIGKILL);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    return status;
}

/* By one call of the kernel's: who forks and exits over and over is not found by looking through /proc. False: to be tried again, since there was no process for it, or one of theirs was
 * quicker. */
static bool end_all_of(uint32_t uid)
{
    if (geteuid() != 0) /* who is not root has no user of its own for tasks */
        return true;
    pid_t child = fork();
    if (child == 0)
        end_all_as(uid);
    return child > 0 && WIFEXITED(wait_for_end(child));
}

void proc_user_end(uint32_t uid)
{
    for (int i = 0; i < END_TRIES && !end_all_of(uid); i++)
        end_each_of(uid);
    end_each_of(uid); /* where the kernel did not let it */
}

/* ---- listeners ---- */

/* The kernel prints each 32-bit word as a number in host order: on these little-endian machines the first byte of 127.0.0.1 comes last. */
static bool is_loopback(const char *address)
{
    size_t size = strlen(address);
    if (size == 8)
        return strcmp(address + 6, "7F") == 0;
    if (size != 32)
        return false;
    bool mapped = strncmp(address, "0000000000000000FFFF0000", 24) == 0;
    return strcmp(address, "00000000000000000000000001000000") == 0 || (mapped && strcmp(address + 30, "7F") == 0);
}

bool proc_listener_parse(struct slice text, uint16_t port, uint64_t *inode, bool *wide)
{
    char line[512], address[40];
    unsigned local_port, state;
    unsigned long long number;
    if (text.size == 0 || text.size >= sizeof line)
        return false;
    memcpy(line, text.data, text.size);
    line[text.size] = '\0';
    if (sscanf(line, " %*d: %39[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %llu", address, &local_port, &state, &number) != 4)
        return false;
    *inode = number;
    *wide = !is_loopback(address);
    return local_port == port && state == 0x0A; /* TCP_LISTEN */
}

/* False when the table cannot be read. */
static bool add_listeners(const char *table, uint16_t port, struct listening *l)
{
    FILE *f = fopen(table, "re");
    if (!f)
        return false;
    char line[512];
    while (l->count < LISTENING_MAX && fgets(line, sizeof line, f)) {
        bool wide;
        if (!proc_listener_parse(slice_of_str(line), port, &l->inodes[l->count], &wide))
            continue;
        l->count++;
        l->wide |= wide;
    }
    fclose(f);
    return true;
}

/* By one question to the kernel; where it does not answer, by its tables of all sockets. */
static bool find_listeners(uint16_t port, struct listening *l)
{
    if (listening_find(port, l) == 0)
        return true;
    *l = (struct listening){0};
    bool shown = add_listeners("/proc/net/tcp", port, l);
    return add_listeners("/proc/net/tcp6", port, l) || shown;
}

static bool is_listener(const struct listening *l, const char *link)
{
    unsigned long long inode;
    if (sscanf(link, "socket:[%llu]", &inode) != 1)
        return false;
    for (size_t i = 0; i < l->count; i++) {
        if (l->inodes[i] == inode)
            return true;
    }
    return false;
}

struct owner_search {
    const struct listening *listeners;
    enum proc_owner found;
};

static bool holds_listener(int folder, const char *name, const struct listening *l)
{
    char link[64];
    ssize_t n = readlinkat(folder, name, link, sizeof link - 1);
    if (n <= 0)
        return false;
    link[n] = '\0';
    return is_listener(l, link);
}

static bool search_member(void *ctx, const struct proc_stat *member)
{
    struct owner_search *search = ctx;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", member->pid);
    DIR *dir = opendir(path);
    if (!dir) {
        if (errno == EACCES || errno == EPERM)
            search->found = PROC_OWNER_UNKNOWN; /* it runs as somebody else */
        return true;
    }
    bool holds = false;
    for (struct dirent *d; !holds && (d = readdir(dir)) != NULL;)
        holds = holds_listener(dirfd(dir), d->d_name, search->listeners);
    closedir(dir);
    if (holds)
        search->found = PROC_OWNER_GROUP;
    return !holds;
}

enum proc_owner proc_port_owner(uint16_t port, int group, bool *wide)
{
    struct listening l;
    bool shown = find_listeners(port, &l);
    *wide = l.wide;
    if (l.count == 0)
        return shown ? PROC_OWNER_NOBODY : PROC_OWNER_UNKNOWN;
    struct owner_search search = {.listeners = &l, .found = PROC_OWNER_OTHER};
    struct proc_stat leader = {.pid = group, .group = group};
    if (search_member(&search, &leader)) /* nearly always it is the leader: no need to look at every process there is */
        each_member(group, search_member, &search);
    return search.found;
}
