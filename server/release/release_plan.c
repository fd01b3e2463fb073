/* Tasks, digests and environment of a materialized release. */
#include "server/release/release_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "fs/manifest.h"
#include "server/release/release_config.h"

/* ---- configuration ---- */

static int take_env(const Grid__V1__ReleaseConfig *config, struct release_plan *p)
{
    const char **list = arena_calloc(p->arena, config->n_env + 1, sizeof *list);
    if (!list)
        return GRID_ENOMEM;
    for (size_t i = 0; i < config->n_env; i++) {
        list[i] = arena_printf(p->arena, "%.*s=%.*s", SLICE_FMT(pb_slice(config->env[i]->key)), SLICE_FMT(pb_slice(config->env[i]->value)));
        if (!list[i])
            return GRID_ENOMEM;
    }
    p->env.env = list;
    return 0;
}

static int take_config(struct slice packed, struct release_plan *p, char why[TASK_ERROR_MAX])
{
    const Grid__V1__ReleaseConfig *config;
    int err = release_config_read(packed, p->arena, &config, why);
    if (err != 0)
        return err;
    p->env.tasks_folder = arena_str(p->arena, release_config_folder(config));
    p->env.instances = config->instances;
    return take_env(config, p);
}

/* ---- digests ---- */

/* An entry of a directory as bytes to hash: kind, executable bit, name, and content by id (or a link's target). */
static int append_entry(struct buf *out, const struct manifest_entry *e)
{
    buf_append_byte(out, (uint8_t) e->kind);
    buf_append_byte(out, e->executable);
    buf_append_u32be(out, (uint32_t) e->name.size);
    buf_append(out, e->name);
    if (e->kind == MANIFEST_SYMLINK) {
        buf_append_u32be(out, (uint32_t) e->target.size);
        return buf_append(out, e->target);
    }
    return buf_append(out, slice_of(e->id.bytes, sizeof e->id.bytes));
}

/* What lies outside the tasks folder. *tasks gets the folder's own entry. */
static int append_outside(struct store *store, const struct object_id *root, const struct release_plan *p, struct buf *out, struct manifest_entry *tasks)
{
    struct buf listing;
    struct manifest_dir dir;
    struct manifest_entry e;
    buf_init(&listing, 0);
    int err = store_get_typed(store, root, OBJECT_DIRECTORY, &listing);
    if (err == 0)
        err = manifest_dir_open(buf_slice(&listing), &dir);
    while (err == 0 && manifest_dir_next(&dir, &e)) {
        if (slice_equal_str(e.name, p->env.tasks_folder))
            *tasks = (struct manifest_entry){.kind = e.kind, .id = e.id};
        else
            err = append_entry(out, &e);
    }
    buf_dispose(&listing);
    return err;
}

static int append_env(const struct release_plan *p, struct buf *out)
{
    int err = 0;
    for (const char *const *v = p->env.env; err == 0 && v && *v; v++) {
        buf_append_u32be(out, (uint32_t) strlen(*v));
        err = buf_append_str(out, *v);
    }
    return err;
}

static struct task *task_of_entry(struct release_plan *p, struct slice name)
{
    for (size_t i = 0; i < p->tasks.count; i++)
        if (slice_equal_str(name, p->tasks.tasks[i].entry))
            return &p->tasks.tasks[i];
    return NULL;
}

/* A task's file for another platform is no task's business here. */
static bool is_passed_over(const struct release_plan *p, struct slice name)
{
    char entry[MANIFEST_NAME_MAX + 1];
    snprintf(entry, sizeof entry, "%.*s", SLICE_FMT(name));
    return task_set_passes_over(&p->tasks, entry);
}

/* What lies in the tasks folder and is no task: any task may read it. */
static int append_notes(struct release_plan *p, struct slice listing, struct buf *out)
{
    struct manifest_dir dir;
    struct manifest_entry e;
    int err = manifest_dir_open(listing, &dir);
    while (err == 0 && manifest_dir_next(&dir, &e))
        if (!task_of_entry(p, e.name) && !is_passed_over(p, e.name))
            err = append_entry(out, &e);
    return err;
}

/* A task that is a link may lead to any other: all of the folder counts for it. */
static int task_digest(struct task *task, const struct manifest_entry *e, const struct object_id *folder, struct buf *shared)
{
    size_t keep = shared->size;
    int err = append_entry(shared, e);
    if (err == 0 && e->kind == MANIFEST_SYMLINK)
        err = buf_append(shared, slice_of(folder->bytes, sizeof folder->bytes));
    if (err == 0)
        err = hash_sha256(buf_slice(shared), task->digest);
    buf_truncate(shared, keep);
    return err;
}

static int fill_tasks(struct release_plan *p, const struct object_id *folder, struct slice listing, struct buf *shared)
{
    struct manifest_dir dir;
    struct manifest_entry e;
    struct task *task;
    int err = append_notes(p, listing, shared);
    if (err == 0)
        err = manifest_dir_open(listing, &dir);
    while (err == 0 && manifest_dir_next(&dir, &e))
        if ((task = task_of_entry(p, e.name)))
            err = task_digest(task, &e, folder, shared);
    return err;
}

static int fill_digests(struct store *store, const struct object_id *root, struct release_plan *p, char why[TASK_ERROR_MAX])
{
    struct buf shared, listing;
    struct manifest_entry tasks = {0};
    buf_init(&shared, 0);
    buf_init(&listing, 0);
    int err = append_outside(store, root, p, &shared, &tasks);
    if (err == 0)
        err = append_env(p, &shared);
    if (err == 0 && tasks.kind != MANIFEST_DIRECTORY) {
        snprintf(why, TASK_ERROR_MAX, "%s is a link: tasks are the files of a folder of the project itself", p->env.tasks_folder);
        err = GRID_EINVAL;
    }
    if (err == 0)
        err = store_get_typed(store, &tasks.id, OBJECT_DIRECTORY, &listing);
    if (err == 0)
        err = fill_tasks(p, &tasks.id, buf_slice(&listing), &shared);
    buf_dispose(&shared);
    buf_dispose(&listing);
    return err;
}

int release_plan_read(struct store *store, const struct object_id *root, const char *path, const char *platform, struct slice config, struct release_plan *out, char why[TASK_ERROR_MAX])
{
    char hex[OBJECT_ID_HEX + 1];
    why[0] = '\0';
    *out = (struct release_plan){.arena = arena_create(4096, 0)};
    if (!out->arena)
        return GRID_ENOMEM;
    object_id_to_hex(root, hex);
    out->env.root = arena_str(out->arena, slice_of_str(path));
    out->env.release = arena_str(out->arena, slice_of_str(hex));
    int err = take_config(config, out, why);
    if (err == 0)
        err = task_set_read(path, out->env.tasks_folder, platform, &out->tasks, why);
    if (err == 0)
        err = fill_digests(store, root, out, why);
    return err;
}

void release_plan_dispose(struct release_plan *p)
{
    task_set_dispose(&p->tasks);
    arena_destroy(p->arena);
    *p = (struct release_plan){0};
}
