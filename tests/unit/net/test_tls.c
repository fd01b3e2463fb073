/* TLS between nodes: who gets in, who does not, and what is said of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/conn.h"
#include "net/http.h"
#include "tests/unit/net/identity.h"
#include "tests/unit/net/pump.h"

/* ---- a pair of connections ---- */

struct end {
    struct conn *conn;
    struct buf got;
    int opened, bytes, closed, err;
    enum tls_refusal refusal;
    char alpn[16];
    unsigned roles;
    bool echo;
};

struct pair {
    struct loop *loop;
    struct listener *listener;
    struct addr at;
    struct identity a, b;
    struct tls_context *server_tls, *client_tls;
    struct end server, client;
    uint32_t timeout_ms;
};

static void on_open(void *ctx, struct conn *c)
{
    struct end *e = ctx;
    e->opened++;
    snprintf(e->alpn, sizeof e->alpn, "%s", conn_alpn(c));
    e->roles = conn_tls_peer(c) ? conn_tls_peer(c)->roles : 0;
}

static void on_read(void *ctx, struct conn *c, struct slice bytes)
{
    struct end *e = ctx;
    e->bytes += (int) bytes.size;
    if (e->echo)
        assert_int_equal(conn_write(c, bytes), 0);
}

static void on_close(void *ctx, struct conn *c, int err)
{
    struct end *e = ctx;
    e->refusal = conn_tls_refusal(c);
    e->conn = NULL;
    e->closed++;
    e->err = err;
}

static const struct conn_events EVENTS = {.on_open = on_open, .on_read = on_read, .on_close = on_close};

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    struct pair *p = ctx;
    const struct conn_options options = {.tls = p->server_tls, .handshake_timeout_ms = p->timeout_ms};
    (void) from;
    assert_int_equal(conn_adopt(p->loop, fd, &options, &EVENTS, &p->server, &p->server.conn), 0);
}

static void pair_make(struct pair *p)
{
    struct addr at;
    *p = (struct pair){.a = identity_make("a"), .b = identity_make("b")};
    addr_loopback_v4(0, &at);
    assert_int_equal(loop_create(&p->loop), 0);
    assert_int_equal(listener_create(p->loop, &at, NULL, on_accept, p, &p->at, &p->listener), 0);
}

static void pair_dial(struct pair *p)
{
    const struct conn_options options = {.tls = p->client_tls};
    assert_int_equal(conn_dial(p->loop, &p->at, &options, &EVENTS, &p->client, &p->client.conn), 0);
}

static void pair_shut(struct pair *p)
{
    listener_close(p->listener);
    if (p->client.conn)
        conn_close(p->client.conn);
    if (p->server.conn)
        conn_close(p->server.conn);
    loop_destroy(p->loop);
    tls_context_unref(p->server_tls);
    tls_context_unref(p->client_tls);
    identity_dispose(&p->a);
    identity_dispose(&p->b);
}

static void test_tls__carries_bytes_between_two_that_know_each_other(void **state)
{
    (void) state;
    enum { SIZE = 3 << 20 };
    struct pair p;
    uint8_t *block = calloc(1, SIZE);
    pair_make(&p);
    p.server_tls = identity_context(&p.a, &p.b, "h2,other");
    p.client_tls = identity_context(&p.b, &p.a, "h2");
    p.server.echo = true;
    pair_dial(&p);
    conn_write(p.client.conn, SLICE("early")); /* waits for the handshake */
    PUMP(p.loop, p.client.bytes, 5);
    assert_int_equal(p.server.opened, 1);
    assert_int_equal(p.client.opened, 1);
    assert_string_equal(p.server.alpn, "h2");
    assert_string_equal(p.client.alpn, "h2");
    assert_int_equal(p.server.roles, TLS_ROLE_NODE);
    conn_write(p.client.conn, slice_of(block, SIZE));
    PUMP(p.loop, p.client.bytes, SIZE + 5);
    conn_finish(p.client.conn);
    PUMP(p.loop, p.client.closed, 1);
    PUMP(p.loop, p.server.closed, 1);
    assert_int_equal(p.client.err, 0);
    assert_int_equal(p.server.err, 0);
    free(block);
    pair_shut(&p);
}

