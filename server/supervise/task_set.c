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

#include "base/buf.h"
#include "base/err.h"
#include "server/supervise/tasks_toml.h"

/* ---- the rules ---- */

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
    struct slice inside;
    const char *no_task;
};

static struct verdict judge_folder(const struct task_entry *e, const struct task_name *n)
{
    if (e->package_json)
        return (struct verdict){.kind = TASK_NODE};
    if (e->bootstrap)
        return (struct verdict){.kind = TASK_EXECUTABLE, .inside = SLICE("bootstrap")};
    if (e->own_executable)
        return (struct verdict){.kind = TASK_EXECUTABLE, .inside = n->name};
    return (struct verdict){.no_task = "a folder is one when it holds a package.json, a bootstrap or an executable of its own name"};
}

static struct verdict judge(const struct task_entry *e, const struct task_name *n)
{
    if (e->name[0] == '.')
        return (struct verdict){.no_task = "it is hidden"};
    if (e->folder)
        return judge_folder(e, n);
    if (is_node_extension(n->extension))
        return (struct verdict){.kind = TASK_NODE};
    if (strcmp(n->extension, ".py") == 0)
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
static bool looks_like_program(const struct task_name *n)
{
    static const char *const extensions[] = {".sh", ".bash", ".rb", ".pl", ".php", ".lua", ".bin", ".out"};
    if (n->extension[0] == '\0')
        return n->name.size > 0 && n->name.data[0] >= 'a' && n->name.data[0] <= 'z';
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++)
        if (strcmp(n->extension, extensions[i]) == 0)
            return true;
    return false;
}

static int add_note(struct task_set *set, const char *folder, const struct task_entry *e, const struct task_name *n, const char *why)
{
    char *note;
    if (asprintf(&note, "%s/%s is no task: %s", folder, e->name, why) < 0)
        return GRID_ENOMEM;
    set->notes[set->note_count++] = note;
    if (!e->folder && looks_like_program(n))
        set->forgotten[set->forgotten_count++] = note;
    return 0;
}

static int check_entry(const char *folder, const struct task_entry *e, const struct task_name *n, char error[TASK_ERROR_MAX])
{
    if (!name_is_valid(e->name, n->name.size))
        return fail(error, GRID_EINVAL,
                    "%s/%.200s cannot be a task: a task's name is 1 to %d letters, digits, '_', '.' and '-'; rename the file", folder,
                    e->name, TASK_NAME_MAX);
    if (n->has_platform && !task_platform_is_sound(n->platform))
        return fail(error, GRID_EINVAL, "%s/%.200s cannot be a task: behind the '@' stands a platform, such as linux-x64 or linux-arm64 (grid list shows the nodes'); rename the file",
                    folder, e->name);
    return 0;
}

static int add_task(struct task_set *set, const char *folder, const struct task_entry *e, const struct task_name *n, const struct verdict *v,
                    char error[TASK_ERROR_MAX])
{
    int err = check_entry(folder, e, n, error);
    if (err != 0)
        return err;
    if (set->count == TASK_SET_MAX)
        return fail(error, GRID_ELIMIT, "%s holds more than %d tasks; split the project", folder, TASK_SET_MAX);
    struct task *t = &set->tasks[set->count];
    memcpy(t->name, n->name.data, n->name.size);
    memcpy(t->platform, n->platform.data ? n->platform.data : (const uint8_t *) "", n->platform.size);
    t->kind = v->kind;
    t->entry = strdup(e->name);
    if (v->inside.size > 0 ? asprintf(&t->path, "%s/%.*s", e->name, SLICE_FMT(v->inside)) < 0 : !(t->path = strdup(e->name)))
        t->path = NULL;
    set->count++;
    return t->entry && t->path ? 0 : GRID_ENOMEM;
}

static int compare_tasks(const void *a, const void *b)
{
    const struct task *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (order == 0)
        order = strcmp(x->platform, y->platform);
    return order != 0 ? order : strcmp(x->entry, y->entry);
}

