/* The order matters: what needs rights comes before they are given up. */
#include "server/confine/confine.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILTER_MAX = 4096 };

/* ---- descriptors, signals, limits ---- */

/* For kernels before 5.11. */
static int mark_each(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return -1;
    for (struct dirent *d; (d = readdir(dir));) {
        int fd = isdigit((unsigned char) d->d_name[0]) ? atoi(d->d_name) : 0;
        if (fd > STDERR_FILENO)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    closedir(dir);
    return 0;
}

int confine_descriptors(void)
{
    return syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0 ? 0 : mark_each();
}

void confine_signals_and_limits(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL); /* fails for KILL, STOP and the C library's own */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    umask(022);
}

/* ---- user ---- */

int confine_user(const struct confine_plan *p)
{
    gid_t group = p->gid;
    if (!p->change_user)
        return 0;
    if (setgroups(1, &group) != 0 || setresgid(p->gid, p->gid, p->gid) != 0 || setresuid(p->uid, p->uid, p->uid) != 0)
        return -1;
    return 0;
}

/* ---- seccomp ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_decode(const char *hex, uint8_t *out, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(hex[2 * i]), low = high < 0 ? -1 : hex_digit(hex[2 * i + 1]);
        if (low < 0)
            return -1;
        out[i] = (uint8_t) (high << 4 | low);
    }
    return 0;
}

int confine_filter(const char *hex)
{
    static struct sock_filter instructions[FILTER_MAX];
    size_t size = strlen(hex) / 2;
    if (size == 0 || size % sizeof *instructions != 0 || size > sizeof instructions || hex_decode(hex, (uint8_t *) instructions, size) != 0) {
        errno = EINVAL;
        return -1;
    }
    struct sock_fprog program = {.len = (unsigned short) (size / sizeof *instructions), .filter = instructions};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* ---- all ---- */

enum confine_stage confine_apply(const struct confine_plan *p)
{
    confine_signals_and_limits();
    if (confine_descriptors() != 0)
        return CONFINE_STAGE_DESCRIPTORS;
    if (p->view && confine_view(p) != 0)
        return CONFINE_STAGE_VIEW;
    if (confine_user(p) != 0)
        return CONFINE_STAGE_USER;
    if (chdir(p->folder) != 0)
        return CONFINE_STAGE_FOLDER;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || confine_landlock(p) != 0)
        return CONFINE_STAGE_LANDLOCK;
    return p->filter && confine_filter(p->filter) != 0 ? CONFINE_STAGE_FILTER : 0;
}
