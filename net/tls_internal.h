/* net/tls_internal.h: what tls.c and tls_session.c share. */
#ifndef GRID_NET_TLS_INTERNAL_H
#define GRID_NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "net/tls.h"

/* The context's OpenSSL half. A session sets its judgement as the SSL's app data, where the verification callback finds it. */
SSL_CTX *tls_context_ssl(struct tls_context *c);

/* Where the callback of a handshake leaves its judgement. */
struct tls_judgement {
    struct tls_peer peer;
    int err; /* 0, or what the verify function returned */
    char why[160];
};

#endif
