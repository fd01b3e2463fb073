/* Connections and listeners over real loopback sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "net/conn.h"
#include "net/conn_uid.h"
#include "tests/unit/net/pump.h"

/* One end of a pair, and what happened to it. */
struct end {
    struct conn *conn;
    struct buf got;
    int opened, ended, drained, closed, close_err, bytes;
    bool echo, close_on_read, finish_on_end, connected;
};

struct pair {
    struct loop *loop;
    struct listener *listener;
    struct addr at;
    struct end client, server;
    int accepted;
};

static void on_open(void *ctx, struct conn *c)
{
    (void) c;
    ((struct end *) ctx)->opened++;
}

static void on_read(void *ctx, struct conn *c, struct slice bytes)
{
    struct end *e = ctx;
    e->bytes += (int) bytes.size;
    assert_int_equal(buf_append(&e->got, bytes), 0);
    if (e->echo)
        assert_int_equal(conn_write(c, bytes), 0);
    if (e->close_on_read)
        conn_close(c);
}

static void on_end(void *ctx, struct conn *c)
{
    struct end *e = ctx;
    e->ended++;
    if (e->finish_on_end)
        conn_finish(c);
}

static void on_drained(void *ctx, struct conn *c)
{
    (void) c;
    ((struct end *) ctx)->drained++;
}

static void on_close(void *ctx, struct conn *c, int err)
{
    struct end *e = ctx;
    e->connected = conn_was_connected(c);
    e->conn = NULL;
    e->closed++;
    e->close_err = err;
}

static const struct conn_events EVENTS = {on_open, on_read, on_end, on_drained, on_close};

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    struct pair *p = ctx;
    (void) from;
    p->accepted++;
    assert_int_equal(conn_adopt(p->loop, fd, NULL, &EVENTS, &p->server, &p->server.conn), 0);
}

static void pair_listen(struct pair *p, const struct addr *at)
{
    *p = (struct pair){.accepted = 0};
    buf_init(&p->client.got, 0);
    buf_init(&p->server.got, 0);
    assert_int_equal(loop_create(&p->loop), 0);
    assert_int_equal(listener_create(p->loop, at, NULL, on_accept, p, &p->at, &p->listener), 0);
}

static void pair_connect(struct pair *p)
{
    assert_int_equal(conn_dial(p->loop, &p->at, NULL, &EVENTS, &p->client, &p->client.conn), 0);
    assert_int_equal(p->client.opened, 0);
    PUMP(p->loop, p->client.opened, 1);
    PUMP(p->loop, p->accepted, 1);
}

static void pair_open(struct pair *p)
{
    struct addr at;
    addr_loopback_v4(0, &at);
    pair_listen(p, &at);
    pair_connect(p);
}

static void pair_shut(struct pair *p)
{
    listener_close(p->listener);
    if (p->client.conn)
        conn_close(p->client.conn);
    if (p->server.conn)
        conn_close(p->server.conn);
    loop_destroy(p->loop);
    assert_true(p->client.closed <= 1 && p->server.closed <= 1);
    buf_dispose(&p->client.got);
    buf_dispose(&p->server.got);
}

static void test_conn__carries_bytes_both_ways_and_ends_in_order(void **state)
{
    (void) state;
    struct pair p;
    pair_open(&p);
    p.server.echo = p.server.finish_on_end = true;
    assert_int_equal(conn_write(p.client.conn, SLICE("hel")), 0);
    assert_int_equal(conn_write(p.client.conn, SLICE("lo")), 0);
    PUMP(p.loop, p.client.bytes, 5);
    assert_string_equal(buf_cstr(&p.client.got), "hello");
    conn_finish(p.client.conn);
    PUMP(p.loop, p.client.closed, 1);
    PUMP(p.loop, p.server.closed, 1);
    assert_int_equal(p.client.close_err, 0);
    assert_int_equal(p.server.close_err, 0);
    assert_int_equal(p.server.ended, 1);
    pair_shut(&p);
}

static void test_conn__may_be_closed_inside_its_read_callback(void **state)
{
    (void) state;
    struct pair p;
    pair_open(&p);
    p.server.close_on_read = true;
    conn_write(p.client.conn, SLICE("x"));
    PUMP(p.loop, p.server.closed, 1);
    assert_int_equal(p.server.close_err, 0);
    PUMP(p.loop, p.client.ended, 1);
    pair_shut(&p);
}

