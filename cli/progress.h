/* cli/progress.h: a deploy or rollback on its way: what the node reports, and how it is told. The state and the writers are pure. */
#ifndef GRID_CLI_PROGRESS_H
#define GRID_CLI_PROGRESS_H

#include "api/pb.h"
#include "base/arena.h"
#include "cli/cli.h"
#include "grid/v1/control.pb-c.h"

enum { PROGRESS_NODES_MAX = 1024, PROGRESS_LINES_MAX = 18 };

struct progress_node {
    struct slice name, state; /* "fetching", "starting", "live", "gone"; empty from older nodes */
    uint64_t bytes_fetched, bytes_wanted; /* contents that other nodes gave it, and those still to come */
    bool is_live;
};

struct progress {
    struct arena *arena; /* holds all texts */
    struct slice root, message;
    uint64_t sequence, files, files_done, bytes, bytes_done, bytes_saved;
    struct progress_node *nodes;
    size_t node_count;
    struct slice *warnings;
    size_t warning_count;
    struct slice *tasks_failed;
    size_t task_count;
    uint32_t nodes_live, nodes_total;
    bool is_done;
};

/* 0 or GRID_ENOMEM. */
int progress_init(struct progress *p);
void progress_dispose(struct progress *p);

/* Takes one report. 0 or GRID_ENOMEM. */
int progress_take(struct progress *p, const Grid__V1__DeployProgress *report);

/* What a terminal shows meanwhile: at most PROGRESS_LINES_MAX lines of at most `columns` characters, each with its end. Returns how many.
 *     store     [############------------]  12/42 files  1.2 MiB, 1.0 MiB of it already there
 *     live      [########----------------]  1 of 3 nodes
 *     node2     [######------------------]  fetching, 52.5 KiB of 210.0 KiB
 *     node3     starting its tasks, 210.0 KiB fetched */
size_t progress_append_lines(const struct progress *p, size_t columns, struct buf *out);

/* What is said at the end: "release 1a2b3c4d (number 3) is live on 3 of 3 nodes: 42 files, 1.2 MiB, 1.0 MiB of it already there, 420.0 KiB fetched by 2 nodes". */
void progress_append_summary(const struct progress *p, struct buf *out);
/* One object: root, sequence, files, size_bytes, saved_bytes, nodes_live, nodes_total, live, waiting, fetched_bytes (by node), tasks_failed, warnings. */
void progress_append_json(const struct progress *p, struct buf *out);
/* "node2, node3": the nodes that do not run it. */
void progress_append_waiting(const struct progress *p, struct buf *out);
/* "resize, mail": the tasks that cannot be started. */
void progress_append_failed(const struct progress *p, struct buf *out);

/* Makes the request, shows its progress and its end. `request` is a DeployRequest or RollbackRequest. An exit code. */
int progress_run(struct cli *cli, const char *method, const ProtobufCMessage *request);

#endif
