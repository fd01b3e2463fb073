/* Listening sockets, TCP and Unix. */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "net/conn.h"

enum { LISTENER_BATCH = 64, LISTENER_EMFILE_PAUSE_MS = 100, LISTENER_NAMED_MS = 60 * 1000 };

struct listener {
    uv_poll_t poll;
    struct loop *loop;
    listener_fn on_accept;
    void *ctx;
    struct loop_timer pause;
    uint64_t named_ms; /* when it was last said that it pauses; 0: never */
    int fd;
    bool closed;
    struct addr at;
    struct stat made; /* of a Unix socket: whether the file is still ours */
};

static void on_poll(uv_poll_t *handle, int status, int events);

static void listener_resume(void *arg)
{
    struct listener *l = arg;
    uv_poll_start(&l->poll, UV_READABLE, on_poll);
}

static void listener_pause(struct listener *l, int errnum)
{
    uint64_t now_ms = loop_now_ms(l->loop);
    if (l->named_ms == 0 || now_ms - l->named_ms >= LISTENER_NAMED_MS) {
        log_line(LOG_WARN, "connections cannot be accepted for the moment", LOGF_STR("why", strerror(errnum)));
        l->named_ms = now_ms;
    }
    uv_poll_stop(&l->poll);
    loop_timer_start(l->loop, &l->pause, LISTENER_EMFILE_PAUSE_MS, listener_resume, l);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct listener *l = handle->data;
    (void) status;
    (void) events;
    for (int i = 0; i < LISTENER_BATCH && !l->closed; i++) {
        struct addr from = {.size = sizeof from.u};
        int fd = accept4(l->fd, &from.u.any, &from.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            l->on_accept(l->ctx, fd, &from);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            listener_pause(l, errno);
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

/* Nobody answers on a socket file that was left behind. */
static bool unix_is_stale(const struct addr *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool stale = connect(fd, &at->u.any, at->size) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

/* What stands at the path, links not followed: only a socket that was left behind may go, never a file that happens to have the name. */
static int unix_remove_stale(const struct addr *at)
{
    struct stat info;
    if (lstat(at->u.path.sun_path, &info) != 0)
        return GRID_EBUSY;
    if (!S_ISSOCK(info.st_mode))
        return GRID_EEXIST;
    return unix_is_stale(at) && unlink(at->u.path.sun_path) == 0 ? 0 : GRID_EBUSY;
}

static int error_of_bind(int errnum)
{
    switch (errnum) {
    case EADDRINUSE:
        return GRID_EBUSY;
    case EACCES:
    case EPERM:
        return GRID_EPERM;
    default:
        return GRID_EIO;
    }
}

static int socket_bind(int fd, const struct addr *at)
{
    if (bind(fd, &at->u.any, at->size) == 0)
        return 0;
    if (errno != EADDRINUSE || at->u.any.sa_family != AF_UNIX)
        return error_of_bind(errno);
    int err = unix_remove_stale(at);
    if (err != 0)
        return err;
    return bind(fd, &at->u.any, at->size) == 0 ? 0 : error_of_bind(errno);
}

/* Between bind and listen nobody can connect: permissions are in place before the first. */
static int unix_set_permissions(const struct addr *at, const struct listener_options *options)
{
    const char *path = at->u.path.sun_path;
    if (options->socket_group) {
        struct group *group = getgrnam(options->socket_group);
        if (!group || lchown(path, (uid_t) -1, group->gr_gid) != 0)
            return GRID_EPERM;
    }
    if (options->socket_mode && chmod(path, options->socket_mode) != 0)
        return GRID_EPERM;
    return 0;
}

static int socket_listen(const struct addr *at, const struct listener_options *options, int *out)
{
    int one = 1, v6only = !options->dual_stack, err;
    int fd = socket(at->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return GRID_EIO;
    if (at->u.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
    if (at->u.any.sa_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (options->reuse_port && !options->first)
            setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    }
    err = socket_bind(fd, at);
    if (err == 0 && at->u.any.sa_family == AF_UNIX)
        err = unix_set_permissions(at, options);
    if (err == 0 && listen(fd, SOMAXCONN) != 0)
        err = error_of_bind(errno);
    /* Alone on the port, it may be shared from now on: the kernel looks at the option of both when the next one binds. Not before
     * listen: two that only have bound (SO_REUSEADDR lets them) would both get through. */
    if (err == 0 && options->reuse_port && options->first)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (err != 0) {
        close(fd);
        return err;
    }
    *out = fd;
    return 0;
}

int listener_create(struct loop *l, const struct addr *at, const struct listener_options *options, listener_fn on_accept, void *ctx,
                    struct addr *bound, struct listener **out)
{
    static const struct listener_options none = {0};
    int fd, err = socket_listen(at, options ? options : &none, &fd);
    if (err != 0)
        return err;
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener || uv_poll_init(loop_uv(l), &listener->poll, fd) != 0) {
        free(listener);
        close(fd);
        return GRID_ENOMEM;
    }
    listener->poll.data = listener;
    listener->loop = l;
    listener->on_accept = on_accept;
    listener->ctx = ctx;
    listener->fd = fd;
    listener->at = *at;
    if (at->u.any.sa_family == AF_UNIX)
        lstat(at->u.path.sun_path, &listener->made);
    else
        getsockname(fd, &listener->at.u.any, &listener->at.size);
    if (bound)
        *bound = listener->at;
    uv_poll_start(&listener->poll, UV_READABLE, on_poll);
    *out = listener;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void listener_close(struct listener *l)
{
    struct stat now;
    if (l->closed)
        return;
    l->closed = true;
    loop_timer_stop(&l->pause);
    if (l->at.u.any.sa_family == AF_UNIX && lstat(l->at.u.path.sun_path, &now) == 0 && now.st_ino == l->made.st_ino &&
        now.st_dev == l->made.st_dev)
        unlink(l->at.u.path.sun_path);
    uv_close((uv_handle_t *) &l->poll, on_closed);
    close(l->fd);
}
