/* One folder of a tree, new or held by an older release: what is there and fits stays, everything else goes and is made. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/map.h"
#include "fs/manifest_listing.h"
#include "fs/materialize_internal.h"

/* ---- saying what failed ---- */

int folder_fail(struct folder *f, int err, const char *what)
{
    return builder_fail(f->builder, &f->path, err, what);
}

int folder_fail_errno(struct folder *f, int errnum)
{
    return folder_fail(f, grid_err_from_errno(errnum), errnum == ENOSPC ? "the disk is full; free some space" : strerror(errnum));
}

int folder_explain_read(struct folder *f, int err)
{
    if (err == GRID_ENOENT || err == GRID_ECORRUPT)
        return folder_fail(f, err, "some of its content is missing or damaged here and must be fetched again");
    if (err == GRID_EPROTO || err == GRID_EUNSUPPORTED)
        return folder_fail(f, err, "the release's manifest is malformed; deploy again");
    return err == 0 ? 0 : folder_fail(f, err, grid_err_text(err));
}

int folder_previous(struct folder *f)
{
    if (!f->previous_sought && f->builder->previous_fd != NO_FOLDER)
        f->previous_fd = tree_open_path(f->builder->previous_fd, f->job->path);
    f->previous_sought = true;
    return f->previous_fd;
}

/* ---- names ---- */

static void name_of(const struct manifest_entry *e, char out[MANIFEST_NAME_MAX + 1])
{
    memcpy(out, e->name.data, e->name.size);
    out[e->name.size] = '\0';
}

/* ---- taking away ---- */

static int take_away(struct folder *f, const char *name)
{
    f->changed = true;
    int err = tree_delete(f->fd, name);
    return err == 0 ? 0 : folder_fail(f, err, "what the older release has there cannot be removed");
}

/* Names that the older listing has and the new one has not. */
static int take_away_old(struct folder *f, struct listing *old, struct listing *new)
{
    char name[MANIFEST_NAME_MAX + 1];
    int err = 0;
    for (; err == 0 && old->has; listing_next(old)) {
        if (listing_find(new, old->entry.name))
            continue;
        name_of(&old->entry, name);
        err = take_away(f, name);
    }
    listing_rewind(old);
    listing_rewind(new);
    return err;
}

static struct map *map_of_names(const struct listing *l)
{
    struct manifest_entry e;
    struct manifest_dir dir;
    struct map *names = map_create(NULL);
    int err = names ? manifest_dir_open(buf_slice(&l->content), &dir) : GRID_ENOMEM;
    while (err == 0 && manifest_dir_next(&dir, &e))
        err = map_set(names, e.name, names);
    if (err == 0)
        return names;
    map_destroy(names);
    return NULL;
}

static int take_away_unlisted(struct folder *f, DIR *dir, const struct map *names)
{
    int err = 0;
    for (struct dirent *e; err == 0 && (e = readdir(dir));) {
        struct slice name = slice_of_str(e->d_name);
        if (manifest_name_valid(name) && !map_get(names, name))
            err = take_away(f, e->d_name);
    }
    return err;
}

/* Names that stand there and are not in the new listing: somebody wrote into the tree, or it is not known what was there. */
static int take_away_strange(struct folder *f, const struct listing *new)
{
    int own = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (!dir) {
        int errnum = errno;
        if (own >= 0)
            close(own);
        return folder_fail_errno(f, errnum);
    }
    struct map *names = map_of_names(new);
    int err = names ? take_away_unlisted(f, dir, names) : folder_fail(f, GRID_ENOMEM, grid_err_text(GRID_ENOMEM));
    map_destroy(names);
    closedir(dir);
    return err;
}

/* ---- entries ---- */

static bool link_is_built(int dir_fd, const char *name, const struct manifest_entry *e)
{
    char target[MANIFEST_TARGET_MAX + 1];
    ssize_t size = readlinkat(dir_fd, name, target, sizeof target);
    return size >= 0 && slice_equal(slice_of(target, (size_t) size), e->target);
}

static int build_link(struct folder *f, const struct manifest_entry *e, const char *name)
{
    char target[MANIFEST_TARGET_MAX + 1];
    if ((size_t) manifest_target_climb(e->target) > f->job->depth)
        return folder_fail(f, GRID_EPROTO, "the release has a link that leads out of it; deploy again from a sound node");
    memcpy(target, e->target.data, e->target.size);
    target[e->target.size] = '\0';
    return symlinkat(target, f->fd, name) == 0 ? 0 : folder_fail_errno(f, errno);
}

static int push_folder(struct folder *f, const struct manifest_entry *e, const char *name, const struct manifest_entry *old, bool held)
{
    struct folder_job job = {.id = e->id, .held = held, .old_known = held && old != NULL, .depth = f->job->depth + 1};
    if (job.old_known)
        job.old_id = old->id;
    if (job.depth >= MANIFEST_DEPTH_MAX)
        return folder_fail(f, GRID_ELIMIT, "the release has too many folders inside one another");
    int err = builder_push(f->builder, &job, f->job->path, name);
    return err == 0 ? 0 : folder_fail(f, err, grid_err_text(err));
}

