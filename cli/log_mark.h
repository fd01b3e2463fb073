/* cli/log_mark.h: how far a node's lines have been read, so that a stream which is asked for anew, with its old lines, shows none of them twice. Pure. */
#ifndef GRID_CLI_LOG_MARK_H
#define GRID_CLI_LOG_MARK_H

#include <stdbool.h>
#include <stdint.h>

/* The latest moment of a line that was taken, and how many had it. Zeroed: none was. */
struct log_mark {
    int64_t last_ms;
    uint32_t at_last;
};

/* Notes a line that was taken. */
void log_mark_take(struct log_mark *m, int64_t time_ms);

/* One stream: old lines in order of time, then new ones. */
struct log_replay {
    struct log_mark before;
    uint32_t met; /* lines of the moment before.last_ms */
    bool is_past;
};

/* A stream begins after what `m` says was taken. */
void log_replay_begin(struct log_replay *r, const struct log_mark *m);
/* Whether its next line is a new one. */
bool log_replay_is_new(struct log_replay *r, int64_t time_ms);

#endif
