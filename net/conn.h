/* net/conn.h: a byte stream over TCP or a Unix socket, in the clear or under TLS, and listeners. One loop's thread owns each.
 *
 *   connecting -> (handshake) -> open -> closing -> on_close, memory gone
 *
 * Writes are copied into one outbound buffer that is written once at the end of the loop's iteration (loop_defer), so that many
 * small frames become one system call and one TLS record. */
#ifndef GRID_NET_CONN_H
#define GRID_NET_CONN_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/tls.h"

struct conn;

struct conn_events {
    /* Connected, and the handshake done where there is one. Not for accepted connections in the clear, which are open at once. */
    void (*on_open)(void *ctx, struct conn *c);
    /* Bytes arrived; borrowed for the call. conn_close may be called inside. */
    void (*on_read)(void *ctx, struct conn *c, struct slice bytes);
    /* The other side ended its half in order. NULL: treated as a close. */
    void (*on_end)(void *ctx, struct conn *c);
    /* What was queued fell below the low mark (64 KiB) after having been above it. May be NULL. */
    void (*on_drained)(void *ctx, struct conn *c);
    /* Exactly once, last. err: 0 closed by us or in order, GRID_EREFUSED, GRID_ETIMEOUT (nobody answered, or acknowledged),
     * GRID_EPERM (TLS verification), GRID_EPROTO (TLS), GRID_ECLOSED (reset). */
    void (*on_close)(void *ctx, struct conn *c, int err);
};

struct conn_options {
    struct tls_context *tls;      /* NULL: in the clear. Referenced for the connection's life. */
    uint32_t handshake_timeout_ms; /* connect and TLS; 0 means 5,000 */
    const struct addr *from; /* conn_adopt of a stream within this host that a third leads on: who brings it, copied to be conn_peer_addr; NULL: as the kernel says */
    uint32_t connect_timeout_ms;   /* TCP's part of a dial; the rest then has handshake_timeout_ms of its own. 0: both have that together */
};

/* Dials. on_open or on_close comes later, never inside the call. TCP_NODELAY always. 0, GRID_ENOMEM, GRID_EIO, or
 * GRID_EPERM (a TLS context that has nothing to present yet). */
int conn_dial(struct loop *l, const struct addr *to, const struct conn_options *options, const struct conn_events *events,
              void *ctx, struct conn **out);

/* Takes an accepted descriptor (also on failure, where it is closed). */
int conn_adopt(struct loop *l, int fd, const struct conn_options *options, const struct conn_events *events, void *ctx,
               struct conn **out);

/* A stream within this host: a connection in the clear, open at once, and a descriptor of its other end, which is the caller's. 0, GRID_ENOMEM, GRID_EIO. */
int conn_pair(struct loop *l, const struct conn_events *events, void *ctx, struct conn **out, int *far);

/* Changes who hears of it, as when the first bytes decide the protocol. */
void conn_set_events(struct conn *c, const struct conn_events *events, void *ctx);

/* Queues bytes (copied). 0, GRID_ECLOSED, GRID_ENOMEM. */
int conn_write(struct conn *c, struct slice bytes);

/* The outbound buffer itself, for serializers that append in place; call conn_flush_later after. Never keep the pointer. */
struct buf *conn_out(struct conn *c);
void conn_flush_later(struct conn *c);

/* Bytes queued and not yet taken by the kernel. */
size_t conn_queued(const struct conn *c);

/* Bytes the kernel has ever taken (ciphertext under TLS); still true inside on_close. */
uint64_t conn_written(const struct conn *c);

/* Asks the kernel whether the stream stands and nothing has come that the loop has not told of yet: neither bytes nor an end. */
bool conn_is_quiet(const struct conn *c);

/* For few small messages that are to get through: lost ones are sent again without growing pauses (TCP_THIN_LINEAR_TIMEOUTS, and TCP_RTO_MAX_MS where the kernel has it), and the kernel gives up with
 * GRID_ETIMEOUT when nothing of what was sent is acknowledged for so long (TCP_USER_TIMEOUT). The kernel's keepalive is turned off: beside TCP_USER_TIMEOUT a single
 * lost probe of it ends an idle connection. */
void conn_make_thin(struct conn *c, uint32_t unacknowledged_ms);

