/* One TLS connection between two memory BIOs. */
#include "net/tls_session.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/err.h"
#include "net/tls_internal.h"

struct tls_session {
    struct tls_judgement judgement;
    struct tls_context *context;
    struct tls_terms *terms; /* those it began with */
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    int alert;     /* received, -1 for none */
    bool failed;
    char alpn[64];
    char why[256];
};

static void on_info(const SSL *ssl, int where, int value)
{
    struct tls_session *s = SSL_get_app_data(ssl);
    if (where == SSL_CB_READ_ALERT)
        s->alert = value & 0xff;
}

/* 0 is success here alone. */
static bool offer(struct tls_session *s)
{
    struct slice offered = tls_terms_offered(s->terms);
    return SSL_set_alpn_protos(s->ssl, offered.data, (unsigned) offered.size) == 0;
}

static int session_set_up(struct tls_session *s, bool server)
{
    s->ssl = SSL_new(tls_terms_ssl(s->terms));
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    if (!s->ssl || !s->in || !s->out) {
        BIO_free(s->in);
        BIO_free(s->out);
        return GRID_ENOMEM;
    }
    BIO_set_mem_eof_return(s->in, -1);
    BIO_set_mem_eof_return(s->out, -1);
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_app_data(s->ssl, s);
    SSL_set_info_callback(s->ssl, on_info);
    if (server)
        SSL_set_accept_state(s->ssl);
    else
        SSL_set_connect_state(s->ssl);
    return server || offer(s) ? 0 : GRID_ENOMEM;
}

int tls_session_create(struct tls_context *c, bool server, struct tls_session **out)
{
    struct tls_session *s = calloc(1, sizeof *s);
    if (!s)
        return GRID_ENOMEM;
    s->context = tls_context_ref(c);
    s->terms = tls_context_terms(c);
    s->alert = -1;
    int err = s->terms ? session_set_up(s, server) : GRID_EPERM;
    if (err != 0) {
        tls_session_destroy(s);
        return err;
    }
    *out = s;
    return 0;
}

void tls_session_destroy(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    tls_terms_unref(s->terms);
    tls_context_unref(s->context);
    free(s);
}

void tls_session_set_wiped(struct tls_session *s)
{
    SSL_set_options(s->ssl, SSL_OP_CLEANSE_PLAINTEXT);
}

int tls_session_receive(struct tls_session *s, struct slice bytes)
{
    if (bytes.size == 0)
        return 0;
    return bytes.size <= INT_MAX && BIO_write(s->in, bytes.data, (int) bytes.size) == (int) bytes.size ? 0 : GRID_ENOMEM;
}

/* RFC 8446 6.2: bad_certificate (42) to unknown_ca (48), access_denied (49), certificate_required (116). */
static bool alert_is_about_certificates(int alert)
{
    return (alert >= 42 && alert <= 49) || alert == 116;
}

/* What strangers do most, in words that tell an operator what came. */
static const struct {
    int reason;
    const char *why;
} FAULTS[] = {
    {SSL_R_HTTP_REQUEST, "it does not speak TLS"},
    {SSL_R_HTTPS_PROXY_REQUEST, "it does not speak TLS"},
    {SSL_R_WRONG_VERSION_NUMBER, "it does not speak TLS"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "it does not speak TLS 1.3"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "it offers no protocol that is spoken here (ALPN)"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "it gave no certificate"},
};

static void explain_fault(unsigned long code, char *why, size_t size)
{
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++)
        if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == FAULTS[i].reason) {
            snprintf(why, size, "%s", FAULTS[i].why);
            return;
        }
    snprintf(why, size, "the TLS handshake or a record of it is malformed (%s)", text ? text : "it ended");
}

enum tls_refusal tls_session_refusal(const struct tls_session *s)
{
    if (s->judgement.err != 0 && s->judgement.peer.untimely)
        return TLS_REFUSAL_CLOCK;
    if (!alert_is_about_certificates(s->alert) || s->judgement.err != 0 || !s->judgement.peer.id[0])
        return TLS_REFUSAL_OTHER;
    if (s->alert == SSL_AD_CERTIFICATE_REVOKED)
        return TLS_REFUSAL_REVOKED;
    if (s->alert == SSL_AD_CERTIFICATE_EXPIRED)
        return TLS_REFUSAL_CLOCK;
    return s->judgement.peer.ahead ? TLS_REFUSAL_BEHIND : TLS_REFUSAL_OTHER;
}

/* Remembers why, once, and says which error it is. */
static int session_failed(struct tls_session *s)
{
    unsigned long code = ERR_peek_error();
    bool refused_by_us = s->judgement.err != 0 || ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
    if (!s->failed) {
        s->failed = true;
        if (s->judgement.why[0])
            snprintf(s->why, sizeof s->why, "%s", s->judgement.why);
        else if (s->alert >= 0)
            snprintf(s->why, sizeof s->why, "the other side refused: %s", SSL_alert_desc_string_long(s->alert));
        else
            explain_fault(code, s->why, sizeof s->why);
    }
    ERR_clear_error();
    return refused_by_us || alert_is_about_certificates(s->alert) ? GRID_EPERM : GRID_EPROTO;
}

