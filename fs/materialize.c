/* A whole tree: which way it comes about, and its name. Folders and files are built by the other materialize_*.c. */
#include "fs/materialize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/manifest_measure.h"
#include "fs/materialize_internal.h"

/* Beyond so many entries that differ a patch is not quicker than a new tree, whose files are mostly linked or copied. */
#define DIFFERENCE_MAX 20000u

/* A tree on its way: under a rubbish name until it is whole. */
struct tree {
    struct store *store;
    const struct object_id *root;
    int parent_fd;
    const char *name;
    char temporary[TREE_NAME_CAPACITY];
    struct materialize_options options;
    struct fs_report *report;
    struct materialize_result *result;
};

static int fail(struct tree *t, int err, const char *what)
{
    return fs_report_fail(t->report, err, "%s cannot be written: %s", t->name, what);
}

static int fail_errno(struct tree *t, int errnum)
{
    return fail(t, grid_err_from_errno(errnum), errnum == ENOSPC ? "the disk is full; free some space" : strerror(errnum));
}

static int sync_parent(struct tree *t)
{
    return t->options.sync && fsync(t->parent_fd) != 0 ? fail_errno(t, errno) : 0;
}

/* What stands under the rubbish name becomes the root's tree. */
static int fill(struct tree *t, const struct object_id *old)
{
    struct builder b = {.store = t->store, .options = t->options, .name = t->name, .report = t->report, .previous_fd = NO_FOLDER};
    b.tree_fd = tree_open_folder(t->parent_fd, t->temporary);
    if (b.tree_fd < 0)
        return fail_errno(t, errno);
    if (t->options.previous)
        b.previous_fd = tree_open_folder(t->parent_fd, t->options.previous);
    int err = builder_run(&b, t->root, old);
    if (b.previous_fd >= 0)
        close(b.previous_fd);
    close(b.tree_fd);
    *t->result = b.result;
    return err;
}

static int give_name(struct tree *t)
{
    if (renameat(t->parent_fd, t->temporary, t->parent_fd, t->name) != 0)
        return fail_errno(t, errno);
    int err = sync_parent(t);
    if (err != 0)
        tree_delete(t->parent_fd, t->name);
    return err;
}

static int finish(struct tree *t, int err)
{
    if (err == 0)
        err = give_name(t);
    if (err != 0)
        tree_delete(t->parent_fd, t->temporary);
    return err;
}

/* Before anything is made: folders that are listed in one another many times over may claim more files than any disk has. */
static int check_size(struct tree *t)
{
    uint64_t entries;
    int err = manifest_measure(t->store, t->root, &entries);
    switch (err) {
    case GRID_ELIMIT:
        return fs_report_fail(t->report, err, "the release has more than %u files and folders, or more than %u folders inside one another: deploy less", MANIFEST_ENTRIES_MAX,
                              MANIFEST_DEPTH_MAX);
    case GRID_ENOENT:
    case GRID_ECORRUPT:
        return fail(t, err, "some of its content is missing or damaged here and must be fetched again");
    case GRID_EPROTO:
    case GRID_EUNSUPPORTED:
        return fail(t, err, "the release's manifest is malformed; deploy again");
    default:
        return err == 0 ? 0 : fail(t, err, grid_err_text(err));
    }
}

static int build_anew(struct tree *t)
{
    int err = check_size(t);
    if (err != 0)
        return err;
    if (mkdirat(t->parent_fd, t->temporary, 0755) != 0)
        return fail_errno(t, errno);
    return finish(t, fill(t, NULL));
}

/* ---- patching ---- */

/* The spare that differs least, or NULL when each differs too much, or its manifest is not to be had. */
static const char *choose_spare(const struct tree *t, struct object_id *old)
{
    const char *best = NULL;
    uint32_t least = DIFFERENCE_MAX + 1;
    for (size_t i = 0; i < t->options.spare_count && i < MATERIALIZE_SPARES_MAX && least > 0; i++) {
        struct object_id id;
        uint32_t entries;
        if (!materialize_name_root(t->options.spares[i], &id) || manifest_difference(t->store, t->root, &id, least - 1, &entries) != 0)
            continue;
        best = t->options.spares[i];
        least = entries;
        *old = id;
    }
    return best;
}