/* Whether what stands there is the entry already, as far as it can be told without going into folders. */
static bool entry_is_built(const struct folder *f, const struct manifest_entry *e, const char *name, const struct manifest_entry *old, const struct stat *st)
{
    if (e->kind == MANIFEST_DIRECTORY)
        return old->kind == MANIFEST_DIRECTORY && S_ISDIR(st->st_mode) && st->st_uid == geteuid();
    if (!manifest_entry_same(e, old))
        return false;
    return e->kind == MANIFEST_SYMLINK ? link_is_built(f->fd, name, e) : file_is_built(st, e);
}

/* Where nobody can have written, a folder of the same id and time is the same all the way down. */
static bool folder_is_built(const struct folder *f, const struct manifest_entry *e, const struct manifest_entry *old, const struct stat *st)
{
    return f->builder->options.guarded && object_id_equal(&e->id, &old->id) && file_time_is(&st->st_mtim, &e->id);
}

static int keep_entry(struct folder *f, const struct manifest_entry *e, const char *name, const struct manifest_entry *old, const struct stat *st)
{
    if (e->kind == MANIFEST_SYMLINK)
        return 0;
    if (e->kind != MANIFEST_DIRECTORY)
        return builder_count_file(f->builder, e->size, true, false);
    return folder_is_built(f, e, old, st) ? 0 : push_folder(f, e, name, old, true);
}

static int make_entry(struct folder *f, const struct manifest_entry *e, const char *name)
{
    f->changed = true;
    if (e->kind == MANIFEST_SYMLINK)
        return build_link(f, e, name);
    if (e->kind != MANIFEST_DIRECTORY)
        return file_build(f, e, name);
    if (mkdirat(f->fd, name, 0755) != 0)
        return folder_fail_errno(f, errno);
    return push_folder(f, e, name, NULL, false);
}

static int build_entry(struct folder *f, const struct manifest_entry *e, const struct manifest_entry *old)
{
    char name[MANIFEST_NAME_MAX + 1];
    struct stat st;
    name_of(e, name);
    bool there = f->job->held && fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (there && old && entry_is_built(f, e, name, old, &st))
        return keep_entry(f, e, name, old, &st);
    int err = there ? take_away(f, name) : 0;
    return err == 0 ? make_entry(f, e, name) : err;
}

static int build_entries(struct folder *f, struct listing *new, struct listing *old)
{
    int err = 0;
    for (; err == 0 && new->has; listing_next(new)) {
        size_t before = f->path.size;
        err = buf_append_byte(&f->path, '/');
        if (err == 0)
            err = buf_append(&f->path, new->entry.name);
        if (err == 0)
            err = build_entry(f, &new->entry, f->job->old_known ? listing_find(old, new->entry.name) : NULL);
        if (err == 0)
            buf_truncate(&f->path, before);
    }
    return err;
}

/* ---- the folder ---- */

/* Its names are the older listing's, when its time says so and that listing is to be had; otherwise it is looked at what stands there. */
static int take_away_all(struct folder *f, struct listing *old, struct listing *new)
{
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return folder_fail_errno(f, errno);
    if ((st.st_mode & 0700) != 0700 && fchmod(f->fd, 0755) != 0)
        return folder_fail_errno(f, errno);
    int err = f->job->old_known ? take_away_old(f, old, new) : 0;
    if (err == 0 && !(f->job->old_known && file_time_is(&st.st_mtim, &f->job->old_id)))
        err = take_away_strange(f, new);
    f->changed |= !file_time_is(&st.st_mtim, &f->job->id);
    return err;
}

/* Its time is the last thing about a folder: it tells that its names are those of its listing. */
static int folder_finish(struct folder *f)
{
    struct timespec time = materialize_file_time(&f->job->id), times[2] = {time, time};
    if (!f->changed)
        return 0;
    if (futimens(f->fd, times) != 0 || (builder_syncs_each(f->builder) && fsync(f->fd) != 0))
        return folder_fail_errno(f, errno);
    return 0;
}

static int folder_begin(struct folder *f, struct listing *new)
{
    struct builder *b = f->builder;
    buf_init(&f->path, 0);
    int err = buf_append_str(&f->path, b->name);
    if (err == 0 && f->job->path[0])
        err = buf_printf(&f->path, "/%s", f->job->path);
    if (err == 0)
        err = folder_explain_read(f, listing_open(new, b->store, &f->job->id));
    if (err == 0 && new->dir.root != (f->job->depth == 0))
        err = folder_explain_read(f, GRID_EPROTO);
    if (err == 0 && builder_claim(b, new->dir.count) != 0)
        err = folder_fail(f, GRID_ELIMIT, "the release has too many files");
    if (err == 0 && (f->fd = tree_open_path(b->tree_fd, f->job->path)) < 0)
        err = folder_fail_errno(f, errno);
    return err;
}

int folder_build(struct builder *b, const struct folder_job *job)
{
    struct folder f = {.builder = b, .job = job, .fd = NO_FOLDER, .previous_fd = NO_FOLDER, .changed = !job->held};
    struct listing new = {0}, old = {0};
    int err = folder_begin(&f, &new);
    if (err == 0 && job->old_known)
        err = folder_explain_read(&f, listing_open(&old, b->store, &job->old_id));
    if (err == 0 && job->held)
        err = take_away_all(&f, &old, &new);
    if (err == 0)
        err = build_entries(&f, &new, &old);
    if (err == 0)
        err = folder_finish(&f);
    if (f.previous_fd != NO_FOLDER)
        close(f.previous_fd);
    if (f.fd != NO_FOLDER)
        close(f.fd);
    listing_dispose(&new);
    listing_dispose(&old);
    buf_dispose(&f.path);
    return err;
}