/* Both sides must have agreed on a protocol: OpenSSL does not ask the callback when the client offers none. */
static int session_check_alpn(struct tls_session *s)
{
    const unsigned char *name;
    unsigned size;
    SSL_get0_alpn_selected(s->ssl, &name, &size);
    if (size == 0 && SSL_is_server(s->ssl) && tls_terms_has(s->terms, SLICE("http/1.1"))) {
        name = (const unsigned char *) "http/1.1"; /* many HTTPS clients name nothing, and mean this */
        size = 8;
    }
    if (size == 0 || size >= sizeof s->alpn) {
        s->failed = true;
        snprintf(s->why, sizeof s->why, "it offers no protocol that is spoken here (ALPN)");
        return GRID_EPROTO;
    }
    memcpy(s->alpn, name, size);
    s->alpn[size] = '\0';
    return 0;
}

int tls_session_handshake(struct tls_session *s)
{
    ERR_clear_error();
    int result = SSL_do_handshake(s->ssl);
    if (result == 1 && tls_context_judge_again(s->context, s->terms, s->ssl, &s->judgement) != 0)
        return session_failed(s);
    if (result == 1)
        return session_check_alpn(s);
    return SSL_get_error(s->ssl, result) == SSL_ERROR_WANT_READ ? GRID_EAGAIN : session_failed(s);
}

ptrdiff_t tls_session_read(struct tls_session *s, uint8_t *data, size_t size)
{
    ERR_clear_error();
    int count = SSL_read(s->ssl, data, size > INT_MAX ? INT_MAX : (int) size);
    if (count > 0)
        return count;
    switch (SSL_get_error(s->ssl, count)) {
    case SSL_ERROR_WANT_READ:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return GRID_ECLOSED;
    default:
        return session_failed(s);
    }
}

int tls_session_write(struct tls_session *s, struct slice bytes)
{
    size_t written;
    ERR_clear_error();
    while (bytes.size > 0) {
        if (SSL_write_ex(s->ssl, bytes.data, bytes.size, &written) != 1)
            return session_failed(s);
        bytes = slice_from(bytes, written);
    }
    return 0;
}

void tls_session_end(struct tls_session *s)
{
    ERR_clear_error();
    if (!s->failed && SSL_is_init_finished(s->ssl))
        SSL_shutdown(s->ssl);
    ERR_clear_error();
}

int tls_session_drain(struct tls_session *s, struct buf *out)
{
    char *data;
    long size = BIO_get_mem_data(s->out, &data);
    if (size <= 0)
        return 0;
    int err = buf_append(out, slice_of(data, (size_t) size));
    if (err == 0)
        (void) BIO_reset(s->out);
    return err;
}

const struct tls_peer *tls_session_peer(const struct tls_session *s)
{
    return &s->judgement.peer;
}

const char *tls_session_alpn(const struct tls_session *s)
{
    return s->alpn;
}

static int take_public(X509 *x, uint8_t out[TLS_PUBLIC_MAX], size_t *size)
{
    unsigned char *at = out;
    int length = x ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), NULL) : -1;
    if (length <= 0 || length > TLS_PUBLIC_MAX)
        return GRID_EPROTO;
    *size = (size_t) i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &at);
    return 0;
}

int tls_session_channel(const struct tls_session *s, struct tls_channel *out)
{
    static const char LABEL[] = "EXPORTER-Channel-Binding";
    X509 *peer = SSL_get1_peer_certificate(s->ssl);
    int err = take_public(SSL_get_certificate(s->ssl), out->own_public, &out->own_public_size);
    if (err == 0)
        err = take_public(peer, out->peer_public, &out->peer_public_size);
    if (err == 0 && SSL_export_keying_material(s->ssl, out->exporter, sizeof out->exporter, LABEL, sizeof LABEL - 1, NULL, 0, 0) != 1)
        err = GRID_EPROTO;
    X509_free(peer);
    ERR_clear_error();
    return err;
}

bool tls_channel_is_own(const struct tls_channel *c)
{
    return slice_equal(slice_of(c->own_public, c->own_public_size), slice_of(c->peer_public, c->peer_public_size));
}

bool tls_session_peer_named(const struct tls_session *s, const char *host)
{
    X509 *peer = SSL_get1_peer_certificate(s->ssl);
    bool named = peer && X509_check_host(peer, host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS, NULL) == 1;
    X509_free(peer);
    ERR_clear_error();
    return named;
}

const char *tls_session_why(const struct tls_session *s)
{
    return s->why;
}
