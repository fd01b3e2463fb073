/* Who listens on a port: real sockets, and answers that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "net/listening.h"

/* A socket bound to the address; its port comes back. -1 where the family is not to be had. */
static int bind_to(const char *text, bool listens, uint16_t *port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    bool is_six = strchr(text, ':') != NULL;
    struct sockaddr *at = is_six ? (struct sockaddr *) &six : (struct sockaddr *) &four;
    socklen_t size = is_six ? sizeof six : sizeof four;
    assert_int_equal(inet_pton(is_six ? AF_INET6 : AF_INET, text, is_six ? (void *) &six.sin6_addr : (void *) &four.sin_addr), 1);
    int fd = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, at, size) != 0)
        return -1;
    assert_true(!listens || listen(fd, 4) == 0);
    assert_int_equal(getsockname(fd, at, &size), 0);
    *port = ntohs(is_six ? six.sin6_port : four.sin_port);
    return fd;
}

static void test_listening__finds_who_listens_and_how_widely(void **state)
{
    static const struct {
        const char *address;
        bool wide;
    } cases[] = {{"127.0.0.1", false}, {"127.1.1.1", false}, {"0.0.0.0", true}, {"::1", false}, {"::", true}, {"::ffff:127.0.0.1", false}};
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct listening found;
        struct stat st;
        uint16_t port;
        int fd = bind_to(cases[i].address, true, &port);
        if (fd < 0)
            continue;
        assert_int_equal(fstat(fd, &st), 0);
        int err = listening_find(port, &found);
        close(fd);
        if (err == GRID_EUNSUPPORTED)
            skip();
        assert_int_equal(err, 0);
        assert_int_equal(found.count, 1);
        assert_int_equal(found.inodes[0], st.st_ino);
        assert_int_equal(found.wide, cases[i].wide);
    }
}

static void test_listening__a_bound_socket_and_a_connection_are_no_listeners(void **state)
{
    struct listening found;
    uint16_t port, listening_port;
    int bound = bind_to("127.0.0.1", false, &port), listener = bind_to("127.0.0.1", true, &listening_port);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(listening_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void) state;
    assert_int_equal(connect(bound, (struct sockaddr *) &to, sizeof to), 0);
    if (listening_find(port, &found) == GRID_EUNSUPPORTED)
        skip();
    assert_int_equal(found.count, 0);
    assert_false(found.wide);
    assert_int_equal(listening_find(listening_port, &found), 0);
    assert_int_equal(found.count, 1);
    close(listener);
    assert_int_equal(listening_find(listening_port, &found), 0);
    assert_int_equal(found.count, 0);
    close(bound);
}

static void test_listening__what_is_no_answer_is_none(void **state)
{
    struct listening out = {0};
    struct nlmsghdr head = {.nlmsg_len = sizeof head, .nlmsg_type = NLMSG_ERROR};
    (void) state;
    assert_int_equal(listening_take(slice_of(&head, sizeof head), 1, &out), GRID_EUNSUPPORTED);
    head.nlmsg_type = NLMSG_DONE;
    assert_int_equal(listening_take(slice_of(&head, sizeof head), 1, &out), 0);
    assert_int_equal(listening_take(slice_of(&head, sizeof head - 1), 1, &out), GRID_EUNSUPPORTED);
    assert_int_equal(listening_take(slice_of(NULL, 0), 1, &out), 1);
    head = (struct nlmsghdr){.nlmsg_len = 4096, .nlmsg_type = 20 /* SOCK_DIAG_BY_FAMILY */};
    assert_int_equal(listening_take(slice_of(&head, sizeof head), 1, &out), GRID_EUNSUPPORTED);
    assert_int_equal(out.count, 0);
}

/* ---- answers as a kernel might give them ---- */

enum { PORT = 8080 };

/* One socket of an answer. */
struct told {
    const char *address;
    uint16_t port;
    uint8_t state;
    uint32_t inode;
};

static void add_told(const struct told *t, uint8_t *packet, size_t *size)
{
    struct inet_diag_msg socket = {.idiag_family = strchr(t->address, ':') ? AF_INET6 : AF_INET, .idiag_state = t->state, .idiag_inode = t->inode};
    struct nlmsghdr head = {.nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_len = NLMSG_HDRLEN + sizeof socket};
    socket.id.idiag_sport = htons(t->port);
    assert_int_equal(inet_pton(socket.idiag_family, t->address, socket.id.idiag_src), 1);
    memcpy(packet + *size, &head, sizeof head);
    memcpy(packet + *size + NLMSG_HDRLEN, &socket, sizeof socket);
    *size += NLMSG_ALIGN(head.nlmsg_len);
}

static void take_told(const struct told *told, size_t count, struct listening *out)
{
    uint8_t packet[2048];
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        add_told(&told[i], packet, &size);
    assert_int_equal(listening_take(slice_of(packet, size), PORT, out), 1);
}

static void test_listening__counts_of_an_answer_what_listens_on_that_port(void **state)
{
    static const struct told told[] = {{"127.0.0.1", PORT, TCP_LISTEN, 1}, {"0.0.0.0", PORT, TCP_ESTABLISHED, 2}, {"0.0.0.0", PORT + 1, TCP_LISTEN, 3}, {"::1", PORT, TCP_LISTEN, 4}};
    struct listening found = {0};
    (void) state;
    take_told(told, sizeof told / sizeof *told, &found);
    assert_int_equal(found.count, 2);
    assert_int_equal(found.inodes[0], 1);
    assert_int_equal(found.inodes[1], 4);
    assert_false(found.wide);
}

static void test_listening__is_wide_by_any_one_of_several(void **state)
{
    static const char *const wide[] = {"10.0.0.1", "0.0.0.0", "::", "::ffff:10.0.0.1", "fe80::1", "::7f00:1"};
    (void) state;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        const struct told told[] = {{"127.0.0.1", PORT, TCP_LISTEN, 1}, {wide[i], PORT, TCP_LISTEN, 2}, {"::ffff:127.0.0.1", PORT, TCP_LISTEN, 3}};
        struct listening found = {0};
        take_told(told, 1, &found);
        assert_false(found.wide);
        take_told(told, 3, &found);
        assert_true(found.wide);
    }
}

static void test_listening__knows_as_many_as_there_is_room_for_and_how_wide_all_are(void **state)
{
    struct told told = {"127.0.0.1", PORT, TCP_LISTEN, 0};
    struct listening found = {0};
    (void) state;
    for (uint32_t i = 1; i <= LISTENING_MAX + 1; i++) {
        told.inode = i;
        told.address = i > LISTENING_MAX ? "0.0.0.0" : "127.0.0.1";
        take_told(&told, 1, &found);
        assert_int_equal(found.count, i < LISTENING_MAX ? i : LISTENING_MAX);
        assert_int_equal(found.inodes[found.count - 1], found.count);
    }
    assert_true(found.wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listening__finds_who_listens_and_how_widely),
        cmocka_unit_test(test_listening__a_bound_socket_and_a_connection_are_no_listeners),
        cmocka_unit_test(test_listening__what_is_no_answer_is_none),
        cmocka_unit_test(test_listening__counts_of_an_answer_what_listens_on_that_port),
        cmocka_unit_test(test_listening__is_wide_by_any_one_of_several),
        cmocka_unit_test(test_listening__knows_as_many_as_there_is_room_for_and_how_wide_all_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