static void test_tls__keeps_decrypted_bytes_back_while_paused(void **state)
{
    (void) state;
    struct pair p;
    int never = 0;
    pair_make(&p);
    p.server_tls = identity_context(&p.a, &p.b, "h2");
    p.client_tls = identity_context(&p.b, &p.a, "h2");
    pair_dial(&p);
    PUMP(p.loop, p.server.opened, 1);
    conn_pause(p.server.conn);
    conn_write(p.client.conn, SLICE("later"));
    pump_until_value(p.loop, &never, 1, 60);
    assert_int_equal(p.server.bytes, 0);
    conn_resume(p.server.conn);
    PUMP(p.loop, p.server.bytes, 5);
    pair_shut(&p);
}

static void test_tls__a_client_that_the_server_does_not_know_is_refused(void **state)
{
    (void) state;
    struct pair p;
    pair_make(&p);
    struct identity stranger = identity_make("stranger");
    p.server_tls = identity_context(&p.a, &p.b, "h2");
    p.client_tls = identity_context(&stranger, &p.a, "h2");
    pair_dial(&p);
    PUMP(p.loop, p.server.closed, 1);
    PUMP(p.loop, p.client.closed, 1);
    assert_int_equal(p.server.opened, 0);
    assert_int_equal(p.server.err, GRID_EPERM);
    assert_int_equal(p.client.err, GRID_EPERM);
    identity_dispose(&stranger);
    pair_shut(&p);
}

static void test_tls__a_server_that_the_client_does_not_know_is_refused(void **state)
{
    (void) state;
    struct pair p;
    pair_make(&p);
    struct identity stranger = identity_make("stranger");
    p.server_tls = identity_context(&stranger, &p.b, "h2");
    p.client_tls = identity_context(&p.b, &p.a, "h2");
    pair_dial(&p);
    PUMP(p.loop, p.client.closed, 1);
    PUMP(p.loop, p.server.closed, 1);
    assert_int_equal(p.client.opened, 0);
    assert_int_equal(p.client.err, GRID_EPERM);
    assert_int_equal(p.server.opened, 0);
    identity_dispose(&stranger);
    pair_shut(&p);
}

/* As by a clock that is days behind. */
static int judge_untimely(void *arg, X509 *const *chain, size_t count, struct tls_peer *peer, char why[160])
{
    (void) arg, (void) chain, (void) count;
    snprintf(why, 160, "it is only valid in 3 days");
    peer->untimely = true;
    return GRID_EPERM;
}

static struct tls_context *context_of(const struct identity *own, tls_verify_fn verify)
{
    struct tls_context *c = NULL;
    const struct tls_config config = {.certificate_der = buf_slice(&own->certificate), .key_der = buf_slice(&own->key), .verify = verify, .alpn = "h2"};
    assert_int_equal(tls_context_create(&config, &c), 0);
    return c;
}

/* Whoever judged, the server or the client. */
static void test_tls__both_sides_know_when_a_certificate_was_refused_for_its_times_alone(void **state)
{
    (void) state;
    for (int by_server = 0; by_server < 2; by_server++) {
        struct pair p;
        pair_make(&p);
        p.server_tls = by_server ? context_of(&p.a, judge_untimely) : identity_context(&p.a, &p.b, "h2");
        p.client_tls = by_server ? identity_context(&p.b, &p.a, "h2") : context_of(&p.b, judge_untimely);
        pair_dial(&p);
        PUMP(p.loop, p.server.closed, 1);
        PUMP(p.loop, p.client.closed, 1);
        const struct end *judge = by_server ? &p.server : &p.client, *judged = by_server ? &p.client : &p.server;
        assert_int_equal(judge->err, GRID_EPERM);
        assert_int_equal(judge->refusal, TLS_REFUSAL_CLOCK);
        assert_int_equal(judged->err, GRID_EPERM);
        assert_int_equal(judged->refusal, by_server ? TLS_REFUSAL_CLOCK : TLS_REFUSAL_OTHER); /* a server has not seen whose word it is */
        pair_shut(&p);
    }
}

