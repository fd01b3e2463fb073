/* A project folder under watch: one inotify watch for each of its folders, with the ignore rules that hold there. */
#include "cli/dev_watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/buf.h"
#include "fs/ignore.h"

enum { FOLDERS_MAX = 8192, DEPTH_MAX = 64, PATH_SIZE = 4096, EVENTS_SIZE = 16 * 1024 };
#define MASK (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR | IN_DONT_FOLLOW)

struct watched {
    int id;     /* inotify's */
    char *path; /* below the root, "" for the root */
    struct ignore_list *own;         /* of this folder's .gridignore, or NULL */
    const struct ignore_list *rules; /* own, or the nearest above */
    unsigned depth;
};

struct dev_watch {
    const char *root;
    int fd;
    struct watched *folders;
    size_t count;
    bool is_partial;
};

static void forget_folders(struct dev_watch *w)
{
    while (w->count > 0) {
        struct watched *last = &w->folders[--w->count];
        ignore_list_destroy(last->own);
        free(last->path);
    }
}

static bool full_path(const struct dev_watch *w, const char *below, const char *name, char out[PATH_SIZE])
{
    int size = snprintf(out, PATH_SIZE, "%s%s%s%s%s", w->root, *below ? "/" : "", below, *name ? "/" : "", name);
    return size > 0 && size < PATH_SIZE;
}

/* The rules of a folder's own .gridignore; NULL when it has none, or one that cannot be read. */
static struct ignore_list *load_rules(const struct dev_watch *w, const char *below, const struct ignore_list *parent)
{
    char path[PATH_SIZE];
    struct buf text;
    struct ignore_list *list = NULL;
    FILE *file = full_path(w, below, IGNORE_FILE_NAME, path) ? fopen(path, "re") : NULL;
    if (!file)
        return NULL;
    buf_init(&text, IGNORE_CONTENT_MAX);
    for (size_t got = 1; got > 0 && buf_reserve(&text, 4096) == 0; text.size += got)
        got = fread(text.data + text.size, 1, 4096, file);
    fclose(file);
    if (ignore_list_create(parent, slice_of_str(below), buf_slice(&text), &list, NULL) != 0)
        list = NULL;
    buf_dispose(&text);
    return list;
}

/* Whether a change of this entry is a change of the project. */
static bool counts(const struct watched *folder, const char *name, bool is_dir)
{
    char path[PATH_SIZE];
    int size = snprintf(path, sizeof path, "%s%s%s", folder->path, *folder->path ? "/" : "", name);
    if (size < 0 || size >= PATH_SIZE || ignore_name_reserved(slice_of_str(name)))
        return false;
    return !ignore_list_excludes(folder->rules, slice_of_str(path), is_dir);
}

static const struct watched *find(const struct dev_watch *w, int id)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->folders[i].id == id)
            return &w->folders[i];
    return NULL;
}

/* Watches one folder without those in it. NULL when it is watched already, or cannot be. */
static struct watched *add_folder(struct dev_watch *w, const char *below, const struct watched *parent)
{
    char path[PATH_SIZE];
    if (w->count == FOLDERS_MAX || (parent && parent->depth == DEPTH_MAX) || !full_path(w, below, "", path)) {
        w->is_partial = true;
        return NULL;
    }
    int id = inotify_add_watch(w->fd, path, MASK);
    w->is_partial = w->is_partial || (id < 0 && errno == ENOSPC);
    char *copy = id < 0 || find(w, id) ? NULL : strdup(below);
    if (!copy)
        return NULL;
    struct watched *folder = &w->folders[w->count++];
    const struct ignore_list *above = parent ? parent->rules : NULL;
    struct ignore_list *own = load_rules(w, below, above);
    *folder = (struct watched){id, copy, own, own ? own : above, parent ? parent->depth + 1 : 0};
    return folder;
}

static bool is_folder(int dir, const struct dirent *entry)
{
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    int fd = openat(dir, entry->d_name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void add_tree(struct dev_watch *w, const char *below, const struct watched *parent);

static void add_children(struct dev_watch *w, const struct watched *folder)
{
    char path[PATH_SIZE], below[PATH_SIZE];
    DIR *dir = full_path(w, folder->path, "", path) ? opendir(path) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        bool is_self = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (is_self || !is_folder(dirfd(dir), entry) || !counts(folder, entry->d_name, true))
            continue;
        if (snprintf(below, sizeof below, "%s%s%s", folder->path, *folder->path ? "/" : "", entry->d_name) < PATH_SIZE)
            add_tree(w, below, folder);
    }
    if (dir)
        closedir(dir);
}

/* A folder with those in it; depth is bounded by add_folder. */
static void add_tree(struct dev_watch *w, const char *below, const struct watched *parent)
{
    const char *slash = strrchr(below, '/');
    struct watched *folder = add_folder(w, below, parent);
    if (folder && strcmp(slash ? slash + 1 : below, "node_modules") != 0)
        add_children(w, folder);
}

/* From the start again: rules have changed, or events were lost. */
static void watch_anew(struct dev_watch *w)
{
    for (size_t i = 0; i < w->count; i++)
        inotify_rm_watch(w->fd, w->folders[i].id);
    forget_folders(w);
    add_tree(w, "", NULL);
}

struct dev_watch *dev_watch_create(const char *root)
{
    struct dev_watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    *w = (struct dev_watch){.root = root, .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    w->folders = calloc(FOLDERS_MAX, sizeof *w->folders);
    if (w->fd >= 0 && w->folders)
        add_tree(w, "", NULL);
    if (w->count > 0)
        return w;
    dev_watch_destroy(w);
    return NULL;
}

void dev_watch_destroy(struct dev_watch *w)
{
    if (!w)
        return;
    forget_folders(w);
    if (w->fd >= 0)
        close(w->fd);
    free(w->folders);
    free(w);
}

int dev_watch_fd(const struct dev_watch *w)
{
    return w->fd;
}

bool dev_watch_is_partial(const struct dev_watch *w)
{
    return w->is_partial;
}

/* One event: true when the project changed; *anew when everything must be watched again. */
static bool take_event(struct dev_watch *w, const struct inotify_event *event, bool *anew)
{
    const struct watched *folder = find(w, event->wd);
    if (event->mask & IN_Q_OVERFLOW)
        return *anew = true;
    if (!folder || event->len == 0 || !counts(folder, event->name, (event->mask & IN_ISDIR) != 0))
        return false;
    *anew = *anew || (event->mask & IN_ISDIR) || strcmp(event->name, IGNORE_FILE_NAME) == 0;
    return true;
}

bool dev_watch_read(struct dev_watch *w)
{
    _Alignas(struct inotify_event) char events[EVENTS_SIZE];
    bool changed = false, anew = false;
    for (ssize_t got; (got = read(w->fd, events, sizeof events)) > 0;)
        for (char *at = events; at < events + got;) {
            const struct inotify_event *event = (const void *) at;
            changed |= take_event(w, event, &anew);
            at += sizeof *event + event->len;
        }
    if (anew)
        watch_anew(w);
    return changed;
}
