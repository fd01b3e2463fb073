/* server/kept_file.h: a file of the state folder that a node reads when it starts and writes now and then, for its next start: packed on the control thread, written whole by the
 * pool, one writing at a time. That it cannot be read or written is said in the log, and hinders nothing. Control thread. */
#ifndef GRID_SERVER_KEPT_FILE_H
#define GRID_SERVER_KEPT_FILE_H

#include <limits.h>

#include "base/buf.h"
#include "net/loop.h"

/* What is said when it fails, static. */
struct kept_file_words {
    const char *not_read, *not_kept;
};

/* Plain memory of the caller's, who keeps it until kept_file_close is done. Fields are the module's. */
struct kept_file {
    struct loop *loop;
    const struct kept_file_words *words;
    char path[PATH_MAX];
    struct buf bytes; /* the pool's while `writing` */
    bool writing;
    loop_fn done; /* NULL before it is closed */
    void *done_arg;
};

/* `words` is kept. A file of more than TRUST_FILE_MAX bytes (trust/file.h) is not read. */
void kept_file_init(struct kept_file *k, struct loop *l, const char *folder, const char *name, const struct kept_file_words *words);

/* What was written last, until something is packed; empty when there is nothing, or it cannot be read. */
struct slice kept_file_read(struct kept_file *k);
/* What was read makes no sense. */
void kept_file_complain(const struct kept_file *k, int err);

/* Where to pack what is to be written, empty at first; NULL while something is being written. */
struct buf *kept_file_pack(struct kept_file *k);
/* Writes what was packed. False without memory. */
bool kept_file_write(struct kept_file *k);
bool kept_file_is_writing(const struct kept_file *k);

/* One that writes nothing: its memory is gone, but for *k. */
void kept_file_dispose(struct kept_file *k);
/* Disposes of it; `done` when nothing is written any more, perhaps inside. */
void kept_file_close(struct kept_file *k, loop_fn done, void *arg);

#endif