static void test_tls__both_must_agree_on_a_protocol(void **state)
{
    (void) state;
    struct pair p;
    pair_make(&p);
    p.server_tls = identity_context(&p.a, &p.b, "h2");
    p.client_tls = identity_context(&p.b, &p.a, "grid-join/1");
    pair_dial(&p);
    PUMP(p.loop, p.client.closed, 1);
    PUMP(p.loop, p.server.closed, 1);
    assert_int_equal(p.client.opened + p.server.opened, 0);
    assert_int_equal(p.client.err, GRID_EPROTO);
    assert_int_equal(p.server.err, GRID_EPROTO);
    pair_shut(&p);
}

static void test_tls__a_handshake_that_never_goes_on_times_out(void **state)
{
    (void) state;
    struct pair p;
    struct conn *silent;
    pair_make(&p);
    p.timeout_ms = 100;
    p.server_tls = identity_context(&p.a, &p.b, "h2");
    assert_int_equal(conn_dial(p.loop, &p.at, NULL, &EVENTS, &p.client, &silent), 0);
    PUMP(p.loop, p.server.closed, 1);
    assert_int_equal(p.server.err, GRID_ETIMEOUT);
    PUMP(p.loop, p.client.closed, 1);
    pair_shut(&p);
}

/* ---- foreign clients: OpenSSL itself, blocking, on a thread ---- */

struct foreign {
    struct addr at;
    int version;
    const char *alpn; /* length-prefixed */
    int read_result;
};

static void *foreign_run(void *arg)
{
    struct foreign *f = arg;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, &f->at.u.any, f->at.size), 0);
    SSL_set_max_proto_version(ssl, f->version);
    if (f->alpn)
        SSL_set_alpn_protos(ssl, (const unsigned char *) f->alpn, (unsigned) strlen(f->alpn));
    SSL_set_fd(ssl, fd);
    f->read_result = SSL_connect(ssl) == 1 ? SSL_read(ssl, &byte, 1) : -1;
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    return NULL;
}

static void foreign_is_refused(struct foreign f, int err)
{
    struct pair p;
    pthread_t thread;
    pair_make(&p);
    p.server_tls = identity_context(&p.a, &p.b, "h2");
    f.at = p.at;
    pthread_create(&thread, NULL, foreign_run, &f);
    PUMP(p.loop, p.server.closed, 1);
    pthread_join(thread, NULL);
    assert_int_equal(p.server.opened, 0);
    assert_int_equal(p.server.err, err);
    assert_true(f.read_result <= 0);
    pair_shut(&p);
}

static void test_tls__a_client_without_a_certificate_is_refused(void **state)
{
    (void) state;
    foreign_is_refused((struct foreign){.version = TLS1_3_VERSION, .alpn = "\2h2"}, GRID_EPERM);
}

static void test_tls__anything_below_1_3_is_refused(void **state)
{
    (void) state;
    foreign_is_refused((struct foreign){.version = TLS1_2_VERSION, .alpn = "\2h2"}, GRID_EPROTO);
}

static void test_tls__refuses_a_key_that_is_not_the_certificates(void **state)
{
    (void) state;
    struct identity a = identity_make("a"), b = identity_make("b");
    struct tls_context *c = NULL;
    const struct tls_config mixed = {buf_slice(&a.certificate), {NULL, 0}, buf_slice(&b.key), identity_verify, &a, NULL, "h2", NULL, {NULL, 0}, {NULL, 0}};
    const struct tls_config garbage = {SLICE("garbage"), {NULL, 0}, buf_slice(&a.key), identity_verify, &a, NULL, "h2", NULL, {NULL, 0}, {NULL, 0}};
    assert_int_equal(tls_context_create(&mixed, &c), GRID_EINVAL);
    assert_int_equal(tls_context_create(&garbage, &c), GRID_EINVAL);
    identity_dispose(&a);
    identity_dispose(&b);
}

/* ---- guests: a protocol for strangers beside those for members ---- */

