/* Two buffers of lines: the loop fills one while the pool writes the other. */
#include "server/supervise/log_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "server/supervise/log_file.h"

enum { TELL_EVERY_MS = 10000, KEPT_BYTES = 256 * 1024 };

struct log_sink {
    struct log_writer *writer;
    struct log_sink *next; /* among those that are closed */
    struct log_file *file; /* the pool's */
    uint64_t dropped;      /* lines, since the last that was taken */
    uint64_t max_bytes;
    char path[];
};

/* Stands before each line. */
struct line_head {
    struct log_sink *sink;
    size_t size;
};

struct log_writer {
    struct loop *loop;
    size_t max_bytes;
    struct buf queued, writing;
    struct log_sink *closed, *ending; /* to be ended after the next batch, and after the one that is written */
    bool busy;
    uint64_t dropped; /* lines that the log has not been told of */
    uint64_t told_ms; /* when it was last */
    bool closing;
    loop_fn done;
    void *done_arg;
};

/* ---- on the pool ---- */

static void write_line(struct log_sink *s, struct slice line)
{
    if (s->file || log_file_open(s->path, s->max_bytes, &s->file) == 0)
        log_file_write(s->file, line);
}

static void write_batch(void *arg)
{
    struct log_writer *w = arg;
    struct slice rest = buf_slice(&w->writing);
    while (rest.size > 0) {
        struct line_head head;
        memcpy(&head, rest.data, sizeof head);
        rest = slice_from(rest, sizeof head);
        write_line(head.sink, slice_first(rest, head.size));
        rest = slice_from(rest, head.size);
    }
    for (struct log_sink *s = w->ending; s; s = s->next)
        log_file_close(s->file);
}

/* ---- on the loop ---- */

static void free_ended(struct log_writer *w)
{
    while (w->ending) {
        struct log_sink *s = w->ending;
        w->ending = s->next;
        free(s);
    }
}

static void tell_drops(struct log_writer *w)
{
    uint64_t now_ms = loop_now_ms(w->loop);
    if (w->dropped == 0 || (!w->closing && w->told_ms > 0 && now_ms - w->told_ms < TELL_EVERY_MS))
        return;
    log_line(LOG_WARN, "lines of tasks did not come to their log files, which took them too slowly: look at the disk of the state folder",
             LOGF_INT("lines", w->dropped));
    w->dropped = 0;
    w->told_ms = now_ms;
}

static void finish(struct log_writer *w)
{
    loop_fn done = w->done;
    void *arg = w->done_arg;
    buf_dispose(&w->queued);
    buf_dispose(&w->writing);
    free(w);
    done(arg);
}

/* A batch is on disk. A flood's memory is given back. */
static void batch_over(struct log_writer *w)
{
    w->busy = false;
    if (w->writing.capacity > KEPT_BYTES)
        buf_dispose(&w->writing);
    buf_clear(&w->writing);
    free_ended(w);
    tell_drops(w);
}

static void batch_written(void *arg);

/* Gives the pool what waits, unless it has something. */
static void start_batch(struct log_writer *w)
{
    struct buf empty = w->writing;
    if (w->busy || (w->queued.size == 0 && !w->closed))
        return;
    w->writing = w->queued;
    w->queued = empty;
    w->ending = w->closed;
    w->closed = NULL;
    w->busy = true;
    if (loop_work(w->loop, write_batch, batch_written, w) == 0)
        return;
    write_batch(w); /* no memory to do it elsewhere */
    batch_over(w);
}

static void batch_written(void *arg)
{
    struct log_writer *w = arg;
    batch_over(w);
    start_batch(w);
    if (w->closing && !w->busy)
        finish(w);
}

static bool enqueue(struct log_writer *w, struct log_sink *s, struct slice line)
{
    struct line_head head = {s, line.size};
    size_t bytes = sizeof head + line.size;
    if (w->queued.size + w->writing.size + bytes > w->max_bytes || buf_reserve(&w->queued, bytes) != 0)
        return false;
    buf_append(&w->queued, slice_of(&head, sizeof head));
    buf_append(&w->queued, line);
    return true;
}

/* True when nothing is missing before the next line, or the file says so. */
static bool mend_gap(struct log_writer *w, struct log_sink *s)
{
    char text[96];
    if (s->dropped == 0)
        return true;
    snprintf(text, sizeof text, "... %llu lines were dropped here: the disk was too slow ...", (unsigned long long) s->dropped);
    if (!enqueue(w, s, slice_of_str(text)))
        return false;
    s->dropped = 0;
    return true;
}

void log_sink_write(struct log_sink *s, struct slice line)
{
    struct log_writer *w = s->writer;
    if (!mend_gap(w, s) || !enqueue(w, s, line)) {
        s->dropped++;
        w->dropped++;
    }
    start_batch(w);
}

struct log_sink *log_sink_create(struct log_writer *w, const char *path, uint64_t max_file_bytes)
{
    size_t size = strlen(path) + 1;
    struct log_sink *s = calloc(1, sizeof *s + size);
    if (!s)
        return NULL;
    s->writer = w;
    s->max_bytes = max_file_bytes;
    memcpy(s->path, path, size);
    return s;
}

void log_sink_close(struct log_sink *s)
{
    if (!s)
        return;
    s->next = s->writer->closed;
    s->writer->closed = s;
    start_batch(s->writer);
}

int log_writer_create(struct loop *l, size_t max_bytes, struct log_writer **out)
{
    struct log_writer *w = calloc(1, sizeof *w);
    if (!w)
        return GRID_ENOMEM;
    w->loop = l;
    w->max_bytes = max_bytes ? max_bytes : LOG_WRITER_BYTES;
    buf_init(&w->queued, 0);
    buf_init(&w->writing, 0);
    *out = w;
    return 0;
}

void log_writer_close(struct log_writer *w, loop_fn done, void *arg)
{
    w->closing = true;
    w->done = done;
    w->done_arg = arg;
    start_batch(w);
    if (!w->busy)
        finish(w);
}
