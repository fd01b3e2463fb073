/* A trivial task in C: answers each request on TASK_PORT with the request's own body. One thread, epoll, keep-alive; what the end-to-end
 * tests call as "a compiled task", and what the benchmark puts behind every proxy alike. It trusts its caller: no limits but memory. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Bytes in and bytes out of one connection. */
struct bytes {
    char *data;
    size_t size, capacity;
};

struct connection {
    int fd;
    struct bytes in, out;
    int continued; /* the interim answer to this request's Expect has been given */
    int writing;   /* waits for room to write */
};

static int poller;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void bytes_reserve(struct bytes *b, size_t more)
{
    if (b->capacity - b->size >= more)
        return;
    b->capacity = (b->size + more) * 2;
    b->data = realloc(b->data, b->capacity);
    if (!b->data)
        die("task_echo: realloc");
}

static void bytes_append(struct bytes *b, const void *data, size_t size)
{
    bytes_reserve(b, size);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void bytes_consume(struct bytes *b, size_t size)
{
    memmove(b->data, b->data + size, b->size - size);
    b->size -= size;
}

/* Value of a header in a head that ends in an empty line, with its length; NULL when it is not there. */
static const char *header_find(const char *head, size_t size, const char *name, size_t *length)
{
    const char *end = head + size;
    size_t name_length = strlen(name);
    for (const char *line = memchr(head, '\n', size); line && (size_t) (end - ++line) > name_length; line = memchr(line, '\n', (size_t) (end - line))) {
        if (strncasecmp(line, name, name_length) != 0 || line[name_length] != ':')
            continue;
        const char *value = line + name_length + 1;
        while (*value == ' ')
            value++;
        *length = (size_t) ((const char *) memchr(value, '\r', (size_t) (end - value)) - value);
        return value;
    }
    return NULL;
}

static size_t head_size(const struct bytes *in)
{
    const char *end = in->size ? memmem(in->data, in->size, "\r\n\r\n", 4) : NULL;
    return end ? (size_t) (end - in->data) + 4 : 0;
}

static void answer(struct connection *c, const char *head, size_t size, const char *body, size_t length)
{
    size_t type_length = 24;
    const char *type = header_find(head, size, "Content-Type", &type_length);
    if (!type)
        type = "application/octet-stream";
    char text[512];
    int n = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: %.*s\r\nContent-Length: %zu\r\n\r\n",
                     (int) (type_length > 200 ? 200 : type_length), type, length);
    bytes_append(&c->out, text, (size_t) n);
    bytes_append(&c->out, body, length);
}

/* Answers one request of the input. Returns 0 when there is no whole one. */
static int serve_one(struct connection *c)
{
    size_t size = head_size(&c->in), length = 0, ignored;
    if (size == 0)
        return 0;
    const char *value = header_find(c->in.data, size, "Content-Length", &ignored);
    if (value)
        length = strtoul(value, NULL, 10);
    if (c->in.size - size < length) {
        if (!c->continued && header_find(c->in.data, size, "Expect", &ignored))
            bytes_append(&c->out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        c->continued = 1;
        return 0;
    }
    answer(c, c->in.data, size, c->in.data + size, length);
    bytes_consume(&c->in, size + length);
    c->continued = 0;
    return 1;
}

static void connection_close(struct connection *c)
{
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c);
}

/* Writes what there is; waits for room only when some is left. Returns -1 when the connection is gone. */
static int connection_flush(struct connection *c)
{
    while (c->out.size > 0) {
        ssize_t n = send(c->fd, c->out.data, c->out.size, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return -1;
        bytes_consume(&c->out, (size_t) n);
    }
    int writing = c->out.size > 0;
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0u), .data.ptr = c};
    if (writing != c->writing)
        epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
    c->writing = writing;
    return 0;
}

static void connection_ready(struct connection *c)
{
    ssize_t n = 1;
    do {
        bytes_reserve(&c->in, 65536);
        n = recv(c->fd, c->in.data + c->in.size, c->in.capacity - c->in.size, MSG_DONTWAIT);
        if (n > 0)
            c->in.size += (size_t) n;
    } while (n > 0 && c->in.size == c->in.capacity);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        connection_close(c);
        return;
    }
    while (serve_one(c))
        ;
    if (connection_flush(c) < 0)
        connection_close(c);
}

static void listener_ready(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        if (!c)
            die("task_echo: calloc");
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
            die("task_echo: epoll_ctl");
    }
}

static int listen_on(const char *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short) atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof address) < 0 || listen(fd, 1024) < 0)
        die("task_echo: cannot listen on TASK_PORT");
    return fd;
}

int main(void)
{
    const char *port = getenv("TASK_PORT");
    if (!port) {
        fprintf(stderr, "task_echo: TASK_PORT is not set\n");
        return 2;
    }
    int listener = listen_on(port);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event) < 0)
        die("task_echo: epoll");
    for (;;) {
        struct epoll_event events[64];
        int count = epoll_wait(poller, events, 64, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                connection_ready(events[i].data.ptr);
            else
                listener_ready(listener);
        }
    }
}
