/* Tasks, digests and environment of a materialized release. */
#include "server/release/release_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "fs/manifest.h"
#include "grid/v1/peer.pb-c.h"

enum { TASK_FOLDER_MAX = 255, ENV_MAX = 512 };

/* ---- configuration ---- */

static bool folder_is_sound(struct slice folder)
{
    return folder.size <= TASK_FOLDER_MAX && slice_is_utf8(folder) && manifest_name_valid(folder);
}

static bool env_name_is_sound(struct slice name)
{
    return name.size > 0 && slice_find_byte(name, 0, '=') < 0 && slice_find_byte(name, 0, '\0') < 0;
}

static int take_env(const Grid__V1__ReleaseConfig *config, struct release_plan *p, char why[TASK_ERROR_MAX])
{
    const char **list = arena_calloc(p->arena, config->n_env + 1, sizeof *list);
    if (!list)
        return GRID_ENOMEM;
    for (size_t i = 0; i < config->n_env; i++) {
        struct slice name = pb_slice(config->env[i]->key), value = pb_slice(config->env[i]->value);
        if (!env_name_is_sound(name) || slice_find_byte(value, 0, '\0') >= 0 || config->n_env > ENV_MAX) {
            snprintf(why, TASK_ERROR_MAX, "the environment is at most 512 variables whose names are not empty and hold no \"=\": correct env");
            return GRID_EINVAL;
        }
        list[i] = arena_printf(p->arena, "%.*s=%.*s", SLICE_FMT(name), SLICE_FMT(value));
        if (!list[i])
            return GRID_ENOMEM;
    }
    p->env.env = list;
    return 0;
}

static int take_config(struct slice packed, struct release_plan *p, char why[TASK_ERROR_MAX])
{
    const Grid__V1__ReleaseConfig *config = pb_unpack(&grid__v1__release_config__descriptor, p->arena, packed);
    if (!config)
        return GRID_EPROTO;
    struct slice folder = config->task_folder.len > 0 ? pb_slice(config->task_folder) : SLICE("tasks");
    if (!folder_is_sound(folder)) {
        snprintf(why, TASK_ERROR_MAX, "task_folder is the name of a folder of the project, such as \"tasks\": give one name without slashes");
        return GRID_EINVAL;
    }
    p->env.tasks_folder = arena_str(p->arena, folder);
    p->env.instances = config->instances;
    return take_env(config, p, why);
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

/* Everything that all tasks share: what lies outside the tasks folder, and the environment. *tasks gets the folder's own entry. */
static int shared_digest(struct store *store, const struct object_id *root, const struct release_plan *p, struct buf *out, struct manifest_entry *tasks)
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
    for (const char *const *v = p->env.env; err == 0 && v && *v; v++) {
        buf_append_u32be(out, (uint32_t) strlen(*v));
        err = buf_append_str(out, *v);
    }
    buf_dispose(&listing);
    return err;
}

static struct task *task_of_entry(struct release_plan *p, struct slice name)
{
    for (size_t i = 0; i < p->tasks.count; i++)
        if (slice_equal_str(name, p->tasks.tasks[i].entry))
            return &p->tasks.tasks[i];
    return NULL;
}

static int fill_digests(struct store *store, const struct object_id *root, struct release_plan *p)
{
    struct buf shared, listing;
    struct manifest_dir dir;
    struct manifest_entry e, tasks = {0};
    buf_init(&shared, 0);
    buf_init(&listing, 0);
    int err = shared_digest(store, root, p, &shared, &tasks);
    if (err == 0)
        err = tasks.kind == MANIFEST_DIRECTORY ? store_get_typed(store, &tasks.id, OBJECT_DIRECTORY, &listing) : GRID_ENOENT;
    if (err == 0)
        err = manifest_dir_open(buf_slice(&listing), &dir);
    for (size_t keep = shared.size; err == 0 && manifest_dir_next(&dir, &e); buf_truncate(&shared, keep)) {
        struct task *task = task_of_entry(p, e.name);
        if (task && (err = append_entry(&shared, &e)) == 0)
            err = hash_sha256(buf_slice(&shared), task->digest);
    }
    buf_dispose(&shared);
    buf_dispose(&listing);
    return err;
}

int release_plan_read(struct store *store, const struct object_id *root, const char *path, struct slice config, struct release_plan *out, char why[TASK_ERROR_MAX])
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
        err = task_set_read(path, out->env.tasks_folder, &out->tasks, why);
    if (err == 0)
        err = fill_digests(store, root, out);
    return err;
}

void release_plan_dispose(struct release_plan *p)
{
    task_set_dispose(&p->tasks);
    arena_destroy(p->arena);
    *p = (struct release_plan){0};
}
