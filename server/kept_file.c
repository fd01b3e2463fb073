/* One buffer, which is the pool's while it writes. */
#include "server/kept_file.h"

#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "trust/file.h"

void kept_file_init(struct kept_file *k, struct loop *l, const char *folder, const char *name, const struct kept_file_words *words)
{
    *k = (struct kept_file){.loop = l, .words = words};
    snprintf(k->path, sizeof k->path, "%s/%s", folder, name);
    buf_init(&k->bytes, 2 * TRUST_FILE_MAX); /* reading asks for more room than the file has */
}

/* ---- reading ---- */

void kept_file_complain(const struct kept_file *k, int err)
{
    log_line(LOG_WARN, k->words->not_read, LOGF_STR("file", k->path), LOGF_STR("why", grid_err_text(err)));
}

struct slice kept_file_read(struct kept_file *k)
{
    bool shared;
    int err = trust_file_read(k->path, &k->bytes, &shared);
    if (err != 0 && err != GRID_ENOENT)
        kept_file_complain(k, err);
    if (err != 0)
        buf_clear(&k->bytes);
    return buf_slice(&k->bytes);
}

/* ---- writing ---- */

static void write_bytes(void *arg)
{
    const struct kept_file *k = arg;
    int err = trust_file_show(k->path, buf_slice(&k->bytes), 0600);
    if (err != 0)
        log_line(LOG_WARN, k->words->not_kept, LOGF_STR("file", k->path), LOGF_STR("why", grid_err_text(err)));
}

void kept_file_dispose(struct kept_file *k)
{
    buf_dispose(&k->bytes);
}

static void finish(struct kept_file *k)
{
    kept_file_dispose(k);
    k->done(k->done_arg);
}

static void on_written(void *arg)
{
    struct kept_file *k = arg;
    k->writing = false;
    if (k->done)
        finish(k);
}

struct buf *kept_file_pack(struct kept_file *k)
{
    if (k->writing)
        return NULL;
    buf_clear(&k->bytes);
    return &k->bytes;
}

bool kept_file_write(struct kept_file *k)
{
    k->writing = loop_work(k->loop, write_bytes, on_written, k) == 0;
    return k->writing;
}

bool kept_file_is_writing(const struct kept_file *k)
{
    return k->writing;
}

void kept_file_close(struct kept_file *k, loop_fn done, void *arg)
{
    k->done = done;
    k->done_arg = arg;
    if (!k->writing)
        finish(k);
}
