/* Deploy and Rollback: a publish on this node, told as it goes, then the other nodes as they come to run it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/control.pb-c.h"
#include "server/node_internal.h"
#include "server/node_join.h"
#include "server/node_trust.h"
#include "server/release/release_config.h"

enum { TASKS_WAIT_MS = 15000 /* more than a process has to be ready */, WAIT_DEFAULT_MS = 60000, WAIT_MAX_MS = 3600 * 1000, CONFIG_BYTES_MAX = 256 * 1024, CONFIG_ARENA_MAX = 8 * 1024 * 1024 };

struct deploy {
    struct node_watch link;
    struct node *node;
    struct admin_call *call;
    uint32_t wait_ms;
    bool waiting; /* this node runs it; the others are looked at */
    bool watch_tasks;
    struct loop_timer timer;
    struct loop_timer tasks_timer; /* all run it; their tasks are coming up */
    char root[OBJECT_ID_HEX + 1];
    uint64_t sequence;
    uint8_t config_hash[32];
    struct map *live; /* ids of nodes told of */
    char *folder;     /* that is published, NULL for a rollback */
};

static void send_progress(struct deploy *d, Grid__V1__DeployProgress *progress)
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
    loop_timer_stop(&d->tasks_timer);
    releases_forget(d->node->releases, d);
    map_destroy(d->live);
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

/* It runs what was deployed, or the same files by an entry after it. Its tasks may still be those of before. */
static bool runs_release(const struct deploy *d, const struct member *m)
{
    if (member_runs(m, d->root, d->sequence, slice_of_str(node_id(d->node))))
        return true;
    return m->release_sequence > d->sequence && strcmp(m->release, d->root) == 0;
}

static bool counts(const struct member *m)
{
    return m->state == MEMBER_ALIVE || m->state == MEMBER_STALLED;
}

/* ---- the tasks, on nodes that run it ---- */

/* Every process is ready, or it is known why not. */
static bool is_settled_here(const struct supervisor_task *t)
{
    bool settled = !t->renewing;
    for (size_t k = 0; k < t->instance_count; k++)
        settled &= t->instances[k].ready;
    return settled || t->reason[0] != '\0';
}

static const char *unsettled_here(const struct node *n)
{
    size_t count;
    const struct supervisor_task *tasks = supervisor_list(n->supervisor, &count);
    for (size_t i = 0; i < count; i++)
        if (!is_settled_here(&tasks[i]))
            return tasks[i].name;
    return NULL;
}

/* What it says of its tasks may be of the release before. Older versions do not tell of which. */
static bool tells_of_release(const struct deploy *d, const struct member *m)
{
    return m->tasks_sequence >= d->sequence || (m->tasks_sequence == 0 && m->task_count > 0);
}

static const char *unsettled_there(const struct deploy *d, const struct member *m)
{
    if (!tells_of_release(d, m))
        return "";
    for (size_t k = 0; k < m->task_count; k++)
        if (m->tasks[k].fault[0] == '\0' && (m->tasks[k].instances == 0 || m->tasks[k].renewing))
            return m->tasks[k].name;
    return NULL;
}

/* A task of which it is not known yet that its newest version serves there, or cannot; "": none is known; NULL: all are. Of a member that runs the release. */
static const char *unsettled_task(const struct deploy *d, const struct member *m)
{
    if (!d->watch_tasks)
        return NULL;
    return m->local ? unsettled_here(d->node) : unsettled_there(d, m);
}

static bool is_live(const struct deploy *d, const struct member *m)
{
    return runs_release(d, m) && !unsettled_task(d, m);
}

/* On how many nodes; *first: why, on the first of them. */
static unsigned count_faults(const struct deploy *d, const char *task, const struct member **first)
{
    unsigned count = 0;
    for (size_t i = 0; i < node_member_count(d->node); i++) {
        const struct member *m = node_member(d->node, i);
        if (m->state != MEMBER_ALIVE || !runs_release(d, m) || !member_task_fault(m, task))
            continue;
        if (count++ == 0)
            *first = m;
    }
    return count;
}

/* ---- the nodes ---- */

static void send_node(struct deploy *d, const struct member *m, bool live)
{
    Grid__V1__DeployProgress progress = GRID__V1__DEPLOY_PROGRESS__INIT;
    progress.phase = pb_str("node");
    progress.node = pb_str(m->name);
    progress.live = live;
    send_progress(d, &progress);
}

/* How far the grid is. */
struct deploy_count {
    uint32_t live, running, total; /* with their tasks settled; running the release; all */
};

static struct deploy_count count_nodes(struct deploy *d)
{
    struct deploy_count c = {0};
    for (size_t i = 0; i < node_member_count(d->node); i++) {
        const struct member *m = node_member(d->node, i);
        if (!counts(m))
            continue;
        c.total++;
        c.running += runs_release(d, m);
        if (!is_live(d, m))
            continue;
        c.live++;
        if (!map_get(d->live, slice_of_str(m->id)) && map_set(d->live, slice_of_str(m->id), d) == 0)
            send_node(d, m, true);
    }
    return c;
}

