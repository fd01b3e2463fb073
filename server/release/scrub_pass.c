/* A pass is over when as much has been read as there is. */
#include "server/release/scrub_pass.h"

uint64_t scrub_pass_step(struct scrub_pass *p, uint64_t read_bytes, uint64_t stored_bytes, uint64_t now_ms)
{
    p->bytes += read_bytes;
    if (p->bytes < stored_bytes)
        return SCRUB_STEP_MS;
    uint64_t next_ms = p->began_ms + SCRUB_PASS_MS;
    uint64_t wait_ms = next_ms > now_ms + SCRUB_STEP_MS ? next_ms - now_ms : SCRUB_STEP_MS;
    p->bytes = 0;
    p->began_ms = now_ms + wait_ms;
    return wait_ms;
}