/* From here to its new name the tree is rubbish, on the disk too: it holds a mixture. */
static int patch(struct tree *t, const char *spare, const struct object_id *old)
{
    if (renameat(t->parent_fd, spare, t->parent_fd, t->temporary) != 0)
        return fail_errno(t, errno);
    int err = sync_parent(t);
    return finish(t, err == 0 ? fill(t, old) : err);
}

/* Whatever stood in the way of a patch, a new tree may do without; and if not it says why. */
static int patch_or_build(struct tree *t, const char *spare, const struct object_id *old)
{
    struct fs_report *report = t->report;
    t->report = NULL;
    int err = patch(t, spare, old);
    t->report = report;
    if (err == GRID_ECANCELED)
        return fs_report_fail(report, err, "building the release was cancelled");
    return err == 0 ? 0 : build_anew(t);
}

static bool is_spare(const struct tree *t)
{
    for (size_t i = 0; i < t->options.spare_count; i++)
        if (strcmp(t->options.spares[i], t->name) == 0)
            return true;
    return false;
}

static int make(struct tree *t)
{
    struct object_id old;
    struct stat st;
    if (fstatat(t->parent_fd, t->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (t->options.guarded || !is_spare(t))) {
        t->result->existed = S_ISDIR(st.st_mode);
        return t->result->existed ? sync_parent(t) : GRID_EEXIST; /* whoever gave it its name may not have lived to do so */
    }
    int err = tree_delete(t->parent_fd, t->temporary);
    if (err != 0)
        return fail(t, err, "what an earlier attempt left cannot be removed");
    const char *spare = choose_spare(t, &old);
    return spare ? patch_or_build(t, spare, &old) : build_anew(t);
}

int materialize_tree(struct store *s, const struct object_id *root, int parent_fd, const char *name,
                     const struct materialize_options *options, struct fs_report *report, struct materialize_result *out)
{
    struct tree t = {.store = s, .root = root, .parent_fd = parent_fd, .name = name, .report = report, .result = out};
    *out = (struct materialize_result){0};
    if (!tree_name_valid(name))
        return GRID_EINVAL;
    tree_prefixed(TREE_NEW_PREFIX, name, t.temporary);
    if (options)
        t.options = *options;
    return make(&t);
}

bool materialize_name_root(const char *name, struct object_id *root)
{
    struct slice all = slice_of_str(name);
    bool fits = all.size >= OBJECT_ID_HEX && all.size < MATERIALIZE_NAME_SIZE && (all.size == OBJECT_ID_HEX || name[OBJECT_ID_HEX] == '.');
    return fits && object_id_from_hex(slice_first(all, OBJECT_ID_HEX), root) == 0;
}

int materialize_switch(int parent_fd, const char *link, const char *name)
{
    char temporary[TREE_NAME_CAPACITY];
    if (!tree_name_valid(link) || !tree_name_valid(name))
        return GRID_EINVAL;
    tree_prefixed(TREE_NEW_PREFIX, link, temporary);
    if (unlinkat(parent_fd, temporary, 0) != 0 && errno != ENOENT)
        return grid_err_from_errno(errno);
    if (symlinkat(name, parent_fd, temporary) != 0)
        return grid_err_from_errno(errno);
    if (renameat(parent_fd, temporary, parent_fd, link) != 0) {
        int err = grid_err_from_errno(errno);
        unlinkat(parent_fd, temporary, 0);
        return err;
    }
    return fsync(parent_fd) == 0 ? 0 : grid_err_from_errno(errno);
}

int materialize_current(int parent_fd, const char *link, char *name, size_t capacity)
{
    ssize_t size = readlinkat(parent_fd, link, name, capacity);
    if (size < 0)
        return grid_err_from_errno(errno);
    if ((size_t) size >= capacity)
        return GRID_ELIMIT;
    name[size] = '\0';
    return 0;
}
