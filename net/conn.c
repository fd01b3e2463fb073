/* Byte streams over uv_poll: non-blocking reads into the loop's scratch block, and one write of all that an iteration queued. */
#include "net/conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "net/conn_internal.h"
#include "net/conn_process.h"
#include "net/conn_uid.h"
#include "net/refusal_log.h"
#include "net/tls_session.h"

enum {
    CONN_HANDSHAKE_TIMEOUT_MS = 5000,
    CONN_FINISH_TIMEOUT_MS = 5000,
    CONN_LINGER_TIMEOUT_MS = 1000, /* for the other side's end, so that close does not reset what it has yet to read */
    CONN_LOW_MARK = 64 * 1024,
    CONN_READS_PER_TURN = 4,
    CONN_KEEP_CAPACITY = 64 * 1024, /* a drained buffer larger than this is given back */
    CONN_THIN_RTO_MAX_MS = 1000,  /* the least that the kernel takes */
    CONN_TCP_RTO_MAX_MS = 44,     /* TCP_RTO_MAX_MS of Linux 6.15: headers of today lack it, older kernels refuse it */
};

enum conn_state {
    CONN_AWAITING, /* a carrier is to bring its stream: no descriptor yet */
    CONN_CONNECTING,
    CONN_HANDSHAKING,
    CONN_OPEN,
    CONN_FINISHING, /* writing the rest */
    CONN_LINGERING, /* our half is ended; reading until the other's is */
    CONN_CLOSED,    /* on_close is due */
};

/* A queue to the kernel: what was sent stays in front until there is a reason to move the rest. */
struct conn_queue {
    struct buf bytes;
    size_t sent;
    uint64_t total; /* taken by the kernel, ever */
};

struct conn {
    uv_poll_t poll;
    struct loop *loop;
    const struct conn_events *events;
    void *ctx;
    struct conn_queue out; /* in the clear */
    struct conn_queue wire; /* under TLS: ciphertext of what was in `out` */
    struct loop_deferred flush;
    struct loop_deferred moving; /* to another loop, below */
    struct loop *to;
    void (*arrived)(void *ctx, struct conn *c);
    void *arrived_ctx;
    struct loop_timer timer;
    struct tls_session *tls;
    int fd;
    int watched; /* uv_poll's events */
    int close_err;
    enum conn_state state;
    bool polled; /* its poll is the loop's */
    bool accepted;
    bool paused;
    bool peer_ended;
    bool above_mark;
    bool uid_known;
    bool confined_known, confined;
    bool was_connected;
    bool wiped;
    uint32_t handshake_timeout_ms; /* begins when connected; 0: has begun */
    int uid_err;
    uid_t uid;
    gid_t gid;
    struct addr peer, local;
    uint64_t taken_ms; /* when it was accepted, since boot */
};

/* ---- closing ---- */

static void conn_free(struct conn *c)
{
    tls_session_destroy(c->tls);
    buf_dispose(&c->out.bytes);
    buf_dispose(&c->wire.bytes);
    free(c);
}

static void conn_end(void *arg)
{
    struct conn *c = arg;
    c->events->on_close(c->ctx, c, c->close_err);
    conn_free(c);
}

static void on_handle_closed(uv_handle_t *handle)
{
    conn_end(handle->data);
}