static struct tls_context *guest_context(const struct identity *own, const struct identity *expected, const char *alpn, const struct identity *guest)
{
    struct tls_context *c = NULL;
    const struct tls_config config = {.certificate_der = own ? buf_slice(&own->certificate) : slice_of(NULL, 0), .key_der = own ? buf_slice(&own->key) : slice_of(NULL, 0),
                                      .verify = identity_verify, .verify_arg = (void *) (uintptr_t) expected, .alpn = alpn, .guest_alpn = "grid-join/1",
                                      .guest_certificate_der = buf_slice(&guest->certificate), .guest_key_der = buf_slice(&guest->key)};
    assert_int_equal(tls_context_create(&config, &c), 0);
    return c;
}

static void test_tls__a_guest_is_told_apart_and_bound_to_its_channel(void **state)
{
    (void) state;
    struct pair p;
    struct tls_channel server, client;
    pair_make(&p);
    struct identity host = identity_make("host"), stranger = identity_make("stranger");
    p.server_tls = guest_context(&p.a, &p.b, "h2,http/1.1", &host);
    p.client_tls = guest_context(NULL, NULL, NULL, &stranger);
    pair_dial(&p);
    PUMP(p.loop, p.client.opened, 1);
    PUMP(p.loop, p.server.opened, 1);
    assert_string_equal(p.server.alpn, "grid-join/1");
    assert_string_equal(p.client.alpn, "grid-join/1");
    assert_int_equal(p.server.roles, TLS_ROLE_NONE);
    assert_string_equal(conn_tls_peer(p.server.conn)->id, "");
    assert_int_equal(conn_tls_channel(p.server.conn, &server), 0);
    assert_int_equal(conn_tls_channel(p.client.conn, &client), 0);
    assert_memory_equal(server.exporter, client.exporter, TLS_EXPORTER_SIZE);
    assert_true(slice_equal(slice_of(server.own_public, server.own_public_size), slice_of(client.peer_public, client.peer_public_size)));
    assert_true(slice_equal(slice_of(client.own_public, client.own_public_size), slice_of(server.peer_public, server.peer_public_size)));
    assert_false(slice_equal(slice_of(client.own_public, client.own_public_size), slice_of(server.own_public, server.own_public_size)));
    pair_shut(&p);
    identity_dispose(&host);
    identity_dispose(&stranger);
}

/* The heart of it: who may come as a guest, with any certificate, may not come as anything else with it, whatever it offers beside. */
static void test_tls__a_guests_certificate_opens_no_other_protocol(void **state)
{
    (void) state;
    static const char *const OFFERS[] = {"h2", "grid-control/1", "http/1.1", "h2,grid-join/1", "grid-join/1,h2", "grid-join/1,grid-control/1"};
    for (size_t i = 0; i < sizeof OFFERS / sizeof *OFFERS; i++) {
        struct pair p;
        pair_make(&p);
        struct identity host = identity_make("host"), stranger = identity_make("stranger");
        p.server_tls = guest_context(&p.a, &p.b, "h2,grid-control/1,http/1.1", &host);
        p.client_tls = identity_context(&stranger, &p.a, OFFERS[i]);
        pair_dial(&p);
        PUMP(p.loop, p.server.closed, 1);
        PUMP(p.loop, p.client.closed, 1);
        assert_int_equal(p.server.opened, 0);
        assert_int_equal(p.server.err, GRID_EPERM);
        pair_shut(&p);
        identity_dispose(&host);
        identity_dispose(&stranger);
    }
}

static void test_tls__members_are_judged_as_before_beside_guests(void **state)
{
    (void) state;
    struct pair p;
    pair_make(&p);
    struct identity host = identity_make("host");
    p.server_tls = guest_context(&p.a, &p.b, "h2", &host);
    p.client_tls = identity_context(&p.b, &p.a, "h2");
    pair_dial(&p);
    PUMP(p.loop, p.server.opened, 1);
    assert_string_equal(p.server.alpn, "h2");
    assert_int_equal(p.server.roles, TLS_ROLE_NODE);
    pair_shut(&p);
    identity_dispose(&host);
}

