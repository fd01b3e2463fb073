/* From the names in a tasks folder to the tasks of a release. */
#include "server/supervise/task_set.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

/* ---- the rules ---- */

static const char *extension_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot != name ? dot : name + strlen(name);
}

static bool is_node_extension(const char *extension)
{
    return strcmp(extension, ".js") == 0 || strcmp(extension, ".mjs") == 0 || strcmp(extension, ".cjs") == 0;
}

static bool name_is_valid(const char *name, size_t size)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    return size > 0 && size <= TASK_NAME_MAX && strspn(name, allowed) >= size;
}

/* What an entry runs as: its kind and the file under the entry (NULL: the entry itself). Or why it is no task. */
struct verdict {
    enum task_kind kind;
    const char *inside;
    const char *no_task;
};

static struct verdict judge_folder(const struct task_entry *e)
{
    if (e->package_json)
        return (struct verdict){.kind = TASK_NODE};
    if (e->bootstrap)
        return (struct verdict){.kind = TASK_EXECUTABLE, .inside = "bootstrap"};
    if (e->own_executable)
        return (struct verdict){.kind = TASK_EXECUTABLE, .inside = e->name};
    return (struct verdict){.no_task = "a folder is one when it holds a package.json, a bootstrap or an executable of its own name"};
}

static struct verdict judge(const struct task_entry *e)
{
    if (e->name[0] == '.')
        return (struct verdict){.no_task = "it is hidden"};
    if (e->folder)
        return judge_folder(e);
    const char *extension = extension_of(e->name);
    if (is_node_extension(extension))
        return (struct verdict){.kind = TASK_NODE};
    if (strcmp(extension, ".py") == 0)
        return (struct verdict){.kind = TASK_PYTHON};
    if (e->executable)
        return (struct verdict){.kind = TASK_EXECUTABLE};
    return (struct verdict){.no_task = "it may not be executed (chmod +x makes it a task)"};
}

/* ---- the set ---- */

__attribute__((format(printf, 3, 4))) static int fail(char error[TASK_ERROR_MAX], int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error, TASK_ERROR_MAX, format, args);
    va_end(args);
    return err;
}

/* Not text and data, nor what is written in capitals to be read (README, Makefile). */
static bool looks_like_program(const char *name)
{
    static const char *const extensions[] = {".sh", ".bash", ".rb", ".pl", ".php", ".lua", ".bin", ".out"};
    const char *extension = extension_of(name);
    if (extension[0] == '\0')
        return name[0] >= 'a' && name[0] <= 'z';
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++)
        if (strcmp(extension, extensions[i]) == 0)
            return true;
    return false;
}

static int add_note(struct task_set *set, const char *folder, const struct task_entry *e, const char *why)
{
    char *note;
    if (asprintf(&note, "%s/%s is no task: %s", folder, e->name, why) < 0)
        return GRID_ENOMEM;
    set->notes[set->note_count++] = note;
    if (!e->folder && looks_like_program(e->name))
        set->forgotten[set->forgotten_count++] = note;
    return 0;
}

static int add_task(struct task_set *set, const char *folder, const struct task_entry *e, const struct verdict *v,
                    char error[TASK_ERROR_MAX])
{
    size_t size = e->folder ? strlen(e->name) : (size_t) (extension_of(e->name) - e->name);
    if (!name_is_valid(e->name, size))
        return fail(error, GRID_EINVAL,
                    "%s/%.200s cannot be a task: a task's name is 1 to %d letters, digits, '_', '.' and '-'; rename the file", folder,
                    e->name, TASK_NAME_MAX);
    if (set->count == TASK_SET_MAX)
        return fail(error, GRID_ELIMIT, "%s holds more than %d tasks; split the project", folder, TASK_SET_MAX);
    struct task *t = &set->tasks[set->count];
    memcpy(t->name, e->name, size);
    t->kind = v->kind;
    t->entry = strdup(e->name);
    if (v->inside ? asprintf(&t->path, "%s/%s", e->name, v->inside) < 0 : !(t->path = strdup(e->name)))
        t->path = NULL;
    set->count++;
    return t->entry && t->path ? 0 : GRID_ENOMEM;
}

static int compare_tasks(const void *a, const void *b)
{
    const struct task *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : strcmp(x->entry, y->entry);
}

static int check_names(const struct task_set *set, const char *folder, char error[TASK_ERROR_MAX])
{
    for (size_t i = 1; i < set->count; i++) {
        const struct task *a = &set->tasks[i - 1], *b = &set->tasks[i];
        if (strcmp(a->name, b->name) == 0)
            return fail(error, GRID_EINVAL, "two tasks are named %s: %s/%s and %s/%s; rename one", a->name, folder, a->entry, folder,
                        b->entry);
    }
    if (set->count == 0)
        return fail(error, GRID_ENOENT, "%s has no tasks: put a .js, .py or executable file into it", folder);
    return 0;
}

