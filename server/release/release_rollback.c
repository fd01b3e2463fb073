/* Which release a rollback goes back to; the job that does it is one like others (release_job.c). */
#include <stdio.h>

#include "base/err.h"
#include "server/release/releases_internal.h"

static bool is_of_root(const struct release_entry *e, const struct object_id *root)
{
    return object_id_equal(&e->root, root);
}

/* What the grid ran before its newest release, as entries name their parents: what stands below it in this log may be far older, where this node was away, or
 * may have lost to another of its sequence. False when there is none, or it is not known here. */
static bool root_before(const struct releases *r, struct object_id *out)
{
    const struct release_entry *newest = release_log_current(r->log, RELEASES_APP), *e = newest;
    for (size_t i = 1; i < release_log_count(r->log, RELEASES_APP) && e->has_parent && is_of_root(newest, &e->parent); i++) { /* published again as it was */
        const struct release_entry *below = release_log_at(r->log, RELEASES_APP, i);
        if (below->sequence + 1 == e->sequence && is_of_root(below, &newest->root))
            e = below;
    }
    if (!e || !e->has_parent || is_of_root(newest, &e->parent))
        return false;
    *out = e->parent;
    return true;
}

static const struct release_entry *entry_of(const struct releases *r, const struct object_id *root)
{
    for (size_t i = 0; i < release_log_count(r->log, RELEASES_APP); i++)
        if (is_of_root(release_log_at(r->log, RELEASES_APP, i), root))
            return release_log_at(r->log, RELEASES_APP, i);
    return NULL;
}

/* NULL: `job` has been refused. */
static const struct release_entry *entry_before(const struct releases *r, struct job *job)
{
    struct object_id root;
    char hex[OBJECT_ID_HEX + 1], sentence[256];
    if (!root_before(r, &root)) {
        job_refuse(job, GRID_ENOENT, "there is no kept release before this one to go back to: \"grid releases\" lists them");
        return NULL;
    }
    const struct release_entry *e = entry_of(r, &root);
    object_id_to_hex(&root, hex);
    snprintf(sentence, sizeof sentence, "the release before this one, %.8s, is not known to this node, which was away then or keeps fewer: roll back on another node, or to one that "
             "\"grid releases\" lists here", hex);
    if (!e)
        job_refuse(job, GRID_ENOENT, sentence);
    return e;
}

/* NULL: `job` has been refused. */
static const struct release_entry *entry_named(const struct releases *r, struct slice prefix, struct job *job)
{
    const struct release_entry *e = NULL;
    char sentence[160];
    int err = release_log_find(r->log, RELEASES_APP, prefix, &e);
    snprintf(sentence, sizeof sentence, "there is no kept release %.*s to go back to: \"grid releases\" lists them", SLICE_FMT(slice_first(prefix, 64)));
    if (err == GRID_EINVAL)
        job_refuse(job, err, "the root is not 8 or more hex digits that name one kept release: \"grid releases\" lists them");
    else if (err != 0)
        job_refuse(job, GRID_ENOENT, sentence);
    return err == 0 ? e : NULL;
}

int releases_rollback(struct releases *r, struct slice prefix, const struct release_events *events, void *ctx)
{
    struct job *job = job_create(r, events, ctx);
    if (!job)
        return GRID_ENOMEM;
    const struct release_entry *e = prefix.size > 0 ? entry_named(r, prefix, job) : entry_before(r, job);
    job->makes_entry = true;
    if (e && buf_append(&job->config, e->config) != 0) {
        job_free(job);
        return GRID_ENOMEM;
    }
    if (e) {
        job->root = e->root;
        job->files = e->files;
        job->bytes = e->size_bytes;
    }
    releases_enqueue(r, job);
    return 0;
}