static void test_conn__stops_reading_when_paused_and_tells_when_drained(void **state)
{
    (void) state;
    enum { SIZE = 16 << 20 };
    struct pair p;
    pair_open(&p);
    uint8_t *block = calloc(1, SIZE);
    conn_pause(p.server.conn);
    assert_int_equal(conn_write(p.client.conn, slice_of(block, SIZE)), 0);
    int never = 0;
    assert_false(pump_until_value(p.loop, &never, 1, 100));
    assert_int_equal(p.server.bytes, 0);
    assert_int_equal(p.client.drained, 0);
    assert_true(conn_queued(p.client.conn) > 0);
    conn_resume(p.server.conn);
    PUMP(p.loop, p.server.bytes, SIZE);
    PUMP(p.loop, p.client.drained, 1);
    assert_int_equal(conn_queued(p.client.conn), 0);
    free(block);
    pair_shut(&p);
}

static void test_conn__writes_everything_before_it_finishes(void **state)
{
    (void) state;
    enum { SIZE = 8 << 20 };
    struct pair p;
    pair_open(&p);
    uint8_t *block = calloc(1, SIZE);
    p.client.finish_on_end = true;
    conn_write(p.server.conn, slice_of(block, SIZE));
    conn_finish(p.server.conn);
    assert_int_equal(conn_write(p.server.conn, SLICE("late")), GRID_ECLOSED);
    PUMP(p.loop, p.client.ended, 1);
    assert_int_equal(p.client.bytes, SIZE);
    PUMP(p.loop, p.server.closed, 1);
    assert_int_equal(p.server.close_err, 0);
    free(block);
    pair_shut(&p);
}

static void test_conn__says_refused_later_and_never_inside_the_dial(void **state)
{
    (void) state;
    struct pair p;
    struct addr at;
    addr_loopback_v4(0, &at);
    pair_listen(&p, &at);
    listener_close(p.listener);
    assert_int_equal(conn_dial(p.loop, &p.at, NULL, &EVENTS, &p.client, &p.client.conn), 0);
    assert_int_equal(p.client.closed, 0);
    PUMP(p.loop, p.client.closed, 1);
    assert_int_equal(p.client.close_err, GRID_EREFUSED);
    assert_int_equal(p.client.opened, 0);
    loop_destroy(p.loop);
}

static void test_conn__hears_of_a_reset(void **state)
{
    (void) state;
    struct pair p;
    pair_open(&p);
    conn_pause(p.server.conn);
    conn_write(p.client.conn, SLICE("unread"));
    int never = 0;
    pump_until_value(p.loop, &never, 1, 20);
    conn_close(p.server.conn); /* with unread bytes: the kernel resets */
    PUMP(p.loop, p.client.closed, 1);
    assert_int_equal(p.client.close_err, GRID_ECLOSED);
    pair_shut(&p);
}

static void test_conn__knows_the_uid_behind_loopback_tcp(void **state)
{
    (void) state;
    struct pair p;
    uid_t uid = 12345;
    gid_t gid;
    pair_open(&p);
    assert_int_equal(conn_peer_uid(p.server.conn, &uid, &gid), 0);
    assert_int_equal(uid, getuid());
    pair_shut(&p);
}

/* ---- whose socket it is ---- */

enum { STRANGER = 12345 };

/* A connection on loopback whose client's socket another user made, where root may do so: sockets belong to who they are made by. */
struct strangers {
    int listening, client, accepted;
    struct addr from, to; /* as the server sees the peer and itself */
    uid_t uid;            /* of the client's */
};

static void socket_addr(int fd, int (*which)(int, struct sockaddr *, socklen_t *), struct addr *out)
{
    out->size = sizeof out->u;
    assert_int_equal(which(fd, &out->u.any, &out->size), 0);
}

static int client_socket(int family, uid_t uid)
{
    uid_t own = geteuid();
    assert_int_equal(seteuid(uid), 0);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(seteuid(own), 0);
    assert_true(fd >= 0);
    return fd;
}

