/* Deploy and Rollback: a publish on this node, told as it goes, then the other nodes as they come to run it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/control.pb-c.h"
#include "server/node_deploy.h"
#include "server/node_join.h"
#include "server/node_trust.h"
#include "server/node_verdict.h"
#include "server/release/release_config.h"

enum { TASKS_WAIT_MS = 15000 /* more than a process has to be ready */, FETCHES_TELL_MS = 250, WAIT_DEFAULT_MS = 60000, WAIT_MAX_MS = 3600 * 1000, CONFIG_BYTES_MAX = 256 * 1024, CONFIG_ARENA_MAX = 8 * 1024 * 1024 };

void deploy_send_progress(struct deploy *d, Grid__V1__DeployProgress *progress)
{
    struct buf packed;
    buf_init(&packed, 0);
    progress->root = pb_str(d->root);
    progress->sequence = d->sequence;
    if (pb_append(&packed, &progress->base) == 0)
        admin_reply(d->call, buf_slice(&packed));
    buf_dispose(&packed);
}

static void deploy_free(struct deploy *d)
{
    if (d->link.prev) {
        *d->link.prev = d->link.next;
        if (d->link.next)
            d->link.next->prev = d->link.prev;
    }
    loop_timer_stop(&d->timer);
    loop_timer_stop(&d->fetch_timer);
    loop_timer_stop(&d->tasks_timer);
    releases_forget(d->node->releases, d);
    map_destroy(d->told);
    free(d->folder);
    free(d);
}

static void deploy_finish(struct deploy *d, int status, const char *message)
{
    admin_finish(d->call, status, message);
    deploy_free(d);
}

/* ---- the other nodes ---- */

/* The same files with the same configuration as were deployed. */
static bool is_same(const struct release_entry *e, const struct deploy *d)
{
    char own[OBJECT_ID_HEX + 1];
    object_id_to_hex(&e->root, own);
    return strcmp(own, d->root) == 0 && memcmp(e->config_hash, d->config_hash, sizeof d->config_hash) == 0;
}

void deploy_send_warning(struct deploy *d, const char *sentence)
{
    Grid__V1__DeployProgress progress = GRID__V1__DEPLOY_PROGRESS__INIT;
    progress.phase = pb_str("warning");
    progress.message = pb_str(sentence);
    deploy_send_progress(d, &progress);
}

static void deploy_done(struct deploy *d, uint32_t live, uint32_t total)
{
    Grid__V1__DeployProgress progress = GRID__V1__DEPLOY_PROGRESS__INIT;
    char message[128];
    struct deploy_tasks failed = {0};
    deploy_warn_of_tasks(d, &failed);
    snprintf(message, sizeof message, "release %.8s runs on %u of %u nodes", d->root, live, total);
    progress.phase = pb_str("done");
    progress.nodes_live = live;
    progress.nodes_total = total;
    progress.message = pb_str(message);
    progress.tasks_failed = failed.list;
    progress.n_tasks_failed = failed.count;
    deploy_send_progress(d, &progress);
    free(failed.list);
    deploy_finish(d, GRPC_OK, NULL);
}

/* Ends a deploy whose release another one has taken the place of. `how` is a verb. */
static void deploy_lost(struct deploy *d, const struct release_entry *winner, const char *how)
{
    char hex[OBJECT_ID_HEX + 1], sentence[512];
    object_id_to_hex(&winner->root, hex);
    snprintf(sentence, sizeof sentence, "release %.8s was %s by release %.8s from node %.*s: deploy again if yours is the one to run", d->root, how, hex,
             SLICE_FMT(node_name_of(d->node, winner->publisher)));
    deploy_finish(d, GRPC_ABORTED, sentence);
}

static void on_timer(void *arg);

static void deploy_look(struct deploy *d, bool time_is_over)
{
    const struct release_entry *newest = releases_newest(d->node->releases);
    struct deploy_count c = deploy_look_at_nodes(d);
    if (time_is_over || c.live == c.total)
        deploy_done(d, c.live, c.total);
    else if (newest && newest->sequence > d->sequence && !is_same(newest, d))
        deploy_lost(d, newest, "replaced");
    else if (c.running == c.total && !loop_timer_running(&d->tasks_timer))
        loop_timer_start(d->node->loop, &d->tasks_timer, TASKS_WAIT_MS, on_timer, d);
}

void node_deploys_check(struct node *n)
{
    for (struct node_watch *w = n->deploys, *next; w; w = next) {
        next = w->next;
        if (((struct deploy *) w)->waiting)
            deploy_look((struct deploy *) w, false);
    }
}

static void deploy_won(struct deploy *d, const struct release_entry *loser)
{
    char hex[OBJECT_ID_HEX + 1], message[512];
    object_id_to_hex(&loser->root, hex);
    snprintf(message, sizeof message, "release %.8s was published at the same time by node %.*s and gave way to this one", hex,
             SLICE_FMT(node_name_of(d->node, loser->publisher)));
    deploy_send_warning(d, message);
}

