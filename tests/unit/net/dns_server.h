/* A name server of one test, on the test's own loop: answers every question with what the test says. */
#ifndef GRID_TESTS_NET_DNS_SERVER_H
#define GRID_TESTS_NET_DNS_SERVER_H

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "net/loop.h"

struct dns_server {
    uv_udp_t socket;
    uint8_t query[512], answer[1024];
    size_t query_size, answer_size;
    int asked;
    char address[32];
    /* Writes the answer to s->query (whose header and question are in s->answer already, `answer_size` of them). */
    void (*reply)(struct dns_server *s);
};

static inline void dns_server_room(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    struct dns_server *s = handle->data;
    (void) size;
    *out = uv_buf_init((char *) s->query, sizeof s->query);
}

static inline void dns_server_on_query(uv_udp_t *socket, ssize_t size, const uv_buf_t *room, const struct sockaddr *from, unsigned flags)
{
    struct dns_server *s = socket->data;
    (void) room;
    (void) flags;
    if (size < 12 || !from)
        return;
    s->asked++;
    s->query_size = s->answer_size = (size_t) size;
    memcpy(s->answer, s->query, s->query_size);
    memcpy(s->answer + 2, "\x85\x80", 2);             /* an authority's answer */
    memcpy(s->answer + 6, "\0\0\0\0\0\0", 6);          /* no records so far, and the question's EDNS is not repeated */
    size_t end = 12;
    while (end < s->query_size && s->query[end] != 0)
        end += s->query[end] + 1u;
    s->answer_size = end + 5;
    s->reply(s);
    uv_buf_t out = uv_buf_init((char *) s->answer, (unsigned) s->answer_size);
    uv_udp_try_send(socket, &out, 1, from);
}

static inline void dns_server_open(struct dns_server *s, struct loop *l, void (*reply)(struct dns_server *s))
{
    struct sockaddr_in at;
    int size = sizeof at;
    *s = (struct dns_server){.reply = reply};
    uv_ip4_addr("127.0.0.1", 0, &at);
    int err = uv_udp_init(loop_uv(l), &s->socket);
    s->socket.data = s;
    err = err ? err : uv_udp_bind(&s->socket, (const struct sockaddr *) &at, 0);
    err = err ? err : uv_udp_getsockname(&s->socket, (struct sockaddr *) &at, &size);
    err = err ? err : uv_udp_recv_start(&s->socket, dns_server_room, dns_server_on_query);
    assert(err == 0);
    (void) err;
    snprintf(s->address, sizeof s->address, "127.0.0.1:%u", ntohs(at.sin_port));
}

/* A record for the question's name. */
static inline void dns_server_add(struct dns_server *s, uint16_t type, uint32_t ttl_s, const void *data, uint16_t size)
{
    const uint8_t fixed[12] = {0xc0, 12, (uint8_t) (type >> 8), (uint8_t) type, 0, 1, (uint8_t) (ttl_s >> 24), (uint8_t) (ttl_s >> 16), (uint8_t) (ttl_s >> 8), (uint8_t) ttl_s,
                               (uint8_t) (size >> 8), (uint8_t) size};
    memcpy(s->answer + s->answer_size, fixed, sizeof fixed);
    memcpy(s->answer + s->answer_size + sizeof fixed, data, size);
    s->answer_size += sizeof fixed + size;
    s->answer[7]++;
}

static inline uint16_t dns_server_question(const struct dns_server *s)
{
    size_t end = 12;
    while (s->query[end] != 0)
        end += s->query[end] + 1u;
    return (uint16_t) (s->query[end + 1] << 8 | s->query[end + 2]);
}

#endif
