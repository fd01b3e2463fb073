/* net/h2_memory.h: the allocator under nghttp2: blocks of a few sizes that are kept for the next stream of any session of the
 * thread.
 *
 * A stream costs nghttp2 about ten blocks, which live and die in bursts; malloc's own per-thread cache is too short for that. What
 * is kept is bounded (1,024 blocks, about 256 KiB) and is given back with the thread's last session. Larger blocks are malloc's. */
#ifndef GRID_NET_H2_MEMORY_H
#define GRID_NET_H2_MEMORY_H

#include <nghttp2/nghttp2.h>

/* Before a session is made on this thread, and after it was deleted on the same one. The table lives as long as the program. */
nghttp2_mem *h2_memory_take(void);
void h2_memory_release(void);

#endif
