/* A project folder under watch: one inotify watch for each of its folders, with the ignore rules that hold there. */
#include "cli/project_watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/map.h"
#include "cli/project_mark.h"
#include "fs/ignore.h"

enum { DEPTH_MAX = 64, PATH_SIZE = 4096, EVENTS_SIZE = 16 * 1024, NOTICE_SIZE = 256, LOOK_MS = 2000, LOOK_SHARE = 20 };
#define MASK (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR | IN_DONT_FOLLOW)
#define ROOT_GONE (IN_DELETE_SELF | IN_MOVE_SELF)

struct watched {
    int id;     /* inotify's */
    struct ignore_list *own;         /* of this folder's .gridignore, or NULL */
    const struct ignore_list *rules; /* own, or the nearest above */
    unsigned depth;
    char path[]; /* below the root, "" for the root */
};

struct project_watch {
    const char *root;
    unsigned folders_max;
    int fd;
    struct map *folders; /* struct watched by id */
    char notice[NOTICE_SIZE]; /* why it is looked through, "" when it is not */
    bool told;                /* the notice was */
    uint64_t look_ms;         /* when next */
    uint64_t mark;            /* as it was found last */
};

static void free_watched(void *value)
{
    struct watched *folder = value;
    ignore_list_destroy(folder->own);
    free(folder);
}

static void notice(struct project_watch *w, const char *why)
{
    if (!w->notice[0])
        snprintf(w->notice, sizeof w->notice, "%s: it is looked through every few seconds instead", why);
}

static bool full_path(const struct project_watch *w, const char *below, const char *name, char out[PATH_SIZE])
{
    int size = snprintf(out, PATH_SIZE, "%s%s%s%s%s", w->root, *below ? "/" : "", below, *name ? "/" : "", name);
    return size > 0 && size < PATH_SIZE;
}

/* The rules of a folder's own .gridignore; NULL when it has none, or one that cannot be read. */
static struct ignore_list *load_rules(const struct project_watch *w, const char *below, const struct ignore_list *parent)
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

static struct watched *find(const struct project_watch *w, int id)
{
    return map_get(w->folders, slice_of(&id, sizeof id));
}

/* An inotify watch; -1 when there can be none. */
static int watch_folder(struct project_watch *w, const char *path, bool is_root)
{
    if (map_count(w->folders) >= w->folders_max) {
        notice(w, "The project has more folders than are watched");
        return -1;
    }
    int id = w->fd < 0 ? -1 : inotify_add_watch(w->fd, path, is_root ? MASK | ROOT_GONE : MASK);
    if (id < 0 && errno == ENOSPC)
        notice(w, "The project has more folders than fs.inotify.max_user_watches lets be watched");
    return id;
}