static int check_names(const struct task_set *set, const char *folder, char error[TASK_ERROR_MAX])
{
    for (size_t i = 1; i < set->count; i++) {
        const struct task *a = &set->tasks[i - 1], *b = &set->tasks[i];
        if (strcmp(a->name, b->name) == 0 && strcmp(a->platform, b->platform) == 0)
            return fail(error, GRID_EINVAL, "two tasks are named %s: %s/%s and %s/%s; rename one", a->name, folder, a->entry, folder,
                        b->entry);
    }
    if (set->count == 0)
        return fail(error, GRID_ENOENT, "%s has no tasks: put a .js, .py or executable file into it", folder);
    return 0;
}

static int add_passed_over(struct task_set *set, char *entry)
{
    set->passed_over[set->passed_over_count] = entry;
    set->passed_over_count += entry != NULL;
    return entry ? 0 : GRID_ENOMEM;
}

static int add_entry(struct task_set *set, const char *folder, const struct task_entry *e, char error[TASK_ERROR_MAX])
{
    struct task_name n;
    if (!e->folder && strcmp(e->name, TASKS_TOML_NAME) == 0)
        return add_passed_over(set, strdup(e->name));
    task_name_read(e->name, e->folder, &n);
    struct verdict v = judge(e, &n);
    return v.no_task ? add_note(set, folder, e, &n, v.no_task) : add_task(set, folder, e, &n, &v, error);
}

static int add_entries(struct task_set *set, const char *folder, const struct task_entry *entries, size_t count,
                       char error[TASK_ERROR_MAX])
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < count; i++)
        err = add_entry(set, folder, &entries[i], error);
    return err;
}

/* ---- platforms ---- */

/* The files of one task, those for any platform first, and what tasks.toml says of it. */
struct candidates {
    struct task *first;
    size_t count;
    const struct toml_value *platforms; /* of the file for any; NULL: really any */
};

static bool is_for_any(const struct task *t)
{
    return t->platform[0] == '\0';
}

static bool is_listed(const struct toml_value *platforms, const char *platform)
{
    for (const struct toml_value *v = platforms; v; v = v->next)
        if (slice_equal_str(v->string, platform))
            return true;
    return !platforms;
}

/* The one for this platform, else the one for any that may run on it. */
static struct task *choose(const struct candidates *c, const char *platform)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->first[i].platform, platform) == 0)
            return &c->first[i];
    return is_for_any(c->first) && is_listed(c->platforms, platform) ? c->first : NULL;
}

static size_t count_platforms(const struct candidates *c)
{
    size_t count = c->count - is_for_any(c->first);
    for (const struct toml_value *v = c->platforms; v; v = v->next)
        count++;
    return count;
}

/* "A, B and C": those of tasks.toml, then those of names. */
static void append_platforms(const struct candidates *c, struct buf *out)
{
    size_t left = count_platforms(c), count = left;
    for (const struct toml_value *v = c->platforms; v; v = v->next, left--)
        buf_printf(out, "%s%.*s", left == count ? "" : left > 1 ? ", " : " and ", SLICE_FMT(v->string));
    for (size_t i = is_for_any(c->first); i < c->count; i++, left--)
        buf_printf(out, "%s%s", left == count ? "" : left > 1 ? ", " : " and ", c->first[i].platform);
}

static int add_elsewhere(struct task_set *set, const struct candidates *c, const char *platform)
{
    struct task_elsewhere *e = &set->elsewhere[set->elsewhere_count];
    struct buf why;
    memcpy(e->name, c->first->name, sizeof e->name);
    buf_init(&why, 0);
    buf_append_str(&why, "it is for ");
    append_platforms(c, &why);
    buf_printf(&why, ", and this node is %s", platform);
    e->why = slice_to_str(buf_slice(&why));
    buf_dispose(&why);
    set->elsewhere_count++;
    return e->why ? 0 : GRID_ENOMEM;
}

static void pass_over(struct task_set *set, struct task *t)
{
    add_passed_over(set, t->entry);
    free(t->path);
    *t = (struct task){0};
}

