/* net/tls.h: TLS 1.3 contexts for links between nodes. Certificates are mutual and are judged by a callback that gets the peer's
 * chain; what a certificate means is trust/'s business. A context may be shared by threads; it is reference-counted.
 *
 * What a context presents and whom it trusts may be replaced while it is in use: handshakes that have begun go on presenting what they began with, those that begin later
 * present the new; but the other side is judged once more by the new at the end of a handshake that began before, so that nobody comes in by drawing one out. A lock
 * is taken for that at the start and at the end of a handshake, and nowhere else. */
#ifndef GRID_NET_TLS_H
#define GRID_NET_TLS_H

#include <stdbool.h>

#include "base/slice.h"

struct tls_context;

/* Who is at the other end, as judged at the handshake. */
enum tls_role { TLS_ROLE_NONE = 0, TLS_ROLE_NODE = 1, TLS_ROLE_ADMIN = 2, TLS_ROLE_INVOKE = 4 };
struct tls_peer {
    char id[65];    /* hex SHA-256 of the peer's SubjectPublicKeyInfo; "" without a certificate */
    unsigned roles; /* of enum tls_role */
    char name[64];  /* common name, for logs only */
    char issuer[65]; /* id of the authority on whose word it was taken; "" when the judge names none */
    bool revoked;   /* the judge refuses its key for good: it is told so (RFC 8446 6.2, certificate_revoked) */
    bool untimely;  /* the judge refuses its certificate for its times alone: it is told so (certificate_expired) */
    bool ahead;     /* taken, by an authority that follows the one known here */
};

/* Why the other side, whose own certificate was good, has refused this side's (by its alert); or that one of the two is refused for its times. */
enum tls_refusal {
    TLS_REFUSAL_OTHER,   /* it has not, or its certificate was not good, or it has said nothing that tells more */
    TLS_REFUSAL_CLOCK,   /* by the clock of whoever judged it a certificate is over, or yet to come */
    TLS_REFUSAL_REVOKED, /* this side's key is refused for good */
    TLS_REFUSAL_BEHIND,  /* the other side is ahead (struct tls_peer), and does not take what was before */
};

/* Judges the peer's certificate chain, leaf first, as OpenSSL has read it (its X509), borrowed for the call. Fills `peer`. 0 to go on; an error ends the
 * handshake, and `why` (at most 160 bytes) is logged. May run on any loop's thread that uses the context: it must not change anything. */
struct x509_st;
typedef int (*tls_verify_fn)(void *arg, struct x509_st *const *chain, size_t count, struct tls_peer *peer, char why[160]);

struct tls_config {
    struct slice certificate_der; /* own leaf */
    struct slice issuer_der;      /* sent after it; may be empty */
    struct slice key_der;         /* PKCS#8 */
    tls_verify_fn verify;
    void *verify_arg;
    /* When the last handshake that may ask it is over: any thread. NULL: it outlives the context. */
    void (*release)(void *verify_arg);
    /* Offered, and required of the other side, comma separated in order: "h2". NULL: guests alone. Where "http/1.1" is among them, who
     * dials without naming any protocol is taken to speak that. */
    const char *alpn;
    /* One protocol more, for strangers: a connection that agrees on it presents this certificate instead, takes any of the other
     * side unjudged, and says nothing of it (conn_tls_peer: no id, no role): who is there must be found out by what is said on
     * it, with conn_tls_channel. With `alpn` it is taken when others dial; without, it is offered. NULL: strangers are refused. */
    const char *guest_alpn;
    struct slice guest_certificate_der; /* self-signed */
    struct slice guest_key_der;
};

/* What binds what is said on a connection to this connection: both sides see the same exporter (RFC 9266), and each other's
 * keys. */
enum { TLS_EXPORTER_SIZE = 32, TLS_PUBLIC_MAX = 512 };
struct tls_channel {
    uint8_t exporter[TLS_EXPORTER_SIZE];
    uint8_t own_public[TLS_PUBLIC_MAX], peer_public[TLS_PUBLIC_MAX]; /* SubjectPublicKeyInfo of the certificates presented, DER */
    size_t own_public_size, peer_public_size;
};
/* Both sides have one key: who was dialled is the dialler. */
bool tls_channel_is_own(const struct tls_channel *c);

/* TLS 1.3 only, no tickets, no early data, client certificate required. Copies what it needs. 0, GRID_EINVAL (a bad key or
 * certificate) or GRID_ENOMEM: then `release` is not called. */
int tls_context_create(const struct tls_config *config, struct tls_context **out);
/* One that has nothing to present yet: connections with it fail with GRID_EPERM until tls_context_replace. */
int tls_context_create_empty(struct tls_context **out);
/* Any thread. Errors as tls_context_create, and then nothing has changed. */
int tls_context_replace(struct tls_context *c, const struct tls_config *config);
/* `c` presents what `like` does now, and is judged and judges as it does, without guests, for dials that offer these protocols (as tls_config's `alpn`). Cheap: nothing is decoded.
 * 0, GRID_EPERM (`like` has nothing to present), GRID_EINVAL or GRID_ENOMEM, and then nothing has changed. Any thread. */
int tls_context_follow(struct tls_context *c, struct tls_context *like, const char *alpn);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c);

#endif
