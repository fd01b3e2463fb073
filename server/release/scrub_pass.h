/* server/release/scrub_pass.h: when the store is read through, a little at a time. Pure: time comes as an argument, in milliseconds. */
#ifndef GRID_SERVER_RELEASE_SCRUB_PASS_H
#define GRID_SERVER_RELEASE_SCRUB_PASS_H

#include <stdint.h>

enum {
    SCRUB_FIRST_MS = 600000,          /* after the node's start */
    SCRUB_STEP_MS = 1000,             /* from one step to the next */
    SCRUB_STEP_BYTES = 1024 * 1024,   /* read by one */
    SCRUB_PASS_MS = 7 * 24 * 3600000, /* from one pass's beginning to the next one's, or as long as it takes */
};

struct scrub_pass {
    uint32_t next;     /* where it goes on: store_scrub's; a pass may begin anywhere, and goes round */
    uint64_t bytes;    /* read in this pass */
    uint64_t began_ms;
};

/* A step has read so many bytes of a store that holds `stored_bytes`. Returns how long to wait for the next one. */
uint64_t scrub_pass_step(struct scrub_pass *p, uint64_t read_bytes, uint64_t stored_bytes, uint64_t now_ms);

#endif