/* Leaves one file of each task, or none. */
static int choose_all(struct task_set *set, const char *platform, const struct tasks_toml *toml)
{
    size_t kept = 0, next;
    int err = 0;
    for (size_t i = 0; i < set->count; i = next) {
        for (next = i + 1; next < set->count && strcmp(set->tasks[i].name, set->tasks[next].name) == 0; next++) {
        }
        const struct candidates c = {&set->tasks[i], next - i, tasks_toml_platforms(toml, set->tasks[i].name)};
        struct task *chosen = choose(&c, platform);
        if (!chosen && err == 0)
            err = add_elsewhere(set, &c, platform);
        for (size_t k = i; k < next; k++)
            if (&set->tasks[k] != chosen)
                pass_over(set, &set->tasks[k]);
        if (chosen)
            set->tasks[kept++] = *chosen;
    }
    set->count = kept;
    return err;
}

static bool has_file_for_any(const struct task_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->tasks[i].name, name) == 0)
            return is_for_any(&set->tasks[i]);
    return false;
}

/* What tasks.toml speaks of has to be there: a name may be mistyped. */
static int check_toml(const struct task_set *set, const char *folder, const struct tasks_toml *toml, char error[TASK_ERROR_MAX])
{
    char name[TASK_NAME_MAX + 2];
    for (const struct toml_entry *e = toml->document.first; e; e = e->next) {
        tasks_toml_task_of(e, name);
        if (!has_file_for_any(set, name))
            return fail(error, GRID_EINVAL, "%s/" TASKS_TOML_NAME ", line %u: %s is no task of %s with a file for any platform: correct the name, or take it out", folder, e->line,
                        name, folder);
    }
    return 0;
}

/* ---- the whole ---- */

static int build(const struct task_folder *folder, const struct tasks_toml *toml, const struct task_entry *entries, size_t count, struct task_set *out, char error[TASK_ERROR_MAX])
{
    struct task_set set = {.tasks = calloc(count + 1, sizeof *set.tasks), .notes = calloc(count + 1, sizeof *set.notes),
                           .forgotten = calloc(count + 1, sizeof *set.forgotten), .elsewhere = calloc(count + 1, sizeof *set.elsewhere),
                           .passed_over = calloc(count + 1, sizeof *set.passed_over)};
    int err = set.tasks && set.notes && set.forgotten && set.elsewhere && set.passed_over ? add_entries(&set, folder->name, entries, count, error) : GRID_ENOMEM;
    if (err == 0) {
        qsort(set.tasks, set.count, sizeof *set.tasks, compare_tasks);
        err = check_names(&set, folder->name, error);
    }
    if (err == 0)
        err = check_toml(&set, folder->name, toml, error);
    if (err == 0)
        err = choose_all(&set, folder->platform, toml);
    if (err == 0)
        *out = set;
    else
        task_set_dispose(&set);
    return err;
}

int task_set_build(const struct task_folder *folder, const struct task_entry *entries, size_t count, struct task_set *out, char error[TASK_ERROR_MAX])
{
    struct tasks_toml toml;
    *out = (struct task_set){0};
    fail(error, 0, "out of memory");
    int err = tasks_toml_open(folder->toml, folder->name, &toml, error);
    if (err == 0)
        err = build(folder, &toml, entries, count, out, error);
    tasks_toml_dispose(&toml);
    if (err == 0)
        error[0] = '\0';
    return err;
}

void task_set_dispose(struct task_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->tasks[i].entry);
        free(set->tasks[i].path);
    }
    for (size_t i = 0; i < set->note_count; i++)
        free(set->notes[i]);
    for (size_t i = 0; i < set->passed_over_count; i++)
        free(set->passed_over[i]);
    task_elsewhere_free(set->elsewhere, set->elsewhere_count);
    free(set->passed_over);
    free(set->tasks);
    free(set->notes);
    free(set->forgotten);
    *set = (struct task_set){0};
}

struct task_elsewhere *task_set_take_elsewhere(struct task_set *set, size_t *count)
{
    struct task_elsewhere *list = set->elsewhere;
    *count = set->elsewhere_count;
    set->elsewhere = NULL;
    set->elsewhere_count = 0;
    return list;
}

void task_elsewhere_free(struct task_elsewhere *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i].why);
    free(list);
}

