/* tests/unit/server/fake_task.h: a task as the node sees it: a TCP server on a loopback port whose behaviour is a function of the
 * test, run per connection in a thread of its own, or one connection after the other when it is serial. */
#ifndef GRID_TESTS_FAKE_TASK_H
#define GRID_TESTS_FAKE_TASK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAKE_CONNS_MAX = 256, FAKE_HEAD_MAX = 8192 };

struct fake_task;
typedef void (*fake_serve)(struct fake_task *t, int fd);

struct fake_task {
    fake_serve serve;
    bool serial;
    uint16_t port;
    int listener;
    pthread_t acceptor;
    pthread_mutex_t lock;
    int fds[FAKE_CONNS_MAX];
    pthread_t threads[FAKE_CONNS_MAX];
    unsigned conn_count;
    atomic_bool stopping;
    atomic_uint requests, connections, hung_up; /* hung_up: connections that the node ended while a request was being served */
    char last_head[FAKE_HEAD_MAX];              /* of the last request; read it when the call has ended */
    char last_body[FAKE_HEAD_MAX];
};

struct fake_conn {
    struct fake_task *task;
    int fd;
    unsigned index;
};

/* The request that this connection's thread serves. */
static _Thread_local char fake_head[FAKE_HEAD_MAX], fake_body[FAKE_HEAD_MAX];

static inline void fake_show(struct fake_task *t)
{
    pthread_mutex_lock(&t->lock);
    memcpy(t->last_head, fake_head, sizeof fake_head);
    memcpy(t->last_body, fake_body, sizeof fake_body);
    pthread_mutex_unlock(&t->lock);
}

/* Reads one byte at a time up to the empty line. False at the connection's end. */
static inline bool fake_read_head(struct fake_task *t, int fd)
{
    size_t size = 0;
    while (size + 1 < sizeof fake_head) {
        if (recv(fd, fake_head + size, 1, 0) != 1)
            return false;
        size++;
        if (size >= 4 && memcmp(fake_head + size - 4, "\r\n\r\n", 4) == 0)
            break;
    }
    fake_head[size] = '\0';
    fake_body[0] = '\0';
    fake_show(t);
    atomic_fetch_add(&t->requests, 1);
    return true;
}

static inline size_t fake_content_length(void)
{
    const char *at = strcasestr(fake_head, "content-length: ");
    return at ? strtoul(at + 16, NULL, 10) : 0;
}

static inline bool fake_read_body(struct fake_task *t, int fd)
{
    size_t left = fake_content_length(), size = 0;
    char rest[4096];
    while (left > 0) {
        ssize_t count = recv(fd, rest, left < sizeof rest ? left : sizeof rest, 0);
        if (count <= 0)
            return false;
        if (size + (size_t) count < sizeof fake_body) {
            memcpy(fake_body + size, rest, (size_t) count);
            size += (size_t) count;
            fake_body[size] = '\0';
        }
        left -= (size_t) count;
    }
    fake_show(t);
    return true;
}

static inline bool fake_read(struct fake_task *t, int fd)
{
    return fake_read_head(t, fd) && fake_read_body(t, fd);
}

static inline void fake_write(int fd, const char *text)
{
    size_t size = strlen(text), done = 0;
    while (done < size) {
        ssize_t count = send(fd, text + done, size - done, MSG_NOSIGNAL);
        if (count <= 0)
            return;
        done += (size_t) count;
    }
}

static inline void fake_answer(int fd, const char *status, const char *headers, const char *body)
{
    char text[2048];
    snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", status, strlen(body), headers, body);
    fake_write(fd, text);
}

/* Waits until the node closes the connection. */
static inline void fake_await_hang_up(struct fake_task *t, int fd)
{
    char byte;
    while (recv(fd, &byte, 1, 0) == 1)
        ;
    if (!t->stopping)
        atomic_fetch_add(&t->hung_up, 1);
}

static inline void *fake_conn_run(void *arg)
{
    struct fake_conn *c = arg;
    struct fake_task *t = c->task;
    t->serve(t, c->fd);
    pthread_mutex_lock(&t->lock);
    close(c->fd);
    t->fds[c->index] = -1;
    pthread_mutex_unlock(&t->lock);
    free(c);
    return NULL;
}

static inline void *fake_accept_run(void *arg)
{
    struct fake_task *t = arg;
    for (unsigned index = 0; !t->stopping && index < FAKE_CONNS_MAX; index++) {
        int fd = accept(t->listener, NULL, NULL);
        if (fd < 0)
            break;
        struct fake_conn *c = malloc(sizeof *c);
        *c = (struct fake_conn){t, fd, index};
        atomic_fetch_add(&t->connections, 1);
        pthread_mutex_lock(&t->lock);
        t->fds[index] = fd;
        t->conn_count = index + 1;
        pthread_t thread;
        pthread_create(&thread, NULL, fake_conn_run, c);
        t->threads[index] = thread;
        pthread_mutex_unlock(&t->lock);
        if (t->serial)
            pthread_join(thread, NULL);
    }
    return NULL;
}

/* Ends every connection, so that their threads do. */
static inline void fake_hang_up(struct fake_task *t)
{
    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; i < t->conn_count; i++)
        if (t->fds[i] > 0)
            shutdown(t->fds[i], SHUT_RDWR);
    pthread_mutex_unlock(&t->lock);
}

static inline void fake_start(struct fake_task *t, fake_serve serve, bool serial)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    memset(t, 0, sizeof *t);
    t->serve = serve;
    t->serial = serial;
    pthread_mutex_init(&t->lock, NULL);
    t->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (t->listener < 0 || bind(t->listener, (struct sockaddr *) &at, sizeof at) != 0 || listen(t->listener, 128) != 0)
        abort();
    getsockname(t->listener, (struct sockaddr *) &at, &size);
    t->port = ntohs(at.sin_port);
    pthread_create(&t->acceptor, NULL, fake_accept_run, t);
}

static inline void fake_stop(struct fake_task *t)
{
    t->stopping = true;
    shutdown(t->listener, SHUT_RDWR);
    fake_hang_up(t); /* a serial one accepts, and ends, only then */
    pthread_join(t->acceptor, NULL);
    fake_hang_up(t);
    if (!t->serial)
        for (unsigned i = 0; i < t->conn_count; i++)
            pthread_join(t->threads[i], NULL);
    close(t->listener);
    pthread_mutex_destroy(&t->lock);
}

/* A port that nobody listens on: bound for a moment, then let go. */
static inline uint16_t fake_dead_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *) &at, sizeof at) != 0)
        abort();
    getsockname(fd, (struct sockaddr *) &at, &size);
    close(fd);
    return ntohs(at.sin_port);
}

/* ---- common behaviours ---- */

static inline void fake_serve_echo(struct fake_task *t, int fd)
{
    while (fake_read(t, fd))
        fake_answer(fd, "200 OK", "Content-Type: text/plain\r\n", fake_body);
}

#endif
