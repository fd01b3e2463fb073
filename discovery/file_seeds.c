/* look (pool) -> changed: names to DNS -> wait -> look ... A file that is gone names nobody. */
#include "discovery/file_seeds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

struct file_seeds {
    struct loop *loop;
    struct dns_seeds *names;
    const struct dns_seeds_events *events;
    void *ctx;
    char *path;
    struct loop_timer timer;
    bool looking, closing, gone; /* `gone`: the names are closed */
    loop_fn on_closed;
    void *on_closed_arg;
    /* The pool's while `looking`: */
    struct stat seen;
    int fault;    /* errno of this look, 0: it was read, or has not changed; EFBIG: it is too long */
    bool changed;
    size_t size;
    char text[FILE_SEEDS_BYTES_MAX];
    /* The loop's: */
    int said;       /* the fault told last */
    size_t said_line;
};

/* ---- the text ---- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice trim(struct slice line)
{
    const uint8_t *comment = line.size > 0 ? memchr(line.data, '#', line.size) : NULL;
    if (comment)
        line.size = (size_t) (comment - line.data);
    while (line.size > 0 && is_blank(line.data[0]))
        line = slice_of(line.data + 1, line.size - 1);
    while (line.size > 0 && is_blank(line.data[line.size - 1]))
        line.size--;
    return line;
}

size_t file_seeds_parse(struct slice text, struct slice *out, size_t max, size_t *bad)
{
    size_t count = 0, first_bad = 0;
    for (size_t at = 0, number = 1; at < text.size; number++) {
        const uint8_t *end = memchr(text.data + at, '\n', text.size - at);
        size_t size = end ? (size_t) (end - text.data) - at : text.size - at;
        struct slice line = trim(slice_of(text.data + at, size));
        at += size + 1;
        if (line.size == 0)
            continue;
        if (!dns_seed_valid(line))
            first_bad = first_bad == 0 ? number : first_bad;
        else if (count < max)
            out[count++] = line;
    }
    if (bad)
        *bad = first_bad;
    return count;
}

/* ---- the file (pool) ---- */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int read_all(int fd, char *text, size_t *size)
{
    *size = 0;
    for (;;) {
        ssize_t got = read(fd, text + *size, FILE_SEEDS_BYTES_MAX - *size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            return 0;
        *size += (size_t) got;
        if (*size == FILE_SEEDS_BYTES_MAX)
            return EFBIG;
    }
}

/* A write that is under way while it is read gives a newer time afterwards, and it is read again. */
static void look(void *arg)
{
    struct file_seeds *f = arg;
    struct stat now;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    f->changed = false;
    f->fault = 0;
    if (fd < 0 || fstat(fd, &now) != 0)
        f->fault = errno;
    else if (!S_ISREG(now.st_mode))
        f->fault = EISDIR;
    else if (!is_same(&now, &f->seen)) {
        f->fault = read_all(fd, f->text, &f->size);
        f->changed = f->fault == 0;
        f->seen = now;
    }
    if (fd >= 0)
        close(fd);
}

/* ---- the loop ---- */

static void look_again(void *arg);
static void file_seeds_over(struct file_seeds *f);

static void say_fault(struct file_seeds *f)
{
    char why[160];
    if (f->fault == f->said)
        return;
    snprintf(why, sizeof why, "the file cannot be used (%s)", f->fault == EFBIG ? "it is longer than 64 KiB" : f->fault == EISDIR ? "it is no regular file" : strerror(f->fault));
    f->events->on_fault(f->ctx, f->path, why);
}

static void take_names(struct file_seeds *f)
{
    struct slice names[DNS_SEEDS_MAX];
    char why[96];
    size_t bad, count = file_seeds_parse(slice_of(f->text, f->size), names, DNS_SEEDS_MAX, &bad);
    if (bad != 0 && bad != f->said_line) {
        snprintf(why, sizeof why, "line %zu is no address: write host:port or srv:NAME", bad);
        f->events->on_fault(f->ctx, f->path, why);
    }
    f->said_line = bad;
    if (dns_seeds_set(f->names, names, count) != 0)
        f->seen = (struct stat){0}; /* not all of them: read it again */
}

static void looked(void *arg)
{
    struct file_seeds *f = arg;
    f->looking = false;
    if (f->closing) {
        file_seeds_over(f);
        return;
    }
    if (f->fault != 0) {
        say_fault(f);
        f->seen = (struct stat){0};
        dns_seeds_set(f->names, NULL, 0);
    } else if (f->changed) {
        take_names(f);
    }
    f->said = f->fault;
    loop_timer_start(f->loop, &f->timer, FILE_SEEDS_LOOK_MS, look_again, f);
}

static void look_again(void *arg)
{
    struct file_seeds *f = arg;
    f->looking = loop_work(f->loop, look, looked, f) == 0;
    if (!f->looking)
        loop_timer_start(f->loop, &f->timer, FILE_SEEDS_LOOK_MS, look_again, f);
}

/* ---- life ---- */

int file_seeds_create(struct loop *l, const char *path, const struct dns_seeds_events *events, void *ctx, struct file_seeds **out)
{
    struct file_seeds *f = calloc(1, sizeof *f);
    if (!f)
        return GRID_ENOMEM;
    f->loop = l;
    f->events = events;
    f->ctx = ctx;
    f->path = slice_to_str(slice_of_str(path));
    int err = f->path ? dns_seeds_create(l, events, ctx, &f->names) : GRID_ENOMEM;
    if (err != 0) {
        free(f->path);
        free(f);
        return err;
    }
    loop_timer_start(l, &f->timer, 0, look_again, f);
    *out = f;
    return 0;
}

static void file_seeds_over(struct file_seeds *f)
{
    loop_fn on_closed = f->on_closed;
    void *arg = f->on_closed_arg;
    if (f->looking || !f->gone)
        return;
    free(f->path);
    free(f);
    if (on_closed)
        on_closed(arg);
}

static void on_names_closed(void *arg)
{
    struct file_seeds *f = arg;
    f->gone = true;
    file_seeds_over(f);
}

void file_seeds_close(struct file_seeds *f, loop_fn on_closed, void *arg)
{
    f->closing = true;
    f->on_closed = on_closed;
    f->on_closed_arg = arg;
    loop_timer_stop(&f->timer);
    dns_seeds_close(f->names, on_names_closed, f);
}