static int add_entries(struct task_set *set, const char *folder, const struct task_entry *entries, size_t count,
                       char error[TASK_ERROR_MAX])
{
    for (size_t i = 0; i < count; i++) {
        struct verdict v = judge(&entries[i]);
        int err = v.no_task ? add_note(set, folder, &entries[i], v.no_task) : add_task(set, folder, &entries[i], &v, error);
        if (err != 0)
            return err;
    }
    return 0;
}

int task_set_build(const char *folder, const struct task_entry *entries, size_t count, struct task_set *out, char error[TASK_ERROR_MAX])
{
    *out = (struct task_set){0};
    fail(error, 0, "out of memory");
    struct task_set set = {.tasks = calloc(count + 1, sizeof *set.tasks), .notes = calloc(count + 1, sizeof *set.notes),
                           .forgotten = calloc(count + 1, sizeof *set.forgotten)};
    int err = set.tasks && set.notes && set.forgotten ? add_entries(&set, folder, entries, count, error) : GRID_ENOMEM;
    if (err == 0) {
        qsort(set.tasks, set.count, sizeof *set.tasks, compare_tasks);
        err = check_names(&set, folder, error);
    }
    if (err != 0) {
        task_set_dispose(&set);
        return err;
    }
    error[0] = '\0';
    *out = set;
    return 0;
}

void task_set_dispose(struct task_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->tasks[i].entry);
        free(set->tasks[i].path);
    }
    for (size_t i = 0; i < set->note_count; i++)
        free(set->notes[i]);
    free(set->tasks);
    free(set->notes);
    free(set->forgotten);
    *set = (struct task_set){0};
}

const struct task *task_set_find(const struct task_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->tasks[i].name, name) == 0)
            return &set->tasks[i];
    }
    return NULL;
}

/* ---- the folder on disk ---- */

struct listing {
    struct task_entry *entries;
    size_t count, capacity;
};

static bool executable_in(int folder, const char *name)
{
    struct stat s;
    return fstatat(folder, name, &s, 0) == 0 && S_ISREG(s.st_mode) && faccessat(folder, name, X_OK, 0) == 0;
}

static void look_inside(int parent, struct task_entry *e)
{
    DIR *dir = fdopendir(openat(parent, e->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir)
        return; /* unreadable: no task, with its note */
    struct stat s;
    e->package_json = fstatat(dirfd(dir), "package.json", &s, 0) == 0 && S_ISREG(s.st_mode);
    e->bootstrap = executable_in(dirfd(dir), "bootstrap");
    e->own_executable = executable_in(dirfd(dir), e->name);
    closedir(dir);
}

static int listing_add(struct listing *l, int folder, const char *name)
{
    struct stat s;
    if (fstatat(folder, name, &s, 0) != 0 || !(S_ISREG(s.st_mode) || S_ISDIR(s.st_mode)))
        return 0; /* a broken link, a socket: nothing that could run */
    if (l->count == TASK_SET_LISTED_MAX)
        return GRID_ELIMIT;
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 64;
        struct task_entry *entries = realloc(l->entries, capacity * sizeof *entries);
        if (!entries)
            return GRID_ENOMEM;
        l->entries = entries;
        l->capacity = capacity;
    }
    struct task_entry *e = &l->entries[l->count];
    *e = (struct task_entry){.name = strdup(name), .folder = S_ISDIR(s.st_mode)};
    if (!e->name)
        return GRID_ENOMEM;
    l->count++;
    if (e->folder)
        look_inside(folder, e);
    else
        e->executable = executable_in(folder, name);
    return 0;
}

static int listing_read(struct listing *l, DIR *dir)
{
    int err = 0;
    for (struct dirent *d; err == 0 && (d = readdir(dir)) != NULL;) {
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            err = listing_add(l, dirfd(dir), d->d_name);
    }
    return err;
}

static void listing_dispose(struct listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        free((char *) l->entries[i].name);
    free(l->entries);
}

static int explain_open(const char *folder, char error[TASK_ERROR_MAX])
{
    int errnum = errno;
    if (errnum == ENOENT)
        return fail(error, GRID_ENOENT, "the project has no folder %s: create it and put a task into it", folder);
    if (errnum == ENOTDIR)
        return fail(error, GRID_ENOENT, "%s is not a folder: tasks are the files of a folder", folder);
    return fail(error, grid_err_from_errno(errnum), "%s cannot be read: %s", folder, strerror(errnum));
}

int task_set_read(const char *root, const char *folder, struct task_set *out, char error[TASK_ERROR_MAX])
{
    *out = (struct task_set){0};
    char *path;
    if (asprintf(&path, "%s/%s", root, folder) < 0)
        return fail(error, GRID_ENOMEM, "out of memory");
    DIR *dir = opendir(path);
    free(path);
    if (!dir)
        return explain_open(folder, error);
    struct listing listing = {0};
    int err = listing_read(&listing, dir);
    closedir(dir);
    if (err == 0)
        err = task_set_build(folder, listing.entries, listing.count, out, error);
    else
        fail(error, err, "%s cannot be read: %s", folder, grid_err_text(err));
    listing_dispose(&listing);
    return err;
}
