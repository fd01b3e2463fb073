/* A window slides over the file: filled, cut, its chunks put. What tells of a change are the stamps before and after. */
#include "fs/file_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/ignore.h"

#define WINDOW_BYTES (1024u * 1024)
#define ARENA_BLOCK_BYTES (16u * 1024)
/* A file that changes while it is read is read again so many times, with a growing pause between. */
#define READ_ATTEMPTS 6
#define READ_PAUSE_NS 5000000L
#define SETTLE_ROUNDS 4
#define NANOSECONDS INT64_C(1000000000)

/* One reading of one file. */
struct reading {
    int fd;
    size_t used;  /* bytes in the window */
    size_t chunk; /* where the chunk begun starts in it */
    size_t fed;   /* up to where the chunker has seen it */
    bool ended;
    uint64_t bytes;
    struct manifest_writer writer;
};

/* ---- life ---- */

void reader_claims_init(struct reader_claims *c)
{
    pthread_mutex_init(&c->lock, NULL);
    id_map_init(&c->ids);
}

void reader_claims_dispose(struct reader_claims *c)
{
    id_map_dispose(&c->ids);
    pthread_mutex_destroy(&c->lock);
}

int file_reader_init(struct file_reader *r, struct store *store, struct reader_claims *claims, const struct chunker_params *params)
{
    *r = (struct file_reader){.claims = claims};
    store_batch_init(&r->batch, store);
    buf_init(&r->listing, 2 * OBJECT_LISTING_MAX);
    buf_init(&r->ids, 0);
    r->arena = arena_create(ARENA_BLOCK_BYTES, 0);
    r->window = malloc(WINDOW_BYTES);
    return r->arena && r->window ? chunker_init(&r->chunker, params) : GRID_ENOMEM;
}

struct arena *file_reader_dispose(struct file_reader *r)
{
    store_batch_dispose(&r->batch);
    buf_dispose(&r->listing);
    buf_dispose(&r->ids);
    free(r->window);
    return r->arena;
}

/* ---- objects ---- */

/* 1 when nobody had claimed it, 0 when somebody had, GRID_ENOMEM. */
static int claim(struct reader_claims *c, const struct object_id *id)
{
    pthread_mutex_lock(&c->lock);
    uint32_t before = c->ids.count, number = id_map_add(&c->ids, id);
    int result = number == ID_MAP_NONE ? GRID_ENOMEM : number == before;
    pthread_mutex_unlock(&c->lock);
    return result;
}

static int put_object(struct file_reader *r, enum object_type type, struct slice content, struct object_id *id)
{
    struct record_packed packed;
    if (content.size > object_type_limit(type))
        return GRID_ELIMIT;
    int err = object_id_compute(type, content, id);
    if (err != 0)
        return err;
    int mine = store_has(r->batch.store, id) ? 0 : claim(r->claims, id);
    if (mine == 0)
        r->saved_bytes += content.size;
    if (mine <= 0)
        return mine;
    err = record_pack(&r->batch.packer, type, content, &packed);
    return err == 0 ? store_batch_put_packed(&r->batch, id, &packed) : err;
}

static int put_chunk(struct file_reader *r, struct reading *g, size_t end)
{
    struct manifest_chunk chunk = {.size = (uint32_t) (end - g->chunk)};
    int err = put_object(r, OBJECT_CHUNK, slice_of(r->window + g->chunk, chunk.size), &chunk.id);
    if (err == 0)
        err = buf_append(&r->ids, slice_of(chunk.id.bytes, OBJECT_ID_BYTES));
    if (err != 0)
        return err;
    if (chunk.size > 0)
        manifest_file_add(&g->writer, &chunk);
    g->chunk = end;
    return g->writer.err;
}

/* ---- one reading ---- */

static int window_fill(struct file_reader *r, struct reading *g)
{
    if (g->chunk > 0) {
        memmove(r->window, r->window + g->chunk, g->used - g->chunk);
        g->used -= g->chunk;
        g->fed -= g->chunk;
        g->chunk = 0;
    }
    while (g->used < WINDOW_BYTES && !g->ended) {
        size_t room = WINDOW_BYTES - g->used;
        ssize_t n = read(g->fd, r->window + g->used, room);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return GRID_EIO;
        g->ended = (size_t) n < room; /* a regular file gives less at its end alone */
        g->used += (size_t) n;
        g->bytes += (uint64_t) n;
    }
    return 0;
}