void node_deploys_conflict(void *node, const struct release_entry *winner, const struct release_entry *loser)
{
    struct node *n = node;
    bool same = object_id_equal(&winner->root, &loser->root) && slice_equal(winner->config, loser->config);
    for (struct node_watch *w = n->deploys, *next; w && !same; w = next) {
        struct deploy *d = (struct deploy *) w;
        next = w->next;
        if (!d->waiting || d->sequence != winner->sequence)
            continue;
        if (slice_equal_str(winner->publisher, node_id(n)))
            deploy_won(d, loser);
        else if (slice_equal_str(loser->publisher, node_id(n)))
            deploy_lost(d, winner, "superseded, at the same moment,");
    }
}

void node_deploys_stop(struct node *n)
{
    while (n->deploys)
        deploy_finish((struct deploy *) n->deploys, GRPC_UNAVAILABLE, "the node is stopping: \"grid releases\" on another node shows whether the release went on");
}

static void on_timer(void *arg)
{
    deploy_look(arg, true);
}

static void on_fetch_timer(void *arg)
{
    struct deploy *d = arg;
    deploy_tell_fetches(d);
    loop_timer_start(d->node->loop, &d->fetch_timer, FETCHES_TELL_MS, on_fetch_timer, d);
}

/* ---- the publish ---- */

static void on_progress(void *ctx, const char *phase, const struct publish_progress *p)
{
    Grid__V1__DeployProgress progress = GRID__V1__DEPLOY_PROGRESS__INIT;
    progress.phase = pb_str(phase);
    progress.files_done = p->files_done;
    progress.files_total = p->files_total;
    progress.bytes_done = p->bytes_done;
    progress.bytes_total = p->bytes_total;
    progress.bytes_saved = p->bytes_saved;
    deploy_send_progress(ctx, &progress);
}

static void on_warning(void *ctx, const char *sentence)
{
    deploy_send_warning(ctx, sentence);
}

static int status_of(int err)
{
    switch (err) {
    case GRID_ENOENT:
        return GRPC_NOT_FOUND;
    case GRID_EPERM: /* the folder's rights; the caller's were looked at before */
        return GRPC_FAILED_PRECONDITION;
    case GRID_ENOSPC:
    case GRID_ELIMIT:
        return GRPC_RESOURCE_EXHAUSTED;
    case GRID_EINVAL:
    case GRID_EPROTO:
        return GRPC_INVALID_ARGUMENT;
    case GRID_ECANCELED:
        return GRPC_ABORTED;
    default:
        return GRPC_INTERNAL;
    }
}

static void on_done(void *ctx, int err, const char *sentence, const struct release_entry *entry)
{
    struct deploy *d = ctx;
    if (err != 0) {
        char why[1536];
        snprintf(why, sizeof why, "%.400s%s%.1000s", d->folder ? d->folder : "", d->folder ? ": " : "", sentence);
        deploy_finish(d, status_of(err), why);
        return;
    }
    object_id_to_hex(&entry->root, d->root);
    d->sequence = entry->sequence;
    memcpy(d->config_hash, entry->config_hash, sizeof d->config_hash);
    d->waiting = true;
    loop_timer_start(d->node->loop, &d->timer, d->wait_ms, on_timer, d);
    loop_timer_start(d->node->loop, &d->fetch_timer, FETCHES_TELL_MS, on_fetch_timer, d);
    node_routes_changed(d->node); /* looks at it when the table is published */
}

static const struct release_events EVENTS = {on_progress, on_warning, on_done};

static void on_cancel(void *arg, struct admin_call *call)
{
    struct deploy *d = arg;
    (void) call;
    releases_abandon(d->node->releases, d);
    deploy_finish(d, GRPC_CANCELLED, NULL); /* what is published goes on its way */
}

static struct deploy *deploy_create(struct node *n, struct admin_call *call, uint32_t wait_ms)
{
    if (n->stopping) {
        admin_finish(call, GRPC_UNAVAILABLE, "the node is stopping: ask another one");
        return NULL;
    }
    struct deploy *d = calloc(1, sizeof *d);
    struct map *told = map_create(NULL);
    if (!d || !told) {
        free(d);
        map_destroy(told);
        admin_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
        return NULL;
    }
    *d = (struct deploy){.node = n, .call = call, .told = told, .wait_ms = wait_ms == 0 ? WAIT_DEFAULT_MS : wait_ms > WAIT_MAX_MS ? WAIT_MAX_MS : wait_ms};
    d->link.next = n->deploys;
    d->link.prev = &n->deploys;
    if (d->link.next)
        d->link.next->prev = &d->link.next;
    n->deploys = &d->link;
    admin_on_cancel(call, on_cancel, d);
    return d;
}

/* ---- the folder ---- */

/* A process at this machine reads what its user may read. Whoever only has the API token is nobody here, and reads as the node. */
static bool caller_rights(const struct admin_caller *caller, struct rights *out)
{
    *out = (struct rights){.uid = caller->uid, .gid = caller->gid, .group_count = caller->groups_known ? caller->group_count : 0};
    memcpy(out->groups, caller->groups, out->group_count * sizeof *out->groups);
    return caller->uid_known;
}