bool task_set_passes_over(const struct task_set *set, const char *entry)
{
    for (size_t i = 0; i < set->passed_over_count; i++)
        if (strcmp(set->passed_over[i], entry) == 0)
            return true;
    return false;
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

/* "job/job", and "job@linux-x64/job". */
static bool has_own_executable(int folder, const char *entry)
{
    struct task_name n;
    char name[TASK_NAME_MAX + 1];
    task_name_read(entry, true, &n);
    if (n.name.size > TASK_NAME_MAX)
        return false;
    snprintf(name, sizeof name, "%.*s", SLICE_FMT(n.name));
    return executable_in(folder, name);
}

static void look_inside(int parent, struct task_entry *e)
{
    DIR *dir = fdopendir(openat(parent, e->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!dir)
        return; /* unreadable: no task, with its note */
    struct stat s;
    e->package_json = fstatat(dirfd(dir), "package.json", &s, 0) == 0 && S_ISREG(s.st_mode);
    e->bootstrap = executable_in(dirfd(dir), "bootstrap");
    e->own_executable = has_own_executable(dirfd(dir), e->name);
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
        return fail(error, GRID_ENOENT, "the project has no folder %s, or .gridignore leaves it out: create it and put a task into it", folder);
    if (errnum == ENOTDIR)
        return fail(error, GRID_ENOENT, "%s is not a folder: tasks are the files of a folder", folder);
    return fail(error, grid_err_from_errno(errnum), "%s cannot be read: %s", folder, strerror(errnum));
}

static int read_all(int fd, struct buf *out)
{
    uint8_t block[4096];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? grid_err_from_errno(errno) : 0;
        int err = buf_append(out, slice_of(block, (size_t) n));
        if (err != 0)
            return err;
    }
}

/* What tasks.toml holds, if there is one. */
static int read_toml(int dir_fd, const char *folder, struct buf *out, char error[TASK_ERROR_MAX])
{
    struct stat s;
    int fd = openat(dir_fd, TASKS_TOML_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return fail(error, GRID_EINVAL, "%s/" TASKS_TOML_NAME " cannot be read: %s", folder, errno == ELOOP ? "it is a link; put a file there" : strerror(errno));
    int err = fstat(fd, &s) == 0 && S_ISREG(s.st_mode) ? read_all(fd, out) : 0;
    close(fd);
    if (err == GRID_ELIMIT)
        return fail(error, GRID_ELIMIT, "%s/" TASKS_TOML_NAME " has more than %d bytes; say less in it", folder, TASKS_TOML_BYTES_MAX);
    return err == 0 ? 0 : fail(error, err, "%s/" TASKS_TOML_NAME " cannot be read: %s", folder, grid_err_text(err));
}

static int read_folder(DIR *dir, struct task_folder *folder, struct task_set *out, char error[TASK_ERROR_MAX])
{
    struct listing listing = {0};
    struct buf toml;
    buf_init(&toml, TASKS_TOML_BYTES_MAX);
    int err = read_toml(dirfd(dir), folder->name, &toml, error);
    if (err == 0 && (err = listing_read(&listing, dir)) != 0)
        fail(error, err, "%s cannot be read: %s", folder->name, grid_err_text(err));
    folder->toml = buf_slice(&toml);
    if (err == 0)
        err = task_set_build(folder, listing.entries, listing.count, out, error);
    listing_dispose(&listing);
    buf_dispose(&toml);
    return err;
}

int task_set_read(const char *root, const char *folder, const char *platform, struct task_set *out, char error[TASK_ERROR_MAX])
{
    *out = (struct task_set){0};
    char *path;
    if (asprintf(&path, "%s/%s", root, folder) < 0)
        return fail(error, GRID_ENOMEM, "out of memory");
    DIR *dir = opendir(path);
    free(path);
    if (!dir)
        return explain_open(folder, error);
    int err = read_folder(dir, &(struct task_folder){.name = folder, .platform = platform}, out, error);
    closedir(dir);
    return err;
}

int task_set_look(int project_fd, const char *folder, char error[TASK_ERROR_MAX])
{
    struct stat st;
    return fstatat(project_fd, folder, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT ? explain_open(folder, error) : 0;
}
