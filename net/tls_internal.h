/* net/tls_internal.h: what tls.c and tls_session.c share. */
#ifndef GRID_NET_TLS_INTERNAL_H
#define GRID_NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "net/tls.h"

/* What a context presents and trusts at one time: immutable, reference-counted, replaced as a whole. */
struct tls_terms;

/* The terms of a handshake that begins now, with a reference of their own; NULL when the context has none yet. Any thread. */
struct tls_terms *tls_context_terms(struct tls_context *c);
void tls_terms_unref(struct tls_terms *t);
/* Their OpenSSL half. A session sets its judgement as the SSL's app data, where the verification callback finds it. */
SSL_CTX *tls_terms_ssl(struct tls_terms *t);
/* What a dial offers: names with their lengths before them (RFC 7301). */
struct slice tls_terms_offered(const struct tls_terms *t);
/* True when this protocol is among those that members and clients may agree on. */
bool tls_terms_has(const struct tls_terms *t, struct slice protocol);

struct tls_judgement;
/* At the end of a handshake that `begun` was for: judges the other side again when the context's terms have been replaced since by ones that judge otherwise; guests are not judged. 0, or
 * the error that is left in `judgement`. */
int tls_context_judge_again(struct tls_context *c, const struct tls_terms *begun, SSL *ssl, struct tls_judgement *judgement);

/* Where the callback of a handshake leaves its judgement. */
struct tls_judgement {
    struct tls_peer peer;
    int err; /* 0, or what the verify function returned */
    char why[160];
};

#endif
