/* From a socket to a process to what /proc says of its rights. */
#include "net/conn_process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/conn_uid.h"

enum { STATUS_MAX = 8192, LINK_MAX_SIZE = 64 };

/* ---- one process ---- */

int conn_process_no_new_privs(const char *status)
{
    const char *line = strstr(status, "\nNoNewPrivs:\t");
    return line && (line[13] == '0' || line[13] == '1') ? line[13] - '0' : -1;
}

static int read_no_new_privs(const char *process)
{
    char path[64], text[STATUS_MAX];
    snprintf(path, sizeof path, "/proc/%s/status", process);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[size > 0 ? size : 0] = '\0';
    return conn_process_no_new_privs(text);
}

static bool read_namespace(const char *process, char out[LINK_MAX_SIZE])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/user", process);
    ssize_t size = readlink(path, out, LINK_MAX_SIZE - 1);
    out[size > 0 ? size : 0] = '\0';
    return size > 0;
}

bool conn_process_is_confined(int pid)
{
    char process[16], own[LINK_MAX_SIZE], other[LINK_MAX_SIZE];
    snprintf(process, sizeof process, "%d", pid);
    int bound = read_no_new_privs(process);
    if (bound < 0 || (bound == 1 && read_no_new_privs("self") != 1))
        return true;
    return read_namespace("self", own) && (!read_namespace(process, other) || strcmp(own, other) != 0);
}

/* ---- whose socket it is ---- */

static bool holds(const char *process, const char *link)
{
    char path[64], found[LINK_MAX_SIZE];
    snprintf(path, sizeof path, "/proc/%.16s/fd", process);
    DIR *dir = opendir(path);
    bool held = false;
    for (struct dirent *d; !held && dir && (d = readdir(dir));) {
        ssize_t size = readlinkat(dirfd(dir), d->d_name, found, sizeof found - 1);
        found[size > 0 ? size : 0] = '\0';
        held = strcmp(found, link) == 0;
    }
    if (dir)
        closedir(dir);
    return held;
}

static bool holders_confined(uint64_t inode)
{
    char link[LINK_MAX_SIZE];
    unsigned holders = 0;
    bool confined = false;
    snprintf(link, sizeof link, "socket:[%llu]", (unsigned long long) inode);
    DIR *dir = opendir("/proc");
    for (struct dirent *d; !confined && dir && (d = readdir(dir));) {
        if (!isdigit((unsigned char) d->d_name[0]) || !holds(d->d_name, link))
            continue;
        holders++;
        confined = conn_process_is_confined(atoi(d->d_name));
    }
    if (dir)
        closedir(dir);
    return confined || holders == 0;
}

/* ---- a Unix socket's ---- */

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

uint64_t conn_process_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

bool conn_process_began_after(int pid, uint64_t ms)
{
    char path[64], text[STATUS_MAX];
    unsigned long long ticks;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[size > 0 ? size : 0] = '\0';
    const char *behind = strrchr(text, ')'); /* a name may hold anything */
    if (!behind || sscanf(behind, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks) != 1)
        return true;
    return ticks * 1000 / (unsigned long long) sysconf(_SC_CLK_TCK) > ms;
}

static bool has_ended(int pidfd)
{
    struct pollfd look = {.fd = pidfd, .events = POLLIN};
    return poll(&look, 1, 0) != 0;
}

/* What is read of a number is the connector's if he lives afterwards. */
static bool connector_confined(int fd, uint64_t taken_ms)
{
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    int pidfd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0 || conn_process_is_confined(credentials.pid))
        return true;
    size = sizeof pidfd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) != 0)
        return errno != ENOPROTOOPT || conn_process_began_after(credentials.pid, taken_ms);
    bool ended = has_ended(pidfd);
    close(pidfd);
    return ended;
}

bool conn_process_confined(int fd, const struct addr *local, const struct addr *peer, uint64_t taken_ms)
{
    struct conn_owner owner;
    if (local->u.any.sa_family == AF_UNIX)
        return connector_confined(fd, taken_ms);
    return conn_uid_find(peer, local, &owner) != 0 || holders_confined(owner.inode);
}
