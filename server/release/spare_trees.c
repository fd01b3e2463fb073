/* Listing the folder of trees, and remembering the newest that are free. */
#include "server/release/spare_trees.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Its name was the last thing that the tree got. */
static int64_t finished_ns(int dir_fd, const char *name)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
        return -1;
    return (int64_t) st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec;
}

/* In its place by time; the oldest falls out. */
static void insert(struct spare_trees *s, const char *name, int64_t at_ns)
{
    size_t place = s->count;
    while (place > 0 && s->finished_ns[place - 1] < at_ns)
        place--;
    if (place == SPARE_TREES_MAX)
        return;
    s->count += s->count < SPARE_TREES_MAX;
    for (size_t i = s->count - 1; i > place; i--) {
        memcpy(s->names[i], s->names[i - 1], sizeof s->names[i]);
        s->finished_ns[i] = s->finished_ns[i - 1];
    }
    snprintf(s->names[place], sizeof s->names[place], "%.*s", MATERIALIZE_NAME_SIZE - 1, name);
    s->finished_ns[place] = at_ns;
}

void spare_trees_find(int trees_fd, struct store *store, bool (*is_used)(void *ctx, const char *name), void *ctx, struct spare_trees *out)
{
    int fd = openat(trees_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    *out = (struct spare_trees){0};
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (const struct dirent *e; (e = readdir(dir));) {
        struct object_id id;
        int64_t at_ns;
        if (materialize_name_root(e->d_name, &id) && !is_used(ctx, e->d_name) && store_has(store, &id) &&
            (at_ns = finished_ns(fd, e->d_name)) >= 0)
            insert(out, e->d_name, at_ns);
    }
    closedir(dir);
}

bool spare_trees_keep(const struct spare_trees *s, const char *name)
{
    for (size_t i = 0; i < s->count && i < SPARE_TREES_KEPT; i++)
        if (strcmp(s->names[i], name) == 0)
            return true;
    return false;
}