static void strangers_meet(struct strangers *s, const struct addr *listen_at, const struct addr *dial_to)
{
    struct addr at = *dial_to;
    socklen_t size = listen_at->size;
    s->uid = geteuid() == 0 ? STRANGER : geteuid();
    s->listening = socket(listen_at->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listening, &listen_at->u.any, size), 0);
    assert_int_equal(listen(s->listening, 1), 0);
    socket_addr(s->listening, getsockname, &s->to);
    addr_set_port(&at, addr_port(&s->to));
    s->client = client_socket(at.u.any.sa_family, s->uid);
    assert_int_equal(connect(s->client, &at.u.any, at.size), 0);
    s->accepted = accept4(s->listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(s->accepted >= 0);
    socket_addr(s->accepted, getsockname, &s->to);
    socket_addr(s->accepted, getpeername, &s->from);
}

static void strangers_part(struct strangers *s)
{
    close(s->listening);
    close(s->client);
    close(s->accepted);
}

typedef int (*uid_way)(const struct addr *from, const struct addr *to, struct conn_owner *owner);

static void uid_is(uid_way way, const struct addr *from, const struct addr *to, uid_t expected)
{
    struct conn_owner owner = {.uid = 1};
    assert_int_equal(way(from, to, &owner), 0);
    assert_int_equal(owner.uid, expected);
}

static void strangers_are_told_apart(const struct strangers *s, uid_way way)
{
    struct conn_owner owner;
    struct addr nobody = s->from;
    struct stat client;
    uid_is(way, &s->from, &s->to, s->uid);
    uid_is(way, &s->to, &s->from, geteuid()); /* the other end is the server's own */
    assert_int_equal(fstat(s->client, &client), 0);
    assert_int_equal(way(&s->from, &s->to, &owner), 0);
    assert_int_equal(owner.inode, client.st_ino);
    addr_set_port(&nobody, (uint16_t) (addr_port(&s->from) ^ 1));
    assert_int_equal(way(&nobody, &s->to, &owner), GRID_ENOENT);
    assert_int_equal(way(&s->to, &nobody, &owner), GRID_ENOENT); /* not the listener instead */
}

static void test_conn_uid__is_the_clients_by_either_way(void **state)
{
    (void) state;
    struct addr v4, v6, any6;
    addr_loopback_v4(0, &v4);
    assert_int_equal(addr_parse(SLICE("[::1]:0"), &v6), 0);
    assert_int_equal(addr_parse(SLICE("[::]:0"), &any6), 0);
    const struct {
        const struct addr *listen_at, *dial_to;
    } cases[] = {{&v4, &v4}, {&v6, &v6}, {&any6, &v4} /* the server's addresses are IPv6 then, and the client's not */};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct strangers s;
        strangers_meet(&s, cases[i].listen_at, cases[i].dial_to);
        strangers_are_told_apart(&s, conn_uid_ask);
        strangers_are_told_apart(&s, conn_uid_scan);
        strangers_part(&s);
    }
}

/* A node that is not root learns of users that are not its own. */
static void test_conn_uid__is_told_to_who_is_not_root(void **state)
{
    (void) state;
    struct strangers s;
    struct addr v4;
    uid_t own = geteuid();
    addr_loopback_v4(0, &v4);
    strangers_meet(&s, &v4, &v4);
    assert_int_equal(seteuid(own == 0 ? STRANGER + 1 : own), 0);
    uid_is(conn_uid_ask, &s.from, &s.to, s.uid);
    uid_is(conn_uid_scan, &s.from, &s.to, s.uid);
    uid_is(conn_uid_ask, &s.to, &s.from, own);
    uid_is(conn_uid_scan, &s.to, &s.from, own);
    assert_int_equal(seteuid(own), 0);
    strangers_part(&s);
}

/* What the kernel says of 127.0.0.1:8080 -> 127.0.0.1:50000, a socket of uid 1000, but for what a case changes. */
static struct inet_diag_msg live_socket(void)
{
    struct inet_diag_msg m = {.idiag_family = AF_INET, .idiag_uid = 1000, .idiag_inode = 777};
    m.id.idiag_sport = htons(8080);
    m.id.idiag_dport = htons(50000);
    m.id.idiag_src[0] = m.id.idiag_dst[0] = htonl(INADDR_LOOPBACK);
    return m;
}

static bool answer_matches(uint16_t type, const struct inet_diag_msg *m, size_t size)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_msg m;
    } answer = {.head = {.nlmsg_type = type, .nlmsg_len = sizeof answer}, .m = *m};
    struct addr from, to;
    struct conn_owner owner = {0};
    addr_loopback_v4(8080, &from);
    addr_loopback_v4(50000, &to);
    bool matches = conn_uid_match_answer(slice_of(&answer, size < sizeof answer ? size : sizeof answer), &from, &to, &owner);
    assert_int_equal(owner.uid, matches ? 1000 : 0);
    assert_int_equal(owner.inode, matches ? 777 : 0);
    return matches;
}