/* Cuts all that is in the window. */
static int put_chunks(struct file_reader *r, struct reading *g)
{
    bool cut;
    int err = 0;
    while (err == 0 && g->fed < g->used) {
        g->fed += chunker_feed(&r->chunker, slice_of(r->window + g->fed, g->used - g->fed), &cut);
        if (cut)
            err = put_chunk(r, g, g->fed);
    }
    if (err == 0 && g->ended && (g->chunk < g->used || g->bytes == 0))
        err = put_chunk(r, g, g->used);
    return err;
}

/* Puts the list of its chunks, when there are several, and describes the file. */
static int conclude(struct file_reader *r, struct reading *g, struct content *out)
{
    out->kind = g->writer.count < 2 ? MANIFEST_FILE : MANIFEST_LONG_FILE;
    if (out->kind == MANIFEST_FILE)
        return object_id_from_slice(buf_slice(&r->ids), &out->id);
    out->chunks = arena_copy(r->arena, buf_slice(&r->ids));
    int err = out->chunks.data ? manifest_end(&g->writer) : GRID_ENOMEM;
    return err == 0 ? put_object(r, OBJECT_FILE, buf_slice(&r->listing), &out->id) : err;
}

static int read_content(struct file_reader *r, struct reading *g, struct slice name, struct content *out, bool *secret)
{
    chunker_reset(&r->chunker);
    buf_clear(&r->listing);
    buf_clear(&r->ids);
    manifest_file_begin(&g->writer, &r->listing);
    int err = window_fill(r, g);
    *secret = err == 0 && ignore_is_private_key(name, slice_of(r->window, g->used));
    if (err != 0 || *secret)
        return err;
    err = put_chunks(r, g);
    while (err == 0 && !g->ended && (err = window_fill(r, g)) == 0)
        err = put_chunks(r, g);
    return err == 0 ? conclude(r, g, out) : err;
}

/* ---- until it stands still ---- */

/* The kernel's stamps go by ticks. Within the tick of its last change a file may change again and keep its stamp. */
static bool is_fresh(const struct stat *st, struct timespec tick)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    int64_t age_ns = (int64_t) (now.tv_sec - st->st_ctim.tv_sec) * NANOSECONDS + now.tv_nsec - st->st_ctim.tv_nsec;
    return age_ns <= 0 && -age_ns <= tick.tv_nsec; /* what is still to come, a clock was set back since, says nothing */
}

/* Waits for that tick to pass. */
static int settle(int fd, struct stat *st)
{
    struct timespec tick;
    clock_getres(CLOCK_REALTIME_COARSE, &tick);
    for (int round = 0; round < SETTLE_ROUNDS; round++) {
        if (fstat(fd, st) != 0)
            return GRID_EIO;
        if (!is_fresh(st, tick))
            break;
        nanosleep(&tick, NULL);
    }
    return 0;
}

/* One attempt; *again when the file was written to meanwhile. */
static int read_once(struct file_reader *r, int fd, struct slice name, struct content *out, bool *secret, bool *again)
{
    struct reading g = {.fd = fd};
    struct scan_stamp before;
    struct stat st;
    int err = settle(fd, &st);
    if (err != 0)
        return err;
    scan_stamp_from_stat(&st, &before);
    *out = (struct content){.executable = (st.st_mode & S_IXUSR) != 0};
    err = read_content(r, &g, name, out, secret);
    if (err != 0 || *secret)
        return err;
    if (fstat(fd, &st) != 0)
        return GRID_EIO;
    scan_stamp_from_stat(&st, &out->stamp);
    *again = !scan_stamp_equal(&before, &out->stamp) || out->stamp.size != g.bytes;
    return 0;
}

int file_reader_read(struct file_reader *r, int fd, struct slice name, struct content *out, bool *secret)
{
    for (int attempt = 1; attempt <= READ_ATTEMPTS; attempt++) {
        bool again = false;
        int err = read_once(r, fd, name, out, secret, &again);
        out->left_out = *secret;
        if (err != 0 || !again)
            return err;
        nanosleep(&(struct timespec){.tv_nsec = READ_PAUSE_NS * attempt}, NULL);
        if (lseek(fd, 0, SEEK_SET) != 0)
            return GRID_EIO;
    }
    return GRID_EBUSY;
}
