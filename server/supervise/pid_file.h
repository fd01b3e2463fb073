/* server/supervise/pid_file.h: which groups of processes this daemon has started, so that the next one can end what a crash left behind.
 * A text file: the boot's id, then "GROUP START_TIME" lines. */
#ifndef GRID_SERVER_SUPERVISE_PID_FILE_H
#define GRID_SERVER_SUPERVISE_PID_FILE_H

#include <stddef.h>
#include <stdint.h>

struct pid_entry {
    int group;
    uint64_t start_time; /* of its leader: struct proc_stat */
};

/* Replaces the file atomically. 0 or GRID_E*. */
int pid_file_write(const char *path, const struct pid_entry *entries, size_t count);

/* Ends the processes that the file of a daemon of this boot names and that are still the same ones. A missing or malformed file names
 * none. Returns how many were ended. */
unsigned pid_file_end_leftovers(const char *path);

#endif
