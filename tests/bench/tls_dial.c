/* tls_dial HOST:PORT COUNT AT_ONCE AUTHORITY.crt NAME.crt NAME.key: dials as a node dials another (net/conn over net/tls, judged by trust/verify), ends each
 * connection once the handshake is done on both sides, and prints {"handshakes", "seconds", "cpu_us"}: microseconds of CPU per handshake. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/err.h"
#include "net/conn.h"
#include "trust/authority.h"
#include "trust/file.h"
#include "trust/verify.h"

struct dialer {
    struct loop *loop;
    struct addr to;
    struct tls_context *tls;
    struct verifier *verifier;
    unsigned long left, done, wanted;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "tls_dial: %s: %s\n", what, why);
    exit(1);
}

static int judge(void *arg, struct x509_st *const *chain, size_t count, struct tls_peer *peer, char why[160])
{
    struct dialer *d = arg;
    struct verify_holder holder;
    int err = verify_parsed(d->verifier, chain, count, (int64_t) time(NULL), &holder, why);
    if (err == 0) {
        memcpy(peer->id, holder.id, sizeof peer->id);
        peer->roles = holder.roles;
    }
    return err;
}

static void dial(struct dialer *d);

static void on_open(void *ctx, struct conn *c)
{
    (void) ctx;
    conn_finish(c); /* the other side's end says that it has judged our certificate too */
}

static void on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx, (void) c, (void) bytes;
}

static void on_close(void *ctx, struct conn *c, int err)
{
    struct dialer *d = ctx;
    (void) c;
    if (err != 0)
        fail("a connection ended", grid_err_text(err));
    d->done++;
    if (d->left > 0)
        dial(d);
    else if (d->done == d->wanted)
        loop_stop(d->loop);
}

static void dial(struct dialer *d)
{
    static const struct conn_events EVENTS = {.on_open = on_open, .on_read = on_read, .on_close = on_close};
    const struct conn_options options = {.tls = d->tls};
    struct conn *c;
    d->left--;
    if (conn_dial(d->loop, &d->to, &options, &EVENTS, d, &c) != 0)
        fail("cannot dial", "see errno");
}

static void read_pem(const char *path, struct buf *out)
{
    bool others;
    buf_init(out, 0);
    if (trust_file_read(path, out, &others) != 0)
        fail(path, "cannot be read");
}

static void set_up(struct dialer *d, char **paths)
{
    struct buf authority, certificate, key, authority_der, certificate_der;
    struct key *k;
    char why[TRUST_WHY_MAX];
    read_pem(paths[0], &authority), read_pem(paths[1], &certificate), read_pem(paths[2], &key);
    buf_init(&authority_der, 0), buf_init(&certificate_der, 0);
    if (certificate_parse_pem(buf_slice(&authority), &authority_der) != 0 || certificate_parse_pem(buf_slice(&certificate), &certificate_der) != 0 ||
        key_parse_pem(buf_slice(&key), &k, why) != 0)
        fail("PEM", "the files are not a certificate, a certificate and a key");
    struct slice accepted = buf_slice(&authority_der);
    const struct tls_config config = {.certificate_der = buf_slice(&certificate_der), .issuer_der = buf_slice(&authority_der), .key_der = key_private_der(k),
                                      .verify = judge, .verify_arg = d, .alpn = "h2"};
    if (verifier_create(&accepted, 1, NULL, 0, &d->verifier) != 0 || tls_context_create(&config, &d->tls) != 0)
        fail("TLS", "the files do not belong together");
    key_destroy(k);
}

static double seconds_of(struct timeval t)
{
    return (double) t.tv_sec + (double) t.tv_usec / 1e6;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

int main(int argc, char **argv)
{
    struct dialer d = {0};
    struct timespec from, until;
    if (argc != 7 || addr_parse(slice_of_str(argv[1]), &d.to) != 0)
        fail("usage", "tls_dial HOST:PORT COUNT AT_ONCE AUTHORITY.crt NAME.crt NAME.key");
    d.left = d.wanted = strtoul(argv[2], NULL, 10);
    set_up(&d, argv + 4);
    if (loop_create(&d.loop) != 0)
        fail("loop", "out of memory");
    double cpu = cpu_seconds();
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned long i = strtoul(argv[3], NULL, 10); i > 0 && d.left > 0; i--)
        dial(&d);
    loop_run(d.loop);
    clock_gettime(CLOCK_MONOTONIC, &until);
    double seconds = (double) (until.tv_sec - from.tv_sec) + (double) (until.tv_nsec - from.tv_nsec) / 1e9;
    printf("{\"handshakes\":%lu,\"seconds\":%.6f,\"cpu_us\":%.2f}\n", d.done, seconds, (cpu_seconds() - cpu) * 1e6 / (double) d.done);
    return 0;
}
