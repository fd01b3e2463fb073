/* fs/file_reader.h: reads files as they are at one moment, cuts them, and puts what they hold into the store. Blocking; a reader is one
 * thread's, several may work for one store. */
#ifndef GRID_FS_FILE_READER_H
#define GRID_FS_FILE_READER_H

#include <pthread.h>

#include "base/arena.h"
#include "fs/chunker.h"
#include "fs/manifest.h"
#include "fs/scan.h"
#include "fs/store.h"

/* What a file holds. */
struct content {
    enum manifest_kind kind; /* MANIFEST_FILE or MANIFEST_LONG_FILE */
    bool executable;
    bool left_out; /* it is no part of the release: a private key, or no longer there. The rest is not set then */
    struct object_id id;
    struct scan_stamp stamp; /* as it was read */
    struct slice chunks;     /* of a long file: the ids of its chunks, one behind the other */
};

/* Objects that some reader is putting, so that no two compress and write the same. */
struct reader_claims {
    pthread_mutex_t lock;
    struct id_map ids;
};
void reader_claims_init(struct reader_claims *c);
void reader_claims_dispose(struct reader_claims *c);

struct file_reader {
    struct store_batch batch; /* committed by the reader's user */
    struct reader_claims *claims;
    struct chunker chunker;
    struct buf listing; /* of the chunks of the file being read */
    struct buf ids;     /* likewise, their ids alone */
    struct arena *arena; /* for ids that are kept */
    uint8_t *window;
    uint64_t saved_bytes; /* contents that the store, or another reader, had already */
};

/* `claims` is shared by the readers of one job, and borrowed. 0, GRID_EINVAL for unsound parameters, GRID_ENOMEM; dispose of it in any case. */
int file_reader_init(struct file_reader *r, struct store *store, struct reader_claims *claims, const struct chunker_params *params);

/* Gives the memory of all contents' chunks away; the caller destroys the arena. May be NULL. */
struct arena *file_reader_dispose(struct file_reader *r);

/* Reads the regular file open as `fd` (borrowed, at its beginning); `name` is its name within its folder. A file that changes meanwhile is
 * read again, a few times. *secret (then nothing is stored and out->left_out) when it holds a private key. 0; GRID_EBUSY for a file that does not
 * stop changing; GRID_ELIMIT for one that is too large; GRID_EIO, and the store's errors. */
int file_reader_read(struct file_reader *r, int fd, struct slice name, struct content *out, bool *secret);

#endif