static void test_conn_uid__takes_none_from_answers_that_are_of_no_live_socket(void **state)
{
    (void) state;
    struct inet_diag_msg m = live_socket();
    assert_true(answer_matches(SOCK_DIAG_BY_FAMILY, &m, SIZE_MAX));
    assert_false(answer_matches(NLMSG_ERROR, &m, SIZE_MAX));
    assert_false(answer_matches(SOCK_DIAG_BY_FAMILY, &m, sizeof(struct nlmsghdr) + sizeof m - 1));
    m.idiag_inode = 0; /* TIME_WAIT, or closed and not yet gone */
    assert_false(answer_matches(SOCK_DIAG_BY_FAMILY, &m, SIZE_MAX));
    m = live_socket();
    m.id.idiag_dport = 0; /* a listener */
    assert_false(answer_matches(SOCK_DIAG_BY_FAMILY, &m, SIZE_MAX));
    m = live_socket();
    m.id.idiag_sport = htons(50000); /* the other end */
    m.id.idiag_dport = htons(8080);
    assert_false(answer_matches(SOCK_DIAG_BY_FAMILY, &m, SIZE_MAX));
}

static void test_conn__takes_no_uid_from_rows_without_a_live_socket(void **state)
{
    (void) state;
    static const struct {
        const char *line;
        bool match;
    } cases[] = {
        {"  1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 777 1 x", true},
        {"  1: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:C350 01 0:0 00:0 0  1000        0 777 1", true},
        {"  1: 0100007F:1F90 0100007F:C350 06 00000000:00000000 03:00000000 00000000     0        0 0 3 x", false},
        {"  1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 777 1 x", false},
        {"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode", false},
        {"", false},
    };
    struct addr from, to;
    addr_loopback_v4(8080, &from);
    addr_loopback_v4(50000, &to);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct conn_owner owner = {0};
        assert_int_equal(conn_uid_match_line(cases[i].line, &from, &to, &owner), cases[i].match);
        assert_int_equal(owner.uid, cases[i].match ? 1000 : 0);
        assert_int_equal(owner.inode, cases[i].match ? 777 : 0);
    }
}

static void test_listener__serves_a_unix_socket_and_replaces_a_stale_one(void **state)
{
    (void) state;
    char folder[] = "/tmp/test-conn-XXXXXX", path[64];
    struct addr at;
    struct pair p;
    struct listener *second;
    struct stat info;
    uid_t uid;
    gid_t gid;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    assert_int_equal(addr_unix(path, &at), 0);
    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(stale, &at.u.any, at.size), 0);
    close(stale);
    pair_listen(&p, &at);
    pair_connect(&p);
    assert_int_equal(conn_peer_uid(p.server.conn, &uid, &gid), 0);
    assert_int_equal(uid, getuid());
    assert_int_equal(gid, getgid());
    assert_int_equal(listener_create(p.loop, &at, NULL, on_accept, &p, NULL, &second), GRID_EBUSY);
    pair_shut(&p);
    assert_int_not_equal(stat(path, &info), 0);
    rmdir(folder);
}

/* A file with four bytes in it. */
static void write_precious(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "gold", 4), 4);
    close(fd);
}

static void test_listener__leaves_what_is_no_socket_at_its_path(void **state)
{
    (void) state;
    char folder[] = "/tmp/test-conn-XXXXXX", file[64], link[64], dead[64], inner[64], stale[64], to_stale[64];
    struct loop *l;
    struct listener *none;
    struct addr at;
    struct stat info;
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    snprintf(dead, sizeof dead, "%s/dead", folder);
    snprintf(inner, sizeof inner, "%s/folder", folder);
    snprintf(stale, sizeof stale, "%s/stale", folder);
    snprintf(to_stale, sizeof to_stale, "%s/to_stale", folder);
    write_precious(file);
    assert_int_equal(symlink(file, link), 0);
    assert_int_equal(symlink("/nowhere/at/all", dead), 0);
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_int_equal(addr_unix(stale, &at), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, &at.u.any, at.size), 0);
    close(fd);
    assert_int_equal(symlink(stale, to_stale), 0);
    assert_int_equal(loop_create(&l), 0);
    const char *paths[] = {file, link, dead, inner, to_stale};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(addr_unix(paths[i], &at), 0);
        assert_int_equal(listener_create(l, &at, NULL, on_accept, NULL, NULL, &none), GRID_EEXIST);
        assert_int_equal(lstat(paths[i], &info), 0);
        assert_false(S_ISSOCK(info.st_mode));
    }
    assert_int_equal(stat(file, &info), 0);
    assert_int_equal(info.st_size, 4);
    assert_int_equal(stat(stale, &info), 0);
    loop_destroy(l);
    const char *files[] = {file, link, dead, stale, to_stale};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(files[i]);
    rmdir(inner);
    rmdir(folder);
}

