/* tests/faults/tape.h: what a program did to the disk, in order, in memory that its children share. */
#ifndef GRID_TESTS_FAULTS_TAPE_H
#define GRID_TESTS_FAULTS_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { TAPE_OPS_MAX = 16384, TAPE_BYTES_MAX = 48 * 1024 * 1024, TAPE_NAME_MAX = 112, TAPE_SITES_MAX = 64, TAPE_PAGE = 4096 };

enum tape_kind {
    TAPE_ENTER,    /* a name leads to a node from now on */
    TAPE_REMOVE,   /* a name is gone */
    TAPE_RENAME,   /* both at once */
    TAPE_WRITE,    /* bytes of a file, within one page */
    TAPE_SIZE,     /* a file was cut, or made longer */
    TAPE_META,     /* mode and time of a file */
    TAPE_SYNC,     /* fsync or fdatasync of a file or a folder */
    TAPE_SYNC_ALL, /* syncfs */
    TAPE_MARK,     /* no call: the program has said that something is done */
};

/* Nodes and folders are named by inode number, which may come again once `made` says so. */
struct tape_op {
    enum tape_kind kind;
    bool made;      /* ENTER: the node is new */
    uint32_t call;  /* one number for all that came of one call */
    uint32_t mode;  /* of a new node, as stat gives it; MARK: the number */
    uint64_t node, dir, to_dir;
    uint64_t offset; /* SIZE: the size */
    uint32_t size, at; /* of its bytes on the tape: content, or a link's target */
    struct timespec mtime;
    char name[TAPE_NAME_MAX], to_name[TAPE_NAME_MAX];
};

struct tape {
    uint32_t count, used, calls;
    uint32_t site_count;
    const void *sites[TAPE_SITES_MAX]; /* where in the program syncs were called */
    struct tape_op ops[TAPE_OPS_MAX];
    uint8_t bytes[TAPE_BYTES_MAX];
};

/* Shared with children forked later. Ends the test when there is no memory. */
struct tape *tape_create(void);
void tape_destroy(struct tape *t);
void tape_clear(struct tape *t);

/* Appends; ends the program when the tape is full. `bytes` may be NULL. */
void tape_add(struct tape *t, const struct tape_op *op, const void *bytes, size_t size);

#endif