/* A member that dials believes nobody because that one calls the connection a guest's. */
static void test_tls__a_dialler_does_not_go_by_the_protocol_that_a_stranger_chose(void **state)
{
    (void) state;
    struct pair p;
    pair_make(&p);
    struct identity host = identity_make("host"), stranger = identity_make("stranger");
    p.server_tls = guest_context(NULL, NULL, NULL, &stranger);
    p.client_tls = guest_context(&p.b, &p.a, "grid-join/1", &host);
    pair_dial(&p);
    PUMP(p.loop, p.client.closed, 1);
    PUMP(p.loop, p.server.closed, 1);
    assert_int_equal(p.client.opened, 0);
    assert_int_equal(p.client.err, GRID_EPERM);
    pair_shut(&p);
    identity_dispose(&host);
    identity_dispose(&stranger);
}

static void test_tls__guests_without_a_certificate_or_where_there_are_none_are_refused(void **state)
{
    (void) state;
    struct pair p;
    struct tls_context *c;
    struct foreign f = {.version = TLS1_3_VERSION, .alpn = "\13grid-join/1"};
    pthread_t thread;
    pair_make(&p);
    struct identity host = identity_make("host"), stranger = identity_make("stranger");
    p.server_tls = guest_context(&p.a, &p.b, "h2", &host);
    f.at = p.at;
    pthread_create(&thread, NULL, foreign_run, &f);
    PUMP(p.loop, p.server.closed, 1);
    pthread_join(thread, NULL);
    assert_int_equal(p.server.opened, 0);
    assert_int_equal(p.server.err, GRID_EPERM);
    const struct tls_config without = {.guest_alpn = "grid-join/1"}, nothing = {.alpn = NULL};
    assert_int_equal(tls_context_create(&without, &c), GRID_EINVAL);
    assert_int_equal(tls_context_create(&nothing, &c), GRID_EINVAL);
    pair_shut(&p);
    pair_make(&p);
    p.server_tls = identity_context(&p.a, &p.b, "h2");
    p.client_tls = guest_context(NULL, NULL, NULL, &stranger);
    pair_dial(&p);
    PUMP(p.loop, p.server.closed, 1);
    PUMP(p.loop, p.client.closed, 1);
    assert_int_equal(p.server.opened + p.client.opened, 0);
    pair_shut(&p);
    identity_dispose(&host);
    identity_dispose(&stranger);
}

/* ---- terms that change ---- */

static void count_release(void *arg)
{
    (void) arg;
}

static void test_tls__goes_by_new_terms_once_they_are_replaced(void **state)
{
    (void) state;
    struct pair p;
    pair_make(&p);
    struct identity late = identity_make("late");
    const struct tls_config config = {.certificate_der = buf_slice(&p.a.certificate), .key_der = buf_slice(&p.a.key), .verify = identity_verify,
                                      .verify_arg = &late, .release = count_release, .alpn = "h2"};
    p.server_tls = identity_context(&p.a, &p.b, "h2");
    p.client_tls = identity_context(&late, &p.a, "h2");
    pair_dial(&p);
    PUMP(p.loop, p.client.closed, 1);
    PUMP(p.loop, p.server.closed, 1);
    assert_int_equal(p.server.opened, 0);
    assert_int_equal(tls_context_replace(p.server_tls, &config), 0);
    pair_dial(&p);
    PUMP(p.loop, p.server.opened, 1);
    pair_shut(&p);
    identity_dispose(&late);
}

/* Of a dial that has begun, of which the other side may draw out the handshake. */
static void test_tls__whom_a_dial_reaches_is_judged_by_the_terms_at_its_end(void **state)
{
    (void) state;
    struct pair p;
    pair_make(&p);
    struct identity other = identity_make("other");
    const struct tls_config config = {.certificate_der = buf_slice(&p.b.certificate), .key_der = buf_slice(&p.b.key), .verify = identity_verify, .verify_arg = &other, .alpn = "h2"};
    p.server_tls = identity_context(&p.a, &p.b, "h2");
    p.client_tls = identity_context(&p.b, &p.a, "h2");
    pair_dial(&p);
    assert_int_equal(tls_context_replace(p.client_tls, &config), 0);
    PUMP(p.loop, p.client.closed, 1);
    assert_int_equal(p.client.opened, 0);
    assert_int_equal(p.client.err, GRID_EPERM);
    pair_shut(&p);
    identity_dispose(&other);
}

