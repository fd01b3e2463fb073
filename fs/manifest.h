/* fs/manifest.h: what a release is made of: directories and long files as objects that name others by their hash (a Merkle tree).
 * The byte formats are in docs/formats/manifest.md. There is one encoding of a thing and the decoder refuses every other, so that equal
 * trees have equal roots. No I/O, no state, any thread. */
#ifndef GRID_FS_MANIFEST_H
#define GRID_FS_MANIFEST_H

#include "base/buf.h"
#include "fs/chunker.h"
#include "fs/hash.h"

#define MANIFEST_VERSION 1
#define MANIFEST_NAME_MAX 255u
#define MANIFEST_TARGET_MAX 4095u
/* Of a whole tree; the root's own entries have depth 1. */
#define MANIFEST_DEPTH_MAX 64u
#define MANIFEST_ENTRIES_MAX 1000000u

enum manifest_kind {
    MANIFEST_FILE = 1,      /* `id` is its only chunk, possibly empty */
    MANIFEST_LONG_FILE = 2, /* `id` is a file object: a list of at least two chunks */
    MANIFEST_DIRECTORY = 3,
    MANIFEST_SYMLINK = 4,
};

/* Slices borrow from the encoded directory, or from the caller when encoding. */
struct manifest_entry {
    struct slice name;
    enum manifest_kind kind;
    bool executable; /* files only */
    /* Bytes of the file; of a directory, of its object's content; of a symlink, of its target. */
    uint64_t size;
    struct object_id id;  /* not of a symlink */
    struct slice target;  /* of a symlink only */
};

/* One chunk of a long file. */
struct manifest_chunk {
    uint32_t size; /* bytes, 1 to OBJECT_CHUNK_MAX */
    struct object_id id;
};

/* 1 to 255 bytes, none of them '/' or NUL, not "." or "..". */
bool manifest_name_valid(struct slice name);

/* How many directories a symlink's target climbs before it goes down, or -1 when it is not allowed anywhere: absolute, empty, over
 * 4,095 bytes, with a NUL, or with ".." behind a name (which, through another link, could lead out of the tree). A link whose
 * directory has depth d (0: the root) stays inside the tree when this is at most d. */
int manifest_target_climb(struct slice target);

static inline enum object_type manifest_kind_object(enum manifest_kind kind)
{
    return kind == MANIFEST_DIRECTORY ? OBJECT_DIRECTORY : kind == MANIFEST_LONG_FILE ? OBJECT_FILE : OBJECT_CHUNK;
}

/* Reads a directory object. Iterates over borrowed bytes without taking memory. */
struct manifest_dir {
    bool root;
    struct chunker_params chunker; /* of the root only */
    uint32_t count;                /* entries in all */
    struct slice rest;             /* not read yet */
    struct slice last_name;
};

/* Checks all of `content` (which lives longer than *out). 0, GRID_EPROTO for anything but the one encoding, GRID_EUNSUPPORTED for
 * another version. Whether it is a root is told in out->root: who expects one, or none, checks that. */
int manifest_dir_open(struct slice content, struct manifest_dir *out);

/* The next entry, in order of names; false after the last. */
bool manifest_dir_next(struct manifest_dir *d, struct manifest_entry *out);

/* Reads a file object, likewise. */
struct manifest_file {
    uint32_t count;
    uint64_t size; /* bytes of all chunks together */
    struct slice rest;
};

int manifest_file_open(struct slice content, struct manifest_file *out);
bool manifest_file_next(struct manifest_file *f, struct manifest_chunk *out);

/* Writes either object behind what `out` holds; `out` is borrowed until _end. */
struct manifest_writer {
    struct buf *out;
    size_t count_at;
    uint32_t count;
    size_t last_name_at;
    size_t last_name_size;
    int err; /* the first error; later calls do nothing and _end returns it */
};

/* `root` is NULL for a directory that is not the root. */
void manifest_dir_begin(struct manifest_writer *w, struct buf *out, const struct chunker_params *root);

/* Entries must come in order of their names' bytes. */
void manifest_dir_add(struct manifest_writer *w, const struct manifest_entry *entry);

void manifest_file_begin(struct manifest_writer *w, struct buf *out);
void manifest_file_add(struct manifest_writer *w, const struct manifest_chunk *chunk);

/* 0, GRID_EINVAL when something not allowed was added, GRID_ELIMIT, GRID_ENOMEM. */
int manifest_end(struct manifest_writer *w);

#endif
