/* server/node_deploy.h: what a deploy (node_deploy.c) and the look at the nodes that come to run it (node_deploy_nodes.c) share. Control thread. */
#ifndef GRID_SERVER_NODE_DEPLOY_H
#define GRID_SERVER_NODE_DEPLOY_H

#include "grid/v1/control.pb-c.h"
#include "server/node_internal.h"

struct deploy {
    struct node_watch link;
    struct node *node;
    struct admin_call *call;
    uint32_t wait_ms;
    bool waiting; /* this node runs it; the others are looked at */
    bool watch_tasks;
    struct loop_timer timer;
    struct loop_timer fetch_timer; /* when it is told again how far the others are with fetching */
    struct loop_timer tasks_timer; /* all run it; their tasks are coming up */
    char root[OBJECT_ID_HEX + 1];
    uint64_t sequence;
    uint8_t config_hash[32];
    struct map *told; /* what was told of a node last, by its id: static text */
    char *folder;     /* that is published, NULL for a rollback */
};

/* Adds root and sequence, and sends it. */
void deploy_send_progress(struct deploy *d, Grid__V1__DeployProgress *progress);
void deploy_send_warning(struct deploy *d, const char *sentence);

/* How far the grid is. */
struct deploy_count {
    uint32_t live, running, total; /* with their tasks settled; running the release; all */
};

/* Looks at all nodes, and tells of each whose state is another than it was told last. */
struct deploy_count deploy_look_at_nodes(struct deploy *d);

/* Tells of each node that is fetching how far it is. */
void deploy_tell_fetches(struct deploy *d);

/* Names of tasks, which are the members' own. */
struct deploy_tasks {
    ProtobufCBinaryData *list; /* to be freed */
    size_t count;
};

/* What is to be said in the end: tasks that cannot be started, which are added to `failed`, or have not come that far in time, or run nowhere. */
void deploy_warn_of_tasks(struct deploy *d, struct deploy_tasks *failed);

#endif
