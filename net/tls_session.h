/* net/tls_session.h: one TLS connection as bytes in, bytes out, for conn.c alone. No sockets, no clock. One thread. */
#ifndef GRID_NET_TLS_SESSION_H
#define GRID_NET_TLS_SESSION_H

#include <stddef.h>

#include "base/buf.h"
#include "net/tls.h"

struct tls_session;

/* Keeps the context's present terms for its life. 0, GRID_EPERM (the context has none yet) or GRID_ENOMEM. */
int tls_session_create(struct tls_context *c, bool server, struct tls_session **out);
void tls_session_destroy(struct tls_session *s);

/* Takes in ciphertext (copied). 0 or GRID_ENOMEM. */
int tls_session_receive(struct tls_session *s, struct slice bytes);

/* Goes on with the handshake. 0 when it is done (and a protocol was agreed), GRID_EAGAIN when more must arrive, GRID_EPERM when a
 * certificate was refused by either side, GRID_EPROTO. What there is to send, even after a failure, comes from
 * tls_session_drain. */
int tls_session_handshake(struct tls_session *s);

/* Decrypts up to `size` bytes. Their count, 0 when more must arrive, GRID_ECLOSED after close_notify, GRID_EPERM, GRID_EPROTO. */
ptrdiff_t tls_session_read(struct tls_session *s, uint8_t *data, size_t size);

/* From here on no copy stays of what tls_session_read gave. */
void tls_session_set_wiped(struct tls_session *s);

/* Encrypts all of it. 0, GRID_EPROTO. */
int tls_session_write(struct tls_session *s, struct slice bytes);

/* Queues close_notify. */
void tls_session_end(struct tls_session *s);

/* Moves the ciphertext to send to the end of `out`. 0 or buf's errors. */
int tls_session_drain(struct tls_session *s, struct buf *out);

/* Of the finished handshake; they live as long as the session. */
const struct tls_peer *tls_session_peer(const struct tls_session *s);
const char *tls_session_alpn(const struct tls_session *s);
/* 0, or GRID_EPROTO (a key that is too long, or the handshake is not over). */
int tls_session_channel(const struct tls_session *s, struct tls_channel *out);
/* Whether the other side's certificate is for this host name. */
bool tls_session_peer_named(const struct tls_session *s, const char *host);
/* How the other side has refused this side's certificate. */
enum tls_refusal tls_session_refusal(const struct tls_session *s);
/* Why it failed, for the log; "" when it did not. */
const char *tls_session_why(const struct tls_session *s);

#endif
