/* tests/faults/calls.h: the file-system calls of this process, counted, and made to end it, to fail, or to be written down.
 *
 * calls.c defines libc's functions again, so that whatever is linked with it reaches the kernel through them. Nothing is really synced: a
 * process that ends loses nothing that it has written, and what a power failure would lose is told by the tape. Any number of threads may
 * call; the functions below belong to one of them, while no other one calls. */
#ifndef GRID_TESTS_FAULTS_CALLS_H
#define GRID_TESTS_FAULTS_CALLS_H

#include "tests/faults/tape.h"

/* Kinds of calls, to be added up. */
enum calls_kind {
    CALLS_OPEN = 1, /* of what is there */
    CALLS_CREATE = 2,
    CALLS_READ = 4,
    CALLS_WRITE = 8,
    CALLS_SYNC = 16,
    CALLS_NAME = 32, /* mkdir, symlink, link, rename */
    CALLS_REMOVE = 64,
    CALLS_SIZE = 128, /* ftruncate */
    CALLS_META = 256, /* modes and times */
    CALLS_COPY = 512, /* copy_file_range, FICLONE */
    CALLS_ALL = 1023,
    CALLS_CHANGING = CALLS_ALL & ~CALLS_READ,
    CALLS_GROWING = CALLS_CREATE | CALLS_WRITE | CALLS_NAME | CALLS_COPY,
};

/* All pass, and none is counted. */
void calls_pass(void);
/* The `at`-th call (from 0) of these kinds ends the process by SIGKILL before it is made; with `half` a write is made by half before. */
void calls_kill_at(unsigned kinds, uint64_t at, bool half);
/* It gives this error instead; or, with 0, a write writes half. */
void calls_fail_at(unsigned kinds, uint64_t at, int errnum);
/* How many there were since then, and whether the one came and was spoilt; a sync? */
uint64_t calls_seen(void);
bool calls_spoilt(void);
bool calls_spoilt_a_sync(void);
/* All that are made are written down; what was planned before still holds. Syncs called from `skipped` (NULL: none) are as if they were not there. */
void calls_record(struct tape *tape, const void *skipped);
/* Written down while recording. */
void calls_mark(uint32_t number);

#endif
