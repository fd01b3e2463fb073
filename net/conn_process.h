/* net/conn_process.h: whether the process at the other end of a local socket gave up rights that this one has: how a task is told from its
 * node when both run as one user. Blocking reads of /proc; any thread. */
#ifndef GRID_NET_CONN_PROCESS_H
#define GRID_NET_CONN_PROCESS_H

#include "net/addr.h"

/* Milliseconds since boot, as /proc counts. */
uint64_t conn_process_now_ms(void);

/* True unless every process that holds the other end is as free as this one (conn_process_is_confined); also when none can be found: it has
 * ended, or hides. A Unix socket names the one that connected, whose number may be another's by now: it must live still, or, where the kernel cannot tell
 * (before Linux 6.5), have begun before the connection was taken at `taken_ms`. For loopback TCP the processes of this user are searched. */
bool conn_process_confined(int fd, const struct addr *local, const struct addr *peer, uint64_t taken_ms);

/* Whether the process of this number began later than that, or there is none. */
bool conn_process_began_after(int pid, uint64_t ms);

/* no_new_privs is set and is not for this process, or it lives in another user namespace. Neither can be undone, and both are inherited. */
bool conn_process_is_confined(int pid);

/* The value of "NoNewPrivs:" in a text like /proc/PID/status: 0 or 1, -1 without it. Pure. */
int conn_process_no_new_privs(const char *status);

#endif