struct replacing {
    struct pair *pair;
    const struct tls_config *config;
};

/* Who dials judges before he shows himself. */
static int verify_and_replace(void *arg, struct x509_st *const *chain, size_t count, struct tls_peer *peer, char why[160])
{
    const struct replacing *r = arg;
    assert_int_equal(tls_context_replace(r->pair->server_tls, r->config), 0);
    return identity_verify(&r->pair->a, chain, count, peer, why);
}

static void test_tls__who_comes_is_judged_by_the_terms_at_the_end_of_his_handshake(void **state)
{
    (void) state;
    struct pair p;
    pair_make(&p);
    struct identity other = identity_make("other");
    const struct tls_config refusing = {.certificate_der = buf_slice(&p.a.certificate), .key_der = buf_slice(&p.a.key), .verify = identity_verify, .verify_arg = &other, .alpn = "h2"};
    struct replacing replacing = {&p, &refusing};
    const struct tls_config config = {.certificate_der = buf_slice(&p.b.certificate), .key_der = buf_slice(&p.b.key), .verify = verify_and_replace, .verify_arg = &replacing, .alpn = "h2"};
    p.server_tls = identity_context(&p.a, &p.b, "h2");
    assert_int_equal(tls_context_create(&config, &p.client_tls), 0);
    pair_dial(&p);
    PUMP(p.loop, p.server.closed, 1);
    assert_int_equal(p.server.opened, 0);
    assert_int_equal(p.server.err, GRID_EPERM);
    pair_shut(&p);
    identity_dispose(&other);
}

/* As every decision of the grid replaces them, whoever has been evicted. */
static void test_tls__who_is_good_by_the_new_terms_too_is_let_in(void **state)
{
    (void) state;
    struct pair p;
    pair_make(&p);
    const struct tls_config config = {.certificate_der = buf_slice(&p.a.certificate), .key_der = buf_slice(&p.a.key), .verify = identity_verify, .verify_arg = &p.b, .alpn = "h2"};
    struct replacing replacing = {&p, &config};
    const struct tls_config dials = {.certificate_der = buf_slice(&p.b.certificate), .key_der = buf_slice(&p.b.key), .verify = verify_and_replace, .verify_arg = &replacing, .alpn = "h2"};
    p.server_tls = identity_context(&p.a, &p.b, "h2");
    assert_int_equal(tls_context_create(&dials, &p.client_tls), 0);
    pair_dial(&p);
    PUMP(p.loop, p.server.opened, 1);
    assert_int_equal(p.server.roles, TLS_ROLE_NODE);
    pair_shut(&p);
}

static void test_tls__an_empty_context_opens_nothing_until_it_is_filled(void **state)
{
    (void) state;
    struct pair p;
    pair_make(&p);
    const struct tls_config config = {.certificate_der = buf_slice(&p.b.certificate), .key_der = buf_slice(&p.b.key), .verify = identity_verify,
                                      .verify_arg = &p.a, .alpn = "h2"};
    const struct tls_config bad = {.certificate_der = SLICE("garbage"), .key_der = buf_slice(&p.b.key), .verify = identity_verify, .verify_arg = &p.a, .alpn = "h2"};
    assert_int_equal(tls_context_create_empty(&p.client_tls), 0);
    p.server_tls = identity_context(&p.a, &p.b, "h2");
    const struct conn_options options = {.tls = p.client_tls};
    assert_int_equal(conn_dial(p.loop, &p.at, &options, &EVENTS, &p.client, &p.client.conn), GRID_EPERM);
    assert_int_equal(tls_context_replace(p.client_tls, &bad), GRID_EINVAL);
    assert_int_equal(conn_dial(p.loop, &p.at, &options, &EVENTS, &p.client, &p.client.conn), GRID_EPERM);
    assert_int_equal(tls_context_replace(p.client_tls, &config), 0);
    pair_dial(&p);
    PUMP(p.loop, p.server.opened, 1);
    pair_shut(&p);
}

