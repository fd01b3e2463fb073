/* How far the nodes are with a release: who runs it, whose tasks have come up, and what is to be said of those that have not. */
#include "server/node_deploy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "server/node_trust.h"

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

/* ---- the nodes ---- */

static const char *state_of(const struct deploy *d, const struct member *m)
{
    if (!counts(m))
        return "gone";
    if (!runs_release(d, m))
        return "fetching";
    return unsettled_task(d, m) ? "starting" : "live";
}

/* A node that was never here is not told of as gone. */
static void tell_state(struct deploy *d, const struct member *m, const char *state)
{
    Grid__V1__DeployProgress progress = GRID__V1__DEPLOY_PROGRESS__INIT;
    const char *told = map_get(d->told, slice_of_str(m->id));
    if (told == state || (!told && !counts(m)) || map_set(d->told, slice_of_str(m->id), (void *) (uintptr_t) state) != 0)
        return;
    progress.phase = pb_str("node");
    progress.node = pb_str(m->name);
    progress.state = pb_str(state);
    progress.live = strcmp(state, "live") == 0;
    progress.bytes_fetched = runs_release(d, m) ? m->release_fetched_bytes : 0;
    deploy_send_progress(d, &progress);
}

static void tell_fetch(struct deploy *d, const struct member *m)
{
    const struct fetch_claim *claim = releases_claim(d->node->releases, m->id, d->root);
    Grid__V1__DeployProgress progress = GRID__V1__DEPLOY_PROGRESS__INIT;
    if (!claim)
        return;
    progress.phase = pb_str("node");
    progress.node = pb_str(m->name);
    progress.state = pb_str("fetching");
    progress.bytes_fetched = claim->fetched_bytes;
    progress.bytes_wanted = claim->wanted_bytes;
    deploy_send_progress(d, &progress);
}

void deploy_tell_fetches(struct deploy *d)
{
    for (size_t i = 0; i < node_member_count(d->node); i++) {
        const struct member *m = node_member(d->node, i);
        if (counts(m) && !runs_release(d, m))
            tell_fetch(d, m);
    }
}

struct deploy_count deploy_look_at_nodes(struct deploy *d)
{
    struct deploy_count c = {0};
    for (size_t i = 0; i < node_member_count(d->node); i++) {
        const struct member *m = node_member(d->node, i);
        tell_state(d, m, state_of(d, m));
        if (!counts(m))
            continue;
        c.total++;
        c.running += runs_release(d, m);
        c.live += is_live(d, m);
    }
    return c;
}

/* ---- what is said in the end ---- */

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

static void names_add(struct deploy_tasks *names, const char *name)
{
    ProtobufCBinaryData *list = realloc(names->list, (names->count + 1) * sizeof *list);
    if (!list)
        return; /* the warning has named it */
    names->list = list;
    list[names->count++] = pb_str(name);
}

static void warn_faults_of(struct deploy *d, const struct member *m, struct deploy_tasks *failed)
{
    char sentence[1024];
    for (size_t k = 0; m->state == MEMBER_ALIVE && runs_release(d, m) && k < m->task_count; k++) {
        const struct member *first = NULL;
        unsigned count = count_faults(d, m->tasks[k].name, &first);
        if (first != m)
            continue;
        snprintf(sentence, sizeof sentence, "the task %s cannot be started on %s%s: %s; \"grid logs %s%s%s\" tells more", m->tasks[k].name, m->name,
                 count > 1 ? " and others" : "", m->tasks[k].fault, m->tasks[k].name, m->local ? "" : " --node ", m->local ? "" : m->name);
        deploy_send_warning(d, sentence);
        names_add(failed, m->tasks[k].name);
    }
}

static void warn_faults(struct deploy *d, struct deploy_tasks *failed)
{
    for (size_t i = 0; d->watch_tasks && i < node_member_count(d->node); i++)
        warn_faults_of(d, node_member(d->node, i), failed);
}

static bool runs_anywhere(const struct deploy *d, const char *task)
{
    for (size_t i = 0; i < node_member_count(d->node); i++) {
        const struct member *m = node_member(d->node, i);
        for (size_t k = 0; counts(m) && k < m->task_count; k++)
            if (strcmp(m->tasks[k].name, task) == 0)
                return true;
    }
    return false;
}

/* Of tasks that are for platforms which no node is. */
static void warn_elsewhere(struct deploy *d)
{
    char sentence[512];
    size_t count;
    const struct task_elsewhere *list = releases_elsewhere(d->node->releases, &count);
    for (size_t i = 0; d->watch_tasks && i < count; i++) {
        if (runs_anywhere(d, list[i].name))
            continue;
        snprintf(sentence, sizeof sentence, "the task %s runs nowhere: %.200s, as no other node is of that platform either", list[i].name, list[i].why);
        deploy_send_warning(d, sentence);
    }
}

/* Of nodes that run it and whose tasks have not come that far in the time there was. */
static void warn_unsettled(struct deploy *d)
{
    char sentence[512];
    for (size_t i = 0; i < node_member_count(d->node); i++) {
        const struct member *m = node_member(d->node, i);
        if (!counts(m) || !runs_release(d, m) || is_live(d, m))
            continue;
        const char *task = unsettled_task(d, m);
        if (task[0])
            snprintf(sentence, sizeof sentence, "the new version of the task %s is not ready on %s, and has not failed either: \"grid logs %s --node %s\" shows how far it is", task, m->name, task, m->name);
        else
            snprintf(sentence, sizeof sentence, "%s has the release but does not tell of its tasks: \"grid ps\" there shows them", m->name);
        deploy_send_warning(d, sentence);
    }
}

void deploy_warn_of_tasks(struct deploy *d, struct deploy_tasks *failed)
{
    warn_faults(d, failed);
    warn_unsettled(d);
    warn_elsewhere(d);
}
