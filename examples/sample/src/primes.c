/* A task in C: counts the primes below a number. grid invoke primes -d '{"below": 100000}'
 * A task is any program that serves HTTP on TASK_PORT; this one answers one request per connection. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_LIMIT = 64 * 1024, BELOW_LIMIT = 10 * 1000 * 1000 };

static long primes_below(long limit)
{
    char *composite = calloc((size_t) limit + 1, 1);
    long count = 0;
    if (!composite)
        return -1;
    for (long n = 2; n < limit; n++) {
        if (composite[n])
            continue;
        count++;
        for (long multiple = n * n; multiple < limit; multiple += n)
            composite[multiple] = 1;
    }
    free(composite);
    return count;
}

/* The number behind "below" in the body, 1000 when there is no such key; -1 when what stands there is no number from 0 to BELOW_LIMIT. */
static long read_below(const char *body)
{
    const char *key = strstr(body, "\"below\"");
    const char *colon = key ? strchr(key, ':') : NULL;
    char *end;
    long below = colon ? strtol(colon + 1, &end, 10) : 1000;
    return colon && (end == colon + 1 || below < 0 || below > BELOW_LIMIT) ? -1 : below;
}

/* Reads until the body that Content-Length announces is whole. Returns the body, or NULL. */
static const char *read_request(int fd, char *request)
{
    size_t size = 0;
    for (;;) {
        ssize_t got = read(fd, request + size, REQUEST_LIMIT - size);
        if (got <= 0)
            return NULL;
        size += (size_t) got;
        request[size] = '\0';
        const char *head_end = strstr(request, "\r\n\r\n");
        if (!head_end)
            continue;
        const char *length = strcasestr(request, "\r\nContent-Length:");
        size_t want = length && length < head_end ? strtoul(length + 17, NULL, 10) : 0;
        if (want > REQUEST_LIMIT / 2)
            return NULL;
        if (size >= (size_t) (head_end + 4 - request) + want)
            return head_end + 4;
        const char *expect = strcasestr(request, "\r\nExpect:");
        if (expect && expect < head_end && size == (size_t) (head_end + 4 - request))
            dprintf(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    }
}

static void serve(int fd)
{
    static char request[REQUEST_LIMIT + 1];
    const char *body = read_request(fd, request);
    if (!body)
        return;
    char answer[128];
    long below = read_below(body);
    int size = below < 0 ? snprintf(answer, sizeof answer, "{\"error\":\"below must be a number from 0 to %d\"}", BELOW_LIMIT)
                         : snprintf(answer, sizeof answer, "{\"below\":%ld,\"primes\":%ld,\"pid\":%d}", below, primes_below(below), (int) getpid());
    dprintf(fd, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", below < 0 ? "400 Bad Request" : "200 OK", size, answer);
}

int main(void)
{
    const char *port = getenv("TASK_PORT");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((unsigned short) atoi(port ? port : "0"))};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (listener < 0 || bind(listener, (struct sockaddr *) &address, sizeof address) < 0 || listen(listener, 128) < 0) {
        perror("primes: cannot listen on TASK_PORT");
        return 1;
    }
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        serve(fd);
        shutdown(fd, SHUT_WR);
        close(fd);
    }
}
