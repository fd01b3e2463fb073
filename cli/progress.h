/* cli/progress.h: a deploy or rollback on its way: what the node reports, and how it is told. The state and the writers are pure. */
#ifndef GRID_CLI_PROGRESS_H
#define GRID_CLI_PROGRESS_H

#include "api/pb.h"
#include "base/arena.h"
#include "cli/cli.h"
#include "grid/v1/control.pb-c.h"

enum { PROGRESS_NODES_MAX = 1024, PROGRESS_LINE_MAX = 160 };

struct progress_node {
    struct slice name;
    bool is_live;
};

struct progress {
    struct arena *arena; /* holds all texts */
    struct slice root, message;
    uint64_t sequence, files, bytes, bytes_saved;
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

/* One line for a terminal: "store  [######----]  12/42 files  1.2 MiB". At most PROGRESS_LINE_MAX bytes with the NUL. */
void progress_bar(const Grid__V1__DeployProgress *report, char out[PROGRESS_LINE_MAX]);

/* What is said at the end: "release 1a2b3c4d (number 3) is live on 3 of 3 nodes: 42 files, 1.2 MiB, 1.0 MiB of it already there". */
void progress_append_summary(const struct progress *p, struct buf *out);
/* One object: root, sequence, files, size_bytes, saved_bytes, nodes_live, nodes_total, live, waiting, tasks_failed, warnings. */
void progress_append_json(const struct progress *p, struct buf *out);
/* "node2, node3": the nodes that do not run it. */
void progress_append_waiting(const struct progress *p, struct buf *out);
/* "resize, mail": the tasks that cannot be started. */
void progress_append_failed(const struct progress *p, struct buf *out);

/* Makes the request, shows its progress and its end. `request` is a DeployRequest or RollbackRequest. An exit code. */
int progress_run(struct cli *cli, const char *method, const ProtobufCMessage *request);

#endif