/* Why this caller may publish no folder of this machine, NULL when it may. */
static const char *caller_refusal(const struct admin_caller *caller)
{
    struct rights rights;
    if (!caller_rights(caller, &rights))
        return caller->token ? NULL : "a folder is read with the rights of the user who asks, who is not known here: deploy from this machine, through the Unix socket";
    if (rights_are_own(&rights) || rights_can_change())
        return NULL;
    return "a folder is read with the rights of the user who asks, and this node, which does not run as root, has only those of its own user: deploy as that user";
}

/* The others would drop what this node signs: then it must not run it alone either. */
static void refuse_publisher(const struct node *n, struct admin_call *call)
{
    char why[256];
    snprintf(why, sizeof why, "the Gridfile does not name this node among its publishers: deploy on one that it names, or add %s there on every node", node_id(n));
    admin_finish(call, GRPC_FAILED_PRECONDITION, why);
}

static int publish_folder(struct node *n, struct deploy *d, struct slice config)
{
    const struct admin_caller *caller = admin_call_caller(d->call);
    struct rights rights;
    bool known = caller_rights(caller, &rights);
    struct release_folder folder = {.path = d->folder, .rights = known ? &rights : NULL, .groups_unknown = !caller->groups_known};
    return releases_publish(n->releases, &folder, config, &EVENTS, d);
}

/* "./tasks/" is "tasks". */
static void folder_plain(ProtobufCBinaryData *folder)
{
    while (folder->len > 2 && folder->data[0] == '.' && folder->data[1] == '/')
        memmove(folder->data, folder->data + 2, folder->len -= 2);
    while (folder->len > 1 && folder->data[folder->len - 1] == '/')
        folder->len--;
}

/* Packs what was asked for, unless it breaks a limit. */
static int take_config(const Grid__V1__DeployRequest *asked, struct buf *config, char why[1024])
{
    Grid__V1__ReleaseConfig none = GRID__V1__RELEASE_CONFIG__INIT;
    const Grid__V1__ReleaseConfig *read;
    struct arena *arena = arena_create(4096, CONFIG_ARENA_MAX);
    char sentence[TASK_ERROR_MAX];
    if (!arena)
        return GRID_ENOMEM;
    if (asked->config)
        folder_plain(&asked->config->task_folder);
    int err = pb_append(config, asked->config ? &asked->config->base : &none.base);
    if (err == GRID_ELIMIT)
        snprintf(why, 1024, "the environment and json_conf are larger than 256 KiB: send less");
    else if (err == 0 && (err = release_config_read(buf_slice(config), arena, &read, sentence)) != 0)
        snprintf(why, 1024, "%s", sentence);
    arena_destroy(arena);
    return err;
}

static void deploy_start(struct node *n, struct deploy *d, const Grid__V1__DeployRequest *asked)
{
    char why[1024] = "the node is out of memory: try again later";
    struct buf config;
    buf_init(&config, CONFIG_BYTES_MAX);
    d->watch_tasks = asked->watch_tasks;
    d->folder = slice_to_str(pb_slice(asked->directory));
    int err = d->folder ? take_config(asked, &config, why) : GRID_ENOMEM;
    if (err == 0)
        err = publish_folder(n, d, buf_slice(&config));
    buf_dispose(&config);
    if (err != 0)
        deploy_finish(d, status_of(err), why);
}

void node_deploy(void *ctx, struct admin_call *call, struct slice request)
{
    struct node *n = ctx;
    Grid__V1__DeployRequest *asked = grid__v1__deploy_request__unpack(NULL, request.size, request.data);
    const char *refusal = caller_refusal(admin_call_caller(call));
    struct deploy *d;
    if (!asked)
        admin_finish(call, GRPC_INVALID_ARGUMENT, "the message is not a DeployRequest");
    else if (refusal)
        admin_finish(call, GRPC_PERMISSION_DENIED, refusal);
    else if (!node_may_publish(n, node_id(n)))
        refuse_publisher(n, call);
    else if ((d = deploy_create(n, call, asked->wait_ms))) {
        node_join_settle(n); /* the release is signed for this grid */
        deploy_start(n, d, asked);
    }
    if (asked)
        grid__v1__deploy_request__free_unpacked(asked, NULL);
}

static void rollback_start(struct node *n, struct deploy *d, const Grid__V1__RollbackRequest *asked)
{
    d->watch_tasks = asked->watch_tasks;
    if (releases_rollback(n->releases, pb_slice(asked->root), &EVENTS, d) != 0)
        deploy_finish(d, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
}

void node_rollback(void *ctx, struct admin_call *call, struct slice request)
{
    struct node *n = ctx;
    Grid__V1__RollbackRequest *asked = grid__v1__rollback_request__unpack(NULL, request.size, request.data);
    struct deploy *d;
    if (!asked) {
        admin_finish(call, GRPC_INVALID_ARGUMENT, "the message is not a RollbackRequest");
        return;
    }
    if (!node_may_publish(n, node_id(n)))
        refuse_publisher(n, call);
    else if ((d = deploy_create(n, call, asked->wait_ms)))
        rollback_start(n, d, asked);
    grid__v1__rollback_request__free_unpacked(asked, NULL);
}