/* The server's side speaks two protocols, and so would a dial with its own terms; whoever follows them offers the one it is told. */
static void test_tls__a_context_that_follows_presents_the_same_and_offers_its_own_protocol(void **state)
{
    (void) state;
    struct pair p;
    pair_make(&p);
    struct tls_context *whole = identity_context(&p.b, &p.a, "h2,grid-control/1");
    assert_int_equal(tls_context_create_empty(&p.client_tls), 0);
    assert_int_equal(tls_context_follow(whole, p.client_tls, "h2"), GRID_EPERM);
    assert_int_equal(tls_context_follow(p.client_tls, whole, ""), GRID_EINVAL);
    assert_int_equal(tls_context_follow(p.client_tls, whole, "grid-control/1"), 0);
    tls_context_unref(whole); /* what is followed lives on */
    p.server_tls = identity_context(&p.a, &p.b, "h2,grid-control/1");
    pair_dial(&p);
    PUMP(p.loop, p.server.opened, 1);
    assert_string_equal(conn_alpn(p.server.conn), "grid-control/1");
    pair_shut(&p);
}

/* ---- HTTP/2 over it ---- */

struct h2_world {
    struct pair p;
    struct http_server *server;
    struct http_client *client;
    int accepted, answered, closed, server_closed, status;
    bool refuse_all;
};

static void exchange_on_data(void *ctx, struct http_exchange *x, struct slice bytes)
{
    (void) ctx;
    (void) x;
    (void) bytes;
}

static void exchange_on_end(void *ctx, struct http_exchange *x)
{
    (void) ctx;
    http_respond(x, conn_tls_peer(http_exchange_conn(x))->roles == TLS_ROLE_NODE ? 200 : 403, NULL, 0, SLICE("hi"));
}

static void exchange_on_close(void *ctx, struct http_exchange *x, int err)
{
    (void) ctx;
    (void) x;
    (void) err;
}

static const struct http_exchange_events EXCHANGE = {.on_data = exchange_on_data, .on_end = exchange_on_end, .on_close = exchange_on_close};

static void on_request(void *ctx, struct http_exchange *x)
{
    http_exchange_bind(x, &EXCHANGE, ctx);
}

static void on_http_accept(void *ctx, int fd, const struct addr *from)
{
    struct h2_world *w = ctx;
    (void) from;
    w->accepted++;
    http_server_accept(w->server, fd, w->p.server_tls);
}

static void call_on_head(void *ctx, struct http_call *c, int status, const struct http_header *headers, size_t count)
{
    (void) c;
    (void) headers;
    (void) count;
    ((struct h2_world *) ctx)->status = status;
}

static void call_on_data(void *ctx, struct http_call *c, struct slice bytes)
{
    (void) ctx;
    (void) c;
    (void) bytes;
}

static void call_on_close(void *ctx, struct http_call *c, int err, enum http_sent sent, uint32_t code, const struct http_header *trailers, size_t count)
{
    struct h2_world *w = ctx;
    (void) c;
    (void) sent;
    (void) code;
    (void) trailers;
    (void) count;
    assert_int_equal(err, 0);
    w->answered++;
}

static const struct http_call_events CALL = {call_on_head, call_on_data, call_on_close, NULL};

static void client_on_close(void *ctx, struct http_client *c, int err)
{
    (void) c;
    (void) err;
    ((struct h2_world *) ctx)->closed++;
}

static const struct http_client_events CLIENT = {.on_close = client_on_close};

static void count_up(void *arg)
{
    ++*(int *) arg;
}

static void h2_world_make(struct h2_world *w)
{
    struct addr at;
    *w = (struct h2_world){.accepted = 0};
    pair_make(&w->p);
    listener_close(w->p.listener);
    addr_loopback_v4(0, &at);
    w->p.server_tls = identity_context(&w->p.a, &w->p.b, "h2");
    w->p.client_tls = identity_context(&w->p.b, &w->p.a, "h2");
    assert_int_equal(http_server_create(w->p.loop, NULL, on_request, w, &w->server), 0);
    assert_int_equal(listener_create(w->p.loop, &at, NULL, on_http_accept, w, &w->p.at, &w->p.listener), 0);
}

