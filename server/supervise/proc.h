/* server/supervise/proc.h: what /proc tells about the groups of processes that tasks run in. Reads files; no state; any thread. */
#ifndef GRID_SERVER_SUPERVISE_PROC_H
#define GRID_SERVER_SUPERVISE_PROC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* The fields of /proc/PID/stat that matter here. Pure. 0, or GRID_EPROTO. */
struct proc_stat {
    int pid;
    int group;
    char state;          /* 'Z' is a zombie */
    uint64_t start_time; /* clock ticks since boot: with the pid, and within one boot, it names a process for good */
};
int proc_stat_parse(struct slice text, struct proc_stat *out);

/* 0; GRID_ENOENT when there is no such process. */
int proc_stat_read(int pid, struct proc_stat *out);

/* The socket inode of a line of /proc/net/tcp or tcp6 that listens on `port`, and whether its address is another than loopback's; false for
 * every other line. Pure. */
bool proc_listener_parse(struct slice line, uint16_t port, uint64_t *inode, bool *wide);

enum proc_owner {
    PROC_OWNER_GROUP,   /* a process of the group listens on the port */
    PROC_OWNER_OTHER,   /* somebody listens there, and no process of the group does */
    PROC_OWNER_NOBODY,  /* nobody does */
    PROC_OWNER_UNKNOWN, /* the system does not show it */
};
/* *wide: somebody listens there on more than loopback. */
enum proc_owner proc_port_owner(uint16_t port, int group, bool *wide);

/* This boot's id, 36 characters and NUL; "" when unknown. */
void proc_boot_id(char out[37]);

/* SIGKILL to every process of the group, when it is still the one whose leader began at `start_time`: the leader itself is, or it is gone
 * and members that began no earlier are left. Returns how many were ended. */
unsigned proc_group_end(int group, uint64_t start_time);

/* Kills every process but ours whose environment holds exactly this NAME=VALUE: what a task has put into a session of its own. Returns how
 * many. Reads all of /proc. */
unsigned proc_marked_end(const char *mark);

/* Kills every process of this user, whatever its environment says; for root also those that come and go while it looks, by a process that becomes that user for it and has ended when
 * this returns. */
void proc_user_end(uint32_t uid);

#endif