static void test_listener__says_busy_when_the_port_is_taken(void **state)
{
    (void) state;
    struct addr at;
    struct pair p;
    struct listener *second;
    addr_loopback_v4(0, &at);
    pair_listen(&p, &at);
    assert_int_not_equal(addr_port(&p.at), 0);
    assert_int_equal(listener_create(p.loop, &p.at, NULL, on_accept, &p, NULL, &second), GRID_EBUSY);
    pair_shut(&p);
}

/* ---- a port for several workers ---- */

enum { SHARERS = 3, DIALS = 96, STARTS = 100 };

static void on_shared_accept(void *ctx, int fd, const struct addr *from)
{
    (void) from;
    ++*(int *) ctx;
    close(fd);
}

static int share(struct loop *l, struct addr *at, bool first, int *accepted, struct listener **out)
{
    struct listener_options options = {.reuse_port = true, .first = first};
    return listener_create(l, at, &options, on_shared_accept, accepted, at, out);
}

/* Until every dial was accepted and ended. */
static void dial_all(struct loop *l, struct addr *at, struct end ends[DIALS])
{
    for (int i = 0; i < DIALS; i++) {
        ends[i] = (struct end){.finish_on_end = true};
        buf_init(&ends[i].got, 0);
        assert_int_equal(conn_dial(l, at, NULL, &EVENTS, &ends[i], &ends[i].conn), 0);
    }
    for (int i = 0; i < DIALS; i++)
        PUMP(l, ends[i].closed, 1);
}

static void test_listener__shares_its_port_with_workers_and_with_no_other_first(void **state)
{
    (void) state;
    static struct end ends[DIALS];
    struct loop *l;
    struct addr at;
    struct listener *sharers[SHARERS], *other;
    int accepted[SHARERS] = {0}, total = 0;
    addr_loopback_v4(0, &at);
    assert_int_equal(loop_create(&l), 0);
    for (int i = 0; i < SHARERS; i++) {
        assert_int_equal(share(l, &at, i == 0, &accepted[i], &sharers[i]), 0);
        assert_int_equal(share(l, &at, true, &total, &other), GRID_EBUSY);
        assert_int_equal(listener_create(l, &at, NULL, on_shared_accept, &total, NULL, &other), GRID_EBUSY);
    }
    dial_all(l, &at, ends);
    for (int i = 0; i < SHARERS; i++) {
        assert_true(accepted[i] > 0);
        total += accepted[i];
        listener_close(sharers[i]);
    }
    assert_int_equal(total, DIALS);
    loop_destroy(l);
}

struct starter {
    struct addr at;
    pthread_barrier_t *barrier;
    atomic_int *winners;
};

static void *start_often(void *arg)
{
    struct starter *s = arg;
    struct loop *l;
    int accepted = 0;
    assert_int_equal(loop_create(&l), 0);
    for (int i = 0; i < STARTS; i++) {
        struct listener *listener = NULL;
        struct addr at = s->at;
        pthread_barrier_wait(s->barrier);
        if (share(l, &at, true, &accepted, &listener) == 0)
            s->winners[i]++;
        pthread_barrier_wait(s->barrier);
        if (listener)
            listener_close(listener);
    }
    loop_destroy(l);
    return NULL;
}