static void h2_world_shut(struct h2_world *w)
{
    http_server_close(w->server, count_up, &w->server_closed);
    PUMP(w->p.loop, w->server_closed, 1);
    pair_shut(&w->p);
}

static void test_tls__carries_http2_and_the_handler_sees_who_asks(void **state)
{
    (void) state;
    struct h2_world w;
    h2_world_make(&w);
    const struct conn_options options = {.tls = w.p.client_tls};
    const struct http_request_head head = {.method = SLICE("GET"), .target = SLICE("/"), .authority = SLICE("node")};
    struct http_call *call;
    assert_int_equal(http2_client_dial(w.p.loop, &w.p.at, &options, &CLIENT, &w, &w.client), 0);
    assert_int_equal(http_client_call(w.client, &head, SLICE(""), false, &CALL, &w, &call), 0);
    PUMP(w.p.loop, w.answered, 1);
    assert_int_equal(w.status, 200);
    http_client_finish(w.client);
    PUMP(w.p.loop, w.closed, 1);
    h2_world_shut(&w);
}

static void test_http_server__bounds_its_half_open_handshakes(void **state)
{
    (void) state;
    enum { COUNT = 80, ALLOWED = 64 };
    struct h2_world w;
    static struct end ends[COUNT];
    h2_world_make(&w);
    memset(ends, 0, sizeof ends);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(conn_dial(w.p.loop, &w.p.at, NULL, &EVENTS, &ends[i], &ends[i].conn), 0);
    PUMP(w.p.loop, w.accepted, COUNT);
    assert_int_equal(http_server_connections(w.server), ALLOWED);
    for (int i = 0; i < COUNT; i++)
        if (ends[i].conn)
            conn_close(ends[i].conn);
    h2_world_shut(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls__carries_bytes_between_two_that_know_each_other),
        cmocka_unit_test(test_tls__keeps_decrypted_bytes_back_while_paused),
        cmocka_unit_test(test_tls__a_client_that_the_server_does_not_know_is_refused),
        cmocka_unit_test(test_tls__a_server_that_the_client_does_not_know_is_refused),
        cmocka_unit_test(test_tls__both_sides_know_when_a_certificate_was_refused_for_its_times_alone),
        cmocka_unit_test(test_tls__both_must_agree_on_a_protocol),
        cmocka_unit_test(test_tls__a_handshake_that_never_goes_on_times_out),
        cmocka_unit_test(test_tls__a_client_without_a_certificate_is_refused),
        cmocka_unit_test(test_tls__anything_below_1_3_is_refused),
        cmocka_unit_test(test_tls__refuses_a_key_that_is_not_the_certificates),
        cmocka_unit_test(test_tls__a_guest_is_told_apart_and_bound_to_its_channel),
        cmocka_unit_test(test_tls__a_guests_certificate_opens_no_other_protocol),
        cmocka_unit_test(test_tls__members_are_judged_as_before_beside_guests),
        cmocka_unit_test(test_tls__a_dialler_does_not_go_by_the_protocol_that_a_stranger_chose),
        cmocka_unit_test(test_tls__guests_without_a_certificate_or_where_there_are_none_are_refused),
        cmocka_unit_test(test_tls__goes_by_new_terms_once_they_are_replaced),
        cmocka_unit_test(test_tls__whom_a_dial_reaches_is_judged_by_the_terms_at_its_end),
        cmocka_unit_test(test_tls__who_comes_is_judged_by_the_terms_at_the_end_of_his_handshake),
        cmocka_unit_test(test_tls__who_is_good_by_the_new_terms_too_is_let_in),
        cmocka_unit_test(test_tls__an_empty_context_opens_nothing_until_it_is_filled),
        cmocka_unit_test(test_tls__a_context_that_follows_presents_the_same_and_offers_its_own_protocol),
        cmocka_unit_test(test_tls__carries_http2_and_the_handler_sees_who_asks),
        cmocka_unit_test(test_http_server__bounds_its_half_open_handshakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