/* Whether its bytes go by way of a third: TLS over a Unix socket is spoken by no one else (net/carrier.h). An open one. */
bool conn_is_relayed(const struct conn *c);
/* The round trip as the kernel knows it (smoothed); 0 where it does not, as of a connection that is none of TCP. */
uint32_t conn_round_trip_us(const struct conn *c);

/* True once TCP's handshake is done: somebody's kernel is there. Still true inside on_close. */
bool conn_was_connected(const struct conn *c);
/* True inside on_close when its error is GRID_ETIMEOUT. */
bool conn_has_timed_out(const struct conn *c);

/* Stops and restarts reading (back-pressure). */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/* Writes what is queued (for at most 5 s), then closes in order. */
void conn_finish(struct conn *c);
/* Drops what is queued and closes. on_close still comes, later. Calling it again does nothing. */
void conn_close(struct conn *c);

/* Gives an open connection to another loop, as when the handshake has told whose it is. Nothing of it may be used until `arrived`,
 * which is called on the other loop's thread and must conn_set_events; what the peer sent meanwhile is read after that. When it
 * breaks before it has left, on_close of the events set before comes instead. */
void conn_migrate(struct conn *c, struct loop *to, void (*arrived)(void *ctx, struct conn *c), void *ctx);

/* For what carries keys or passwords: from here on no copy of what it brings or takes is left in the loop's scratch, its queue or TLS. */
void conn_set_wiped(struct conn *c);
bool conn_is_wiped(const struct conn *c);

const struct addr *conn_peer_addr(const struct conn *c);
const struct addr *conn_local_addr(const struct conn *c);
/* The peer's certificate as judged; NULL in the clear. Lives as long as the connection. */
const struct tls_peer *conn_tls_peer(const struct conn *c);
/* What tells this connection from any other, of an open one under TLS. 0, GRID_EPROTO, GRID_EUNSUPPORTED in the clear. */
int conn_tls_channel(const struct conn *c, struct tls_channel *out);
/* Why TLS failed, as the log says it; "" when it did not. As long as the connection. */
const char *conn_tls_why(const struct conn *c);
/* How the other side has refused this side's certificate. */
enum tls_refusal conn_tls_refusal(const struct conn *c);
/* Whether the other side's certificate is for this host name; false in the clear. */
bool conn_tls_peer_named(const struct conn *c, const char *host);
/* The protocol agreed by ALPN, "" in the clear. */
const char *conn_alpn(const struct conn *c);
/* Uid of the process at the other end of a Unix socket or of a loopback TCP connection (from the socket table, looked up on first
 * use and remembered). 0, or GRID_ENOENT when it cannot be told. */
int conn_peer_uid(struct conn *c, uid_t *uid, gid_t *gid);
/* The supplementary groups of the process that connected a Unix socket. 0; GRID_ENOENT for any other connection, and when they
 * cannot be told; GRID_ELIMIT for more than `max`. */
int conn_peer_groups(const struct conn *c, gid_t *groups, size_t max, size_t *count);
/* Whether the process there is confined as tasks are (net/conn_process.h), looked up on first use and remembered. */
bool conn_peer_confined(struct conn *c);
struct loop *conn_loop(const struct conn *c);

struct listener;

/* Called for each accepted descriptor, which now is the callee's. */
typedef void (*listener_fn)(void *ctx, int fd, const struct addr *from);

struct listener_options {
    bool reuse_port;       /* several workers on one port: joins a listener made with `first` */
    bool first;            /* with reuse_port: fails with GRID_EBUSY when anybody has the port, and lets others join afterwards */
    bool dual_stack;       /* [::] also takes IPv4 */
    mode_t socket_mode;    /* Unix: permissions, such as 0660 */
    const char *socket_group; /* Unix: group's name, NULL to leave */
};

/* Binds and listens; `bound` (may be NULL) gets the real address, with the port that 0 became. 0, GRID_EBUSY (in use), GRID_EPERM,
 * GRID_EIO. A stale Unix socket that nobody answers on is replaced; one that somebody answers on is GRID_EBUSY, and what is no socket (a
 * file, a folder, a link, wherever it leads) is left as it is: GRID_EEXIST. Accepts in batches; out of descriptors (EMFILE) it pauses for 100 ms instead of spinning. */
int listener_create(struct loop *l, const struct addr *at, const struct listener_options *options, listener_fn on_accept, void *ctx,
                    struct addr *bound, struct listener **out);
/* No more accepts; frees it. */
void listener_close(struct listener *l);

#endif