static void test_listener__gives_the_port_to_one_of_two_that_start_at_once(void **state)
{
    (void) state;
    static atomic_int winners[STARTS];
    struct pair p;
    pthread_barrier_t barrier;
    pthread_t threads[2];
    struct starter starter = {.barrier = &barrier, .winners = winners};
    addr_loopback_v4(0, &starter.at);
    pair_listen(&p, &starter.at);
    starter.at = p.at; /* free again in a moment */
    pair_shut(&p);
    pthread_barrier_init(&barrier, NULL, 2);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start_often, &starter), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    for (int i = 0; i < STARTS; i++)
        assert_int_equal(winners[i], 1);
}

/* The descriptor of a TCP connection by its two ends' ports. */
static int find_socket(uint16_t local_port, uint16_t peer_port)
{
    for (int fd = 3; fd < 256; fd++) {
        struct addr local = {.size = sizeof local.u}, peer = {.size = sizeof peer.u};
        if (getsockname(fd, &local.u.any, &local.size) == 0 && getpeername(fd, &peer.u.any, &peer.size) == 0 && addr_port(&local) == local_port &&
            addr_port(&peer) == peer_port)
            return fd;
    }
    fail_msg("no such connection");
    return -1;
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static void expect_thin(int fd, int unacknowledged_ms)
{
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), unacknowledged_ms);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS), 1);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    int rto_max = 0;
    socklen_t size = sizeof rto_max;
    if (getsockopt(fd, IPPROTO_TCP, 44, &rto_max, &size) == 0) /* TCP_RTO_MAX_MS, in kernels of today */
        assert_int_equal(rto_max, 1000);
}

static void test_conn__is_thin_on_both_sides_when_asked(void **state)
{
    struct addr at;
    struct pair p;
    (void) state;
    addr_loopback_v4(0, &at);
    pair_listen(&p, &at);
    pair_connect(&p);
    conn_make_thin(p.client.conn, 3210);
    uint16_t client = addr_port(conn_local_addr(p.client.conn)), server = addr_port(&p.at);
    expect_thin(find_socket(client, server), 3210);
    assert_int_equal(option_of(find_socket(server, client), IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
    conn_make_thin(p.server.conn, 1234);
    expect_thin(find_socket(server, client), 1234);
    conn_close(p.client.conn);
    PUMP(p.loop, p.client.closed, 1);
    assert_true(p.client.connected);
    pair_shut(&p);
}

static void test_conn__knows_whether_a_kernel_ever_took_it(void **state)
{
    struct addr at;
    struct pair p;
    (void) state;
    addr_loopback_v4(0, &at);
    pair_listen(&p, &at);
    listener_close(p.listener);
    assert_int_equal(conn_dial(p.loop, &p.at, NULL, &EVENTS, &p.client, &p.client.conn), 0);
    PUMP(p.loop, p.client.closed, 1);
    assert_int_equal(p.client.close_err, GRID_EREFUSED);
    assert_false(p.client.connected);
    loop_destroy(p.loop);
    buf_dispose(&p.client.got);
    buf_dispose(&p.server.got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn__is_thin_on_both_sides_when_asked),
        cmocka_unit_test(test_conn__knows_whether_a_kernel_ever_took_it),
        cmocka_unit_test(test_conn__carries_bytes_both_ways_and_ends_in_order),
        cmocka_unit_test(test_conn__may_be_closed_inside_its_read_callback),
        cmocka_unit_test(test_conn__stops_reading_when_paused_and_tells_when_drained),
        cmocka_unit_test(test_conn__writes_everything_before_it_finishes),
        cmocka_unit_test(test_conn__says_refused_later_and_never_inside_the_dial),
        cmocka_unit_test(test_conn__hears_of_a_reset),
        cmocka_unit_test(test_conn__knows_the_uid_behind_loopback_tcp),
        cmocka_unit_test(test_conn_uid__is_the_clients_by_either_way),
        cmocka_unit_test(test_conn_uid__is_told_to_who_is_not_root),
        cmocka_unit_test(test_conn_uid__takes_none_from_answers_that_are_of_no_live_socket),
        cmocka_unit_test(test_conn__takes_no_uid_from_rows_without_a_live_socket),
        cmocka_unit_test(test_listener__serves_a_unix_socket_and_replaces_a_stale_one),
        cmocka_unit_test(test_listener__leaves_what_is_no_socket_at_its_path),
        cmocka_unit_test(test_listener__says_busy_when_the_port_is_taken),
        cmocka_unit_test(test_listener__shares_its_port_with_workers_and_with_no_other_first),
        cmocka_unit_test(test_listener__gives_the_port_to_one_of_two_that_start_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