static void send_warning(struct deploy *d, const char *sentence)
{
    Grid__V1__DeployProgress progress = GRID__V1__DEPLOY_PROGRESS__INIT;
    progress.phase = pb_str("warning");
    progress.message = pb_str(sentence);
    send_progress(d, &progress);
}

/* Names of tasks, which are the members' own. */
struct task_names {
    ProtobufCBinaryData *list;
    size_t count;
};

static void names_add(struct task_names *names, const char *name)
{
    ProtobufCBinaryData *list = realloc(names->list, (names->count + 1) * sizeof *list);
    if (!list)
        return; /* the warning has named it */
    names->list = list;
    list[names->count++] = pb_str(name);
}

static void warn_faults_of(struct deploy *d, const struct member *m, struct task_names *failed)
{
    char sentence[1024];
    for (size_t k = 0; m->state == MEMBER_ALIVE && runs_release(d, m) && k < m->task_count; k++) {
        const struct member *first = NULL;
        unsigned count = count_faults(d, m->tasks[k].name, &first);
        if (first != m)
            continue;
        snprintf(sentence, sizeof sentence, "the task %s cannot be started on %s%s: %s; \"grid logs %s%s%s\" tells more", m->tasks[k].name, m->name,
                 count > 1 ? " and others" : "", m->tasks[k].fault, m->tasks[k].name, m->local ? "" : " --node ", m->local ? "" : m->name);
        send_warning(d, sentence);
        names_add(failed, m->tasks[k].name);
    }
}

static void warn_faults(struct deploy *d, struct task_names *failed)
{
    for (size_t i = 0; d->watch_tasks && i < node_member_count(d->node); i++)
        warn_faults_of(d, node_member(d->node, i), failed);
}

/* Of nodes that run it and whose tasks have not come that far in the time there was. */
static void warn_unsettled(struct deploy *d)
{
    char sentence[512];
    for (size_t i = 0; i < node_member_count(d->node); i++) {
        const struct member *m = node_member(d->node, i);
        if (!counts(m) || is_live(d, m))
            continue;
        send_node(d, m, false);
        if (!runs_release(d, m))
            continue;
        const char *task = unsettled_task(d, m);
        if (task[0])
            snprintf(sentence, sizeof sentence, "the new version of the task %s is not ready on %s, and has not failed either: \"grid logs %s --node %s\" shows how far it is", task, m->name, task, m->name);
        else
            snprintf(sentence, sizeof sentence, "%s has the release but does not tell of its tasks: \"grid ps\" there shows them", m->name);
        send_warning(d, sentence);
    }
}

static void deploy_done(struct deploy *d, uint32_t live, uint32_t total)
{
    Grid__V1__DeployProgress progress = GRID__V1__DEPLOY_PROGRESS__INIT;
    char message[128];
    struct task_names failed = {0};
    warn_faults(d, &failed);
    warn_unsettled(d);
    snprintf(message, sizeof message, "release %.8s runs on %u of %u nodes", d->root, live, total);
    progress.phase = pb_str("done");
    progress.nodes_live = live;
    progress.nodes_total = total;
    progress.message = pb_str(message);
    progress.tasks_failed = failed.list;
    progress.n_tasks_failed = failed.count;
    send_progress(d, &progress);
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
    struct deploy_count c = count_nodes(d);
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
    Grid__V1__DeployProgress progress = GRID__V1__DEPLOY_PROGRESS__INIT;
    char hex[OBJECT_ID_HEX + 1], message[512];
    object_id_to_hex(&loser->root, hex);
    snprintf(message, sizeof message, "release %.8s was published at the same time by node %.*s and gave way to this one", hex,
             SLICE_FMT(node_name_of(d->node, loser->publisher)));
    progress.phase = pb_str("warning");
    progress.message = pb_str(message);
    send_progress(d, &progress);
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
    send_progress(ctx, &progress);
}

static void on_warning(void *ctx, const char *sentence)
{
    send_warning(ctx, sentence);
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
    struct map *live = map_create(NULL);
    if (!d || !live) {
        free(d);
        map_destroy(live);
        admin_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
        return NULL;
    }
    *d = (struct deploy){.node = n, .call = call, .live = live, .wait_ms = wait_ms == 0 ? WAIT_DEFAULT_MS : wait_ms > WAIT_MAX_MS ? WAIT_MAX_MS : wait_ms};
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
static bool is_publisher(const struct node *n)
{
    for (size_t i = 0; i < n->gridfile.publisher_count; i++)
        if (strcmp(n->gridfile.publishers[i], node_id(n)) == 0)
            return true;
    return n->gridfile.publisher_count == 0;
}

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
    else if (!is_publisher(n))
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
    if (!is_publisher(n))
        refuse_publisher(n, call);
    else if ((d = deploy_create(n, call, asked->wait_ms)))
        rollback_start(n, d, asked);
    grid__v1__rollback_request__free_unpacked(asked, NULL);
}
