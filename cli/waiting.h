/* cli/waiting.h: what verbs that stay wait with: a clock, waits compared, signals as a descriptor. One thread. */
#ifndef GRID_CLI_WAITING_H
#define GRID_CLI_WAITING_H

#include <stdint.h>

/* Monotonic milliseconds. */
uint64_t waiting_now_ms(void);

/* Of two waits in milliseconds, where -1 is for ever, the shorter one. */
int waiting_sooner(int a, int b);

/* From here on SIGINT, SIGTERM, SIGHUP and SIGCHLD are read from the descriptor (non-blocking, signalfd(2)) that this returns, and SIGPIPE is
 * ignored. -1 with errno. */
int waiting_catch_signals(void);
/* In a child process: as it was before. */
void waiting_release_signals(void);

#endif