/* Watches one folder without those in it. NULL when it is watched already, or cannot be. */
static const struct watched *add_folder(struct project_watch *w, const char *below, const struct watched *parent)
{
    char path[PATH_SIZE];
    if ((parent && parent->depth == DEPTH_MAX) || !full_path(w, below, "", path))
        return NULL; /* nor can it be deployed */
    int id = watch_folder(w, path, !parent);
    struct watched *folder = id < 0 || find(w, id) ? NULL : calloc(1, sizeof *folder + strlen(below) + 1);
    if (!folder)
        return NULL;
    const struct ignore_list *above = parent ? parent->rules : NULL;
    struct ignore_list *own = load_rules(w, below, above);
    *folder = (struct watched){.id = id, .own = own, .rules = own ? own : above, .depth = parent ? parent->depth + 1 : 0};
    strcpy(folder->path, below);
    if (map_set(w->folders, slice_of(&id, sizeof id), folder) == 0)
        return folder;
    free_watched(folder);
    return NULL;
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

static void add_tree(struct project_watch *w, const char *below, const struct watched *parent);

static void add_children(struct project_watch *w, const struct watched *folder)
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
static void add_tree(struct project_watch *w, const char *below, const struct watched *parent)
{
    const char *slash = strrchr(below, '/');
    const struct watched *folder = add_folder(w, below, parent);
    if (folder && strcmp(slash ? slash + 1 : below, "node_modules") != 0)
        add_children(w, folder);
}

/* Notes how the folder is, and when it is to be looked through again: not so often that it takes more than a twentieth of the time. */
static bool look(struct project_watch *w, uint64_t now_ms)
{
    struct timespec began, ended;
    clock_gettime(CLOCK_MONOTONIC, &began);
    uint64_t before = w->mark;
    w->mark = project_mark(w->root);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    int64_t took_ms = (ended.tv_sec - began.tv_sec) * 1000 + (ended.tv_nsec - began.tv_nsec) / 1000000;
    w->look_ms = now_ms + (took_ms * LOOK_SHARE > LOOK_MS ? (uint64_t) took_ms * LOOK_SHARE : LOOK_MS);
    return w->mark != before;
}

/* From the start again: rules have changed, folders have come or gone, or events were lost. */
static void watch_anew(struct project_watch *w, uint64_t now_ms)
{
    struct map_iter it = map_begin(w->folders);
    while (map_next(&it))
        inotify_rm_watch(w->fd, ((struct watched *) it.value)->id);
    map_clear(w->folders);
    char before[NOTICE_SIZE];
    memcpy(before, w->notice, sizeof before);
    w->notice[0] = '\0';
    if (w->fd < 0)
        notice(w, "The project cannot be watched, since as many programs watch as fs.inotify.max_user_instances allows");
    add_tree(w, "", NULL);
    if (map_count(w->folders) == 0)
        notice(w, "The project's folder cannot be watched");
    w->told = w->told && strcmp(w->notice, before) == 0;
    if (w->notice[0] && !before[0])
        look(w, now_ms);
}

struct project_watch *project_watch_create(const char *root, unsigned folders_max, uint64_t now_ms)
{
    struct project_watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    *w = (struct project_watch){.root = root, .folders_max = folders_max, .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .folders = map_create(free_watched)};
    if (w->folders) {
        watch_anew(w, now_ms);
        return w;
    }
    project_watch_destroy(w);
    return NULL;
}

void project_watch_destroy(struct project_watch *w)
{
    if (!w)
        return;
    map_destroy(w->folders);
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}

int project_watch_fd(const struct project_watch *w)
{
    return w->fd;
}

const char *project_watch_notice(struct project_watch *w)
{
    bool told = w->told || !w->notice[0];
    w->told = true;
    return told ? NULL : w->notice;
}

void project_watch_passed(struct project_watch *w, uint64_t now_ms)
{
    if (w->notice[0])
        look(w, now_ms);
}

int project_watch_wait(const struct project_watch *w, uint64_t now_ms)
{
    if (!w->notice[0])
        return -1;
    return w->look_ms <= now_ms ? 0 : (int) (w->look_ms - now_ms);
}

/* One event: true when the project changed; *anew when everything must be watched again. */
static bool take_event(struct project_watch *w, const struct inotify_event *event, bool *anew)
{
    const struct watched *folder = find(w, event->wd);
    if (event->mask & IN_Q_OVERFLOW || (folder && event->mask & ROOT_GONE))
        return *anew = true;
    if (!folder || event->len == 0 || !counts(folder, event->name, (event->mask & IN_ISDIR) != 0))
        return false;
    *anew = *anew || (event->mask & IN_ISDIR) || strcmp(event->name, IGNORE_FILE_NAME) == 0;
    return true;
}

static bool read_events(struct project_watch *w, bool *anew)
{
    _Alignas(struct inotify_event) char events[EVENTS_SIZE];
    bool changed = false;
    for (ssize_t got; w->fd >= 0 && (got = read(w->fd, events, sizeof events)) > 0;)
        for (char *at = events; at < events + got;) {
            const struct inotify_event *event = (const void *) at;
            changed |= take_event(w, event, anew);
            at += sizeof *event + event->len;
        }
    return changed;
}

bool project_watch_check(struct project_watch *w, uint64_t now_ms)
{
    bool anew = false, changed = read_events(w, &anew);
    if (project_watch_wait(w, now_ms) == 0) {
        changed |= look(w, now_ms);
        anew |= map_count(w->folders) == 0; /* the folder may be back */
    }
    if (anew)
        watch_anew(w, now_ms);
    return changed;
}