static void conn_fail(struct conn *c, int err)
{
    if (c->state == CONN_CLOSED)
        return;
    if (c->state == CONN_AWAITING)
        carrier_forget(loop_carrier(c->loop), c);
    c->state = CONN_CLOSED;
    c->close_err = err;
    loop_defer_cancel(&c->flush);
    loop_defer_cancel(&c->moving);
    loop_timer_stop(&c->timer);
    if (c->polled)
        uv_close((uv_handle_t *) &c->poll, on_handle_closed);
    else
        loop_defer(c->loop, &c->flush, conn_end, c);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void conn_close(struct conn *c)
{
    conn_fail(c, 0);
}

static void conn_connected(struct conn *c);
static void conn_watch(struct conn *c);

/* Timers come before events: on a machine that was slow the answer may be there already. */
static bool has_connected_meanwhile(const struct conn *c)
{
    struct pollfd at = {.fd = c->fd, .events = POLLOUT};
    return c->state == CONN_CONNECTING && poll(&at, 1, 0) == 1;
}

static void on_timeout(void *arg)
{
    struct conn *c = arg;
    if (c->handshake_timeout_ms != 0 && has_connected_meanwhile(c)) {
        conn_connected(c);
        conn_watch(c);
        return;
    }
    conn_fail(c, c->state == CONN_LINGERING ? 0 : GRID_ETIMEOUT);
}

/* ---- watching ---- */

static size_t queue_size(const struct conn_queue *q)
{
    return q->bytes.size - q->sent;
}

static bool conn_wants_read(const struct conn *c)
{
    if (c->state == CONN_CONNECTING || c->peer_ended)
        return false;
    return !c->paused || c->state != CONN_OPEN;
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void conn_watch(struct conn *c)
{
    if (c->state == CONN_CLOSED || c->state == CONN_AWAITING)
        return;
    int wanted = conn_wants_read(c) ? UV_READABLE : 0;
    if (c->state == CONN_CONNECTING || queue_size(&c->wire) > 0 || (!c->tls && queue_size(&c->out) > 0))
        wanted |= UV_WRITABLE;
    if (wanted == c->watched)
        return;
    c->watched = wanted;
    if (wanted == 0)
        uv_poll_stop(&c->poll);
    else
        uv_poll_start(&c->poll, wanted, on_poll);
}

/* ---- writing ---- */

static void queue_trim(struct conn_queue *q)
{
    if (q->sent == q->bytes.size) {
        q->sent = 0;
        if (q->bytes.capacity > CONN_KEEP_CAPACITY && !q->bytes.wiped)
            buf_dispose(&q->bytes);
        else
            buf_clear(&q->bytes);
    } else if (q->sent > q->bytes.size / 2) {
        buf_consume(&q->bytes, q->sent);
        q->sent = 0;
    }
}

/* Hands the kernel what it takes. 0 (perhaps with a rest), or GRID_ECLOSED. */
static int queue_send(struct conn_queue *q, int fd)
{
    while (q->sent < q->bytes.size) {
        ssize_t count = send(fd, q->bytes.data + q->sent, q->bytes.size - q->sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (count < 0)
            return GRID_ECLOSED;
        q->sent += (size_t) count;
        q->total += (uint64_t) count;
    }
    queue_trim(q);
    return 0;
}

/* Encrypts what is queued, unless the kernel has yet to take earlier ciphertext. */
static int conn_encrypt(struct conn *c)
{
    if (c->state >= CONN_OPEN && queue_size(&c->out) > 0 && queue_size(&c->wire) < CONN_LOW_MARK) {
        int err = tls_session_write(c->tls, slice_from(buf_slice(&c->out.bytes), c->out.sent));
        if (err != 0)
            return err;
        c->out.sent = c->out.bytes.size;
        queue_trim(&c->out);
    }
    return tls_session_drain(c->tls, &c->wire.bytes);
}

static int conn_send(struct conn *c)
{
    if (!c->tls)
        return queue_send(&c->out, c->fd);
    for (;;) {
        int err = conn_encrypt(c);
        if (err == 0)
            err = queue_send(&c->wire, c->fd);
        if (err != 0 || c->state < CONN_OPEN || queue_size(&c->wire) > 0 || queue_size(&c->out) == 0)
            return err;
    }
}

static void conn_drop_queued(struct conn *c)
{
    buf_dispose(&c->out.bytes);
    buf_dispose(&c->wire.bytes);
    c->out.sent = c->wire.sent = 0;
}

static void conn_read_turn(struct conn *c);

/* The other side is gone for writing; what it said before that is still heard. */
static void conn_write_failed(struct conn *c)
{
    conn_drop_queued(c);
    if (c->state == CONN_OPEN && !c->paused && !c->peer_ended)
        conn_read_turn(c);
    conn_fail(c, GRID_ECLOSED);
}

static void conn_linger(struct conn *c)
{
    c->state = CONN_LINGERING;
    if (c->peer_ended) {
        conn_fail(c, 0);
        return;
    }
    shutdown(c->fd, SHUT_WR);
    loop_timer_start(c->loop, &c->timer, CONN_LINGER_TIMEOUT_MS, on_timeout, c);
}

/* All that was queued is with the kernel: the TLS farewell, then our half's end. */
static void conn_finish_step(struct conn *c)
{
    if (c->tls) {
        tls_session_end(c->tls);
        tls_session_drain(c->tls, &c->wire.bytes);
        queue_send(&c->wire, c->fd);
    }
    conn_linger(c);
}

static void conn_tell_drained(struct conn *c)
{
    if (!c->above_mark || conn_queued(c) >= CONN_LOW_MARK)
        return;
    c->above_mark = false;
    if (c->state == CONN_OPEN && c->events->on_drained)
        c->events->on_drained(c->ctx, c);
}

static void conn_flush(void *arg)
{
    struct conn *c = arg;
    if (c->state <= CONN_CONNECTING || c->state >= CONN_LINGERING)
        return;
    if (conn_send(c) != 0) {
        conn_write_failed(c);
        return;
    }
    if (c->state == CONN_FINISHING && conn_queued(c) == 0)
        conn_finish_step(c);
    conn_tell_drained(c);
    conn_watch(c);
}

void conn_flush_later(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    if (conn_queued(c) > CONN_LOW_MARK)
        c->above_mark = true;
    loop_defer(c->loop, &c->flush, conn_flush, c);
}

int conn_write(struct conn *c, struct slice bytes)
{
    if (c->state >= CONN_FINISHING)
        return GRID_ECLOSED;
    int err = buf_append(&c->out.bytes, bytes);
    conn_flush_later(c);
    return err;
}

void conn_set_wiped(struct conn *c)
{
    c->wiped = true;
    buf_set_wiped(&c->out.bytes, true);
    if (c->tls)
        tls_session_set_wiped(c->tls);
}

bool conn_is_wiped(const struct conn *c)
{
    return c->wiped;
}

struct buf *conn_out(struct conn *c)
{
    return &c->out.bytes;
}

size_t conn_queued(const struct conn *c)
{
    return queue_size(&c->out) + queue_size(&c->wire);
}

uint64_t conn_written(const struct conn *c)
{
    return c->tls ? c->wire.total : c->out.total;
}

void conn_finish(struct conn *c)
{
    if (c->state >= CONN_FINISHING)
        return;
    if (c->state < CONN_OPEN) {
        conn_close(c);
        return;
    }
    c->state = CONN_FINISHING;
    loop_timer_start(c->loop, &c->timer, CONN_FINISH_TIMEOUT_MS, on_timeout, c);
    conn_flush_later(c);
    conn_watch(c);
}

/* ---- reading ---- */

/* `data` is the loop's scratch. */
static void conn_deliver(struct conn *c, uint8_t *data, size_t size)
{
    if (c->state == CONN_OPEN)
        c->events->on_read(c->ctx, c, slice_of(data, size));
    if (c->wiped)
        explicit_bzero(data, size);
}

static void conn_ended(struct conn *c)
{
    c->peer_ended = true;
    if (c->state == CONN_OPEN && c->events->on_end)
        c->events->on_end(c->ctx, c);
    else if (c->state == CONN_OPEN || c->state == CONN_LINGERING)
        conn_fail(c, 0);
    else if (c->state == CONN_HANDSHAKING)
        conn_fail(c, GRID_ECLOSED);
}

static void conn_opened(struct conn *c)
{
    c->state = CONN_OPEN;
    loop_timer_stop(&c->timer);
    if (queue_size(&c->out) > 0)
        conn_flush_later(c);
    if (c->events->on_open)
        c->events->on_open(c->ctx, c);
}

/* Each thread goes by its own. */
static bool refusal_is_named(const struct conn *c, const char *why)
{
    static _Thread_local struct refusal_log said;
    uint64_t left_out;
    if (!refusal_log_names(&said, &c->peer, why, loop_now_ms(c->loop), &left_out))
        return false;
    if (left_out > 0)
        log_line(LOG_WARN, "more TLS connections were refused or broken than are named here", LOGF_INT("left_out", (int64_t) left_out));
    return true;
}

/* Says once why, with the address; the alert still goes out. */
static void conn_tls_failed(struct conn *c, int err)
{
    char peer[ADDR_TEXT_MAX];
    addr_format(&c->peer, peer);
    if (refusal_is_named(c, tls_session_why(c->tls)))
        log_line(LOG_WARN, "a TLS connection was refused or broken", LOGF_STR("peer", peer), LOGF_STR("why", tls_session_why(c->tls)));
    if (tls_session_drain(c->tls, &c->wire.bytes) == 0)
        queue_send(&c->wire, c->fd);
    conn_fail(c, err);
}

static void conn_handshake(struct conn *c)
{
    int err = tls_session_handshake(c->tls);
    if (err == 0) {
        conn_opened(c);
    } else if (err != GRID_EAGAIN) {
        conn_tls_failed(c, err);
    }
    conn_flush_later(c);
}

/* Decrypts everything that has arrived, as long as somebody wants it. */
static void conn_decrypt(struct conn *c)
{
    struct loop_scratch scratch = loop_scratch(c->loop);
    while (c->state != CONN_CLOSED && conn_wants_read(c)) {
        ptrdiff_t count = tls_session_read(c->tls, scratch.data, scratch.size);
        if (count == 0)
            break;
        if (count == GRID_ECLOSED)
            conn_ended(c);
        else if (count < 0)
            conn_tls_failed(c, (int) count);
        else
            conn_deliver(c, scratch.data, (size_t) count);
    }
    if (c->state != CONN_CLOSED)
        conn_flush_later(c); /* TLS itself may have something to say */
}

static void conn_received(struct conn *c, uint8_t *data, size_t size)
{
    if (!c->tls || c->state == CONN_LINGERING) {
        conn_deliver(c, data, size);
        return;
    }
    if (tls_session_receive(c->tls, slice_of(data, size)) != 0) {
        conn_fail(c, GRID_ENOMEM);
        return;
    }
    if (c->state == CONN_HANDSHAKING)
        conn_handshake(c);
    if (c->state == CONN_OPEN || c->state == CONN_FINISHING)
        conn_decrypt(c);
}

/* A few reads, so that one fast sender does not keep the others waiting. */
static void conn_read_turn(struct conn *c)
{
    struct loop_scratch scratch = loop_scratch(c->loop);
    for (int i = 0; i < CONN_READS_PER_TURN && c->state != CONN_CLOSED && conn_wants_read(c); i++) {
        ssize_t count = recv(c->fd, scratch.data, scratch.size, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (count < 0)
            conn_fail(c, c->state == CONN_LINGERING ? 0 : errno == ETIMEDOUT ? GRID_ETIMEOUT : GRID_ECLOSED);
        else if (count == 0)
            conn_ended(c);
        else
            conn_received(c, scratch.data, (size_t) count);
        if (count < (ssize_t) scratch.size)
            return;
    }
}

bool conn_is_quiet(const struct conn *c)
{
    uint8_t byte;
    if (c->state != CONN_OPEN || c->peer_ended)
        return false;
    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

void conn_pause(struct conn *c)
{
    c->paused = true;
    conn_watch(c);
}

static void conn_resumed(void *arg)
{
    struct conn *c = arg;
    conn_flush(c);
    if (c->state == CONN_OPEN && !c->paused && c->tls)
        conn_decrypt(c);
    conn_watch(c);
}

/* In place of a plain flush that may be due already: it would hold this one back. */
static void conn_resume_later(struct conn *c)
{
    loop_defer_cancel(&c->flush);
    loop_defer(c->loop, &c->flush, conn_resumed, c);
}

/* Under TLS, records that were taken in before the pause are still inside: they come at the end of the iteration. */
void conn_resume(struct conn *c)
{
    if (!c->paused || c->state == CONN_CLOSED)
        return;
    c->paused = false;
    if (c->tls)
        conn_resume_later(c);
    conn_watch(c);
}

/* ---- connecting ---- */

static int error_of_connect(int errnum)
{
    switch (errnum) {
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
        return GRID_ETIMEOUT; /* nobody answered: no witness of a dead process */
    default:
        return GRID_EREFUSED; /* nothing was sent, whatever the reason */
    }
}

static void conn_read_addrs(struct conn *c)
{
    c->local.size = sizeof c->local.u;
    c->peer.size = sizeof c->peer.u;
    if (getsockname(c->fd, &c->local.u.any, &c->local.size) != 0)
        c->local.size = 0;
    if (getpeername(c->fd, &c->peer.u.any, &c->peer.size) != 0)
        c->peer.size = 0;
}

/* The stream below is up: TLS, or open. */
static void conn_connected(struct conn *c)
{
    struct addr dialled = c->peer;
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        conn_fail(c, error_of_connect(error));
        return;
    }
    conn_read_addrs(c);
    c->peer = dialled;
    c->was_connected = true;
    if (!c->tls) {
        conn_opened(c);
        return;
    }
    c->state = CONN_HANDSHAKING;
    if (c->handshake_timeout_ms != 0)
        loop_timer_start(c->loop, &c->timer, c->handshake_timeout_ms, on_timeout, c);
    conn_handshake(c);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct conn *c = handle->data;
    loop_event(c->loop);
    if (c->state == CONN_CONNECTING) {
        conn_connected(c);
    } else if (status < 0) {
        conn_read_turn(c); /* what came before the error, then the error */
        conn_fail(c, GRID_ECLOSED);
    } else {
        if (events & UV_READABLE)
            conn_read_turn(c);
        if (events & UV_WRITABLE)
            conn_flush(c);
    }
    conn_watch(c);
}

/* A host that vanished without a word is noticed within about two minutes. */
static void socket_keep_alive(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 60},
        {IPPROTO_TCP, TCP_KEEPINTVL, 15},
        {IPPROTO_TCP, TCP_KEEPCNT, 4},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value);
}

static void socket_set_options(int fd, const struct addr *peer)
{
    int one = 1;
    if (peer->u.any.sa_family != AF_INET && peer->u.any.sa_family != AF_INET6)
        return;
    if (!addr_is_loopback(peer))
        socket_keep_alive(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* By its own end, which is known once it is connected: the other may be named otherwise. */
static bool is_tcp(const struct conn *c)
{
    const struct addr *end = c->local.size > 0 ? &c->local : &c->peer;
    return c->fd >= 0 && (end->u.any.sa_family == AF_INET || end->u.any.sa_family == AF_INET6);
}

void conn_make_thin(struct conn *c, uint32_t unacknowledged_ms)
{
    int one = 1, off = 0, timeout = (int) unacknowledged_ms, rto_max = CONN_THIN_RTO_MAX_MS;
    if (!is_tcp(c))
        return;
    setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &off, sizeof off);
    setsockopt(c->fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &one, sizeof one);
    setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    setsockopt(c->fd, IPPROTO_TCP, CONN_TCP_RTO_MAX_MS, &rto_max, sizeof rto_max);
}

uint32_t conn_round_trip_us(const struct conn *c)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    return is_tcp(c) && getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_rtt : 0;
}

/* Takes fd, also on failure. */
static int conn_new(struct loop *l, int fd, bool accepted, const struct conn_options *options, const struct conn_events *events,
                    void *ctx, struct conn **out)
{
    struct conn *c = calloc(1, sizeof *c);
    int err = c ? 0 : GRID_ENOMEM;
    if (err == 0 && options && options->tls)
        err = tls_session_create(options->tls, accepted, &c->tls);
    if (err == 0 && uv_poll_init(loop_uv(l), &c->poll, fd) != 0)
        err = GRID_EIO;
    if (err != 0) {
        if (c)
            tls_session_destroy(c->tls);
        free(c);
        close(fd);
        return err;
    }
    c->poll.data = c;
    c->polled = true;
    c->loop = l;
    c->fd = fd;
    c->accepted = accepted;
    c->taken_ms = accepted ? conn_process_now_ms() : 0;
    c->events = events;
    c->ctx = ctx;
    buf_init(&c->out.bytes, 0);
    buf_init(&c->wire.bytes, 0);
    *out = c;
    return 0;
}

static void conn_start_clock(struct conn *c, const struct conn_options *options)
{
    uint32_t timeout = options && options->handshake_timeout_ms ? options->handshake_timeout_ms : CONN_HANDSHAKE_TIMEOUT_MS;
    loop_timer_start(c->loop, &c->timer, timeout, on_timeout, c);
}

/* Of a dial. */
static void conn_start_clocks(struct conn *c, const struct conn_options *options)
{
    conn_start_clock(c, options);
    if (options && options->connect_timeout_ms != 0) {
        c->handshake_timeout_ms = options->handshake_timeout_ms != 0 ? options->handshake_timeout_ms : CONN_HANDSHAKE_TIMEOUT_MS;
        loop_timer_start(c->loop, &c->timer, options->connect_timeout_ms, on_timeout, c);
    }
}

int conn_dial(struct loop *l, const struct addr *to, const struct conn_options *options, const struct conn_events *events,
              void *ctx, struct conn **out)
{
    if (addr_is_member(to))
        return conn_await(l, to, options, events, ctx, out);
    int fd = socket(to->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return GRID_EIO;
    socket_set_options(fd, to);
    int err = conn_new(l, fd, false, options, events, ctx, out);
    if (err != 0)
        return err;
    struct conn *c = *out;
    c->peer = *to;
    c->state = CONN_CONNECTING;
    if (connect(fd, &to->u.any, to->size) != 0 && errno != EINPROGRESS && errno != EINTR) {
        conn_fail(c, error_of_connect(errno));
        return 0;
    }
    conn_start_clocks(c, options);
    conn_watch(c);
    return 0;
}

int conn_adopt(struct loop *l, int fd, const struct conn_options *options, const struct conn_events *events, void *ctx,
               struct conn **out)
{
    int err = conn_new(l, fd, true, options, events, ctx, out);
    if (err != 0)
        return err;
    struct conn *c = *out;
    conn_read_addrs(c);
    socket_set_options(fd, &c->peer);
    if (options && options->from && c->peer.u.any.sa_family == AF_UNIX)
        c->peer = *options->from;
    c->was_connected = true;
    c->state = c->tls ? CONN_HANDSHAKING : CONN_OPEN;
    if (c->tls)
        conn_start_clock(c, options);
    conn_watch(c);
    return 0;
}

int conn_pair(struct loop *l, const struct conn_events *events, void *ctx, struct conn **out, int *far)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        return GRID_EIO;
    int err = conn_adopt(l, fds[0], NULL, events, ctx, out);
    if (err != 0)
        close(fds[1]);
    *far = fds[1];
    return err;
}

/* ---- streams that a carrier brings ---- */

int conn_await(struct loop *l, const struct addr *to, const struct conn_options *options, const struct conn_events *events, void *ctx, struct conn **out)
{
    struct carrier *k = loop_carrier(l);
    struct conn *c = k && options && options->tls ? calloc(1, sizeof *c) : NULL;
    if (!c)
        return k ? GRID_ENOMEM : GRID_EIO;
    *c = (struct conn){.loop = l, .fd = -1, .state = CONN_AWAITING, .events = events, .ctx = ctx, .peer = *to};
    buf_init(&c->out.bytes, 0);
    buf_init(&c->wire.bytes, 0);
    int err = tls_session_create(options->tls, false, &c->tls);
    if (err == 0)
        err = carrier_want(k, c, to, options->tls);
    if (err != 0) {
        conn_free(c);
        return err;
    }
    conn_start_clocks(c, options);
    *out = c;
    return 0;
}

/* False when it had to fail: the descriptor stays with the caller. */
static bool conn_take_stream(struct conn *c, int fd)
{
    carrier_forget(loop_carrier(c->loop), c);
    if (uv_poll_init(loop_uv(c->loop), &c->poll, fd) != 0) {
        c->state = CONN_CONNECTING; /* forgotten already */
        conn_fail(c, GRID_EIO);
        return false;
    }
    c->poll.data = c;
    c->polled = true;
    c->fd = fd;
    c->state = CONN_CONNECTING;
    return true;
}

void conn_begin(struct conn *c, int fd)
{
    if (!conn_take_stream(c, fd)) {
        close(fd);
        return;
    }
    conn_connected(c);
    conn_watch(c);
}

void conn_give_up(struct conn *c)
{
    conn_fail(c, GRID_ETIMEOUT);
}

static void on_released(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    c->arrived(c->arrived_ctx, c);
}

void conn_release(struct conn *open, void (*taken)(void *ctx, struct conn *open), void *ctx)
{
    open->state = CONN_CLOSED;
    open->arrived = taken;
    open->arrived_ctx = ctx;
    loop_defer_cancel(&open->flush);
    loop_defer_cancel(&open->moving);
    loop_timer_stop(&open->timer);
    uv_close((uv_handle_t *) &open->poll, on_released);
}

void conn_assume(struct conn *c, struct conn *released)
{
    struct tls_session *before = c ? c->tls : NULL;
    if (!c || !conn_take_stream(c, released->fd)) {
        close(released->fd);
        conn_free(released);
        return;
    }
    c->tls = released->tls;
    released->tls = before;
    buf_dispose(&c->wire.bytes);
    c->wire = released->wire;
    buf_init(&released->wire.bytes, 0);
    c->local = released->local;
    c->was_connected = true;
    conn_free(released);
    conn_opened(c);
    if (c->state == CONN_OPEN)
        conn_resume_later(c);
    conn_watch(c);
}

/* ---- moving to another loop ---- */

/* On the new loop's thread. */
static void conn_arrive(void *arg)
{
    struct conn *c = arg;
    c->loop = c->to;
    c->paused = false;
    c->watched = 0;
    if (uv_poll_init(loop_uv(c->loop), &c->poll, c->fd) != 0)
        abort(); /* the descriptor is ours alone and epoll had it a moment ago */
    c->poll.data = c;
    c->arrived(c->arrived_ctx, c);
    if (c->state == CONN_OPEN)
        conn_resume_later(c);
    conn_watch(c);
}

static void on_left(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    if (loop_post(c->to, conn_arrive, c) != 0)
        abort(); /* nobody would ever close it */
}

static void conn_leave(void *arg)
{
    struct conn *c = arg;
    if (conn_send(c) != 0) {
        conn_fail(c, GRID_ECLOSED);
        return;
    }
    loop_defer_cancel(&c->flush);
    uv_close((uv_handle_t *) &c->poll, on_left);
}

void conn_migrate(struct conn *c, struct loop *to, void (*arrived)(void *ctx, struct conn *c), void *ctx)
{
    c->to = to;
    c->arrived = arrived;
    c->arrived_ctx = ctx;
    c->paused = true;
    loop_defer(c->loop, &c->moving, conn_leave, c);
}

/* ---- looking ---- */

void conn_set_events(struct conn *c, const struct conn_events *events, void *ctx)
{
    c->events = events;
    c->ctx = ctx;
}

const struct addr *conn_peer_addr(const struct conn *c)
{
    return &c->peer;
}

bool conn_is_relayed(const struct conn *c)
{
    return c->tls && c->fd >= 0 && c->local.u.any.sa_family == AF_UNIX;
}

bool conn_was_connected(const struct conn *c)
{
    return c->was_connected;
}

bool conn_has_timed_out(const struct conn *c)
{
    return c->state == CONN_CLOSED && c->close_err == GRID_ETIMEOUT;
}

const struct addr *conn_local_addr(const struct conn *c)
{
    return &c->local;
}

const struct tls_peer *conn_tls_peer(const struct conn *c)
{
    return c->tls && c->state >= CONN_OPEN ? tls_session_peer(c->tls) : NULL;
}

int conn_tls_channel(const struct conn *c, struct tls_channel *out)
{
    return c->tls ? tls_session_channel(c->tls, out) : GRID_EUNSUPPORTED;
}

const char *conn_tls_why(const struct conn *c)
{
    return c->tls ? tls_session_why(c->tls) : "";
}

enum tls_refusal conn_tls_refusal(const struct conn *c)
{
    return c->tls ? tls_session_refusal(c->tls) : TLS_REFUSAL_OTHER;
}

bool conn_tls_peer_named(const struct conn *c, const char *host)
{
    return c->tls && tls_session_peer_named(c->tls, host);
}

const char *conn_alpn(const struct conn *c)
{
    return c->tls ? tls_session_alpn(c->tls) : "";
}

int conn_peer_uid(struct conn *c, uid_t *uid, gid_t *gid)
{
    if (!c->uid_known) {
        c->uid_known = true;
        c->uid_err = c->fd < 0 || conn_is_relayed(c) ? GRID_ENOENT : conn_uid_lookup(c->fd, &c->local, &c->peer, &c->uid, &c->gid);
    }
    if (c->uid_err == 0) {
        *uid = c->uid;
        *gid = c->gid;
    }
    return c->uid_err;
}

int conn_peer_groups(const struct conn *c, gid_t *groups, size_t max, size_t *count)
{
    return c->fd < 0 ? GRID_ENOENT : conn_uid_groups(c->fd, &c->local, groups, max, count);
}

bool conn_peer_confined(struct conn *c)
{
    if (!c->confined_known) {
        c->confined_known = true;
        c->confined = c->fd < 0 || conn_process_confined(c->fd, &c->local, &c->peer, c->taken_ms);
    }
    return c->confined;
}

struct loop *conn_loop(const struct conn *c)
{
    return c->loop;
}
