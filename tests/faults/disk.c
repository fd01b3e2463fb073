/* Nodes and names in two arrays; a course is replayed from the start for each state. */
#include "tests/faults/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"

enum { NONE = UINT32_MAX, PATH_BYTES = 4096 };

struct node {
    uint64_t number; /* the inode's */
    uint32_t mode;
    struct timespec mtime;
    uint8_t *bytes; /* content, or a link's target */
    size_t size;
    bool owned; /* `bytes` are this disk's own */
};

struct name {
    uint32_t dir, node;
    char text[TAPE_NAME_MAX];
};

struct disk {
    struct node *nodes; /* the first one is the folder itself */
    uint32_t node_count, node_capacity;
    struct name *names;
    uint32_t name_count, name_capacity;
};

struct course_op {
    uint32_t node, dir, to_dir;
    uint32_t kept_by; /* the sync after which it is safe; NONE */
};

struct disk_course {
    const struct disk *before;
    const struct tape *tape;
    struct course_op *ops;
};

static void *grow(void *array, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity ? *capacity * 2 : 256;
    array = realloc(array, *capacity * size);
    if (!array)
        abort();
    return array;
}

static uint32_t node_add(struct disk *d, const struct node *n)
{
    d->nodes = grow(d->nodes, d->node_count, &d->node_capacity, sizeof *d->nodes);
    d->nodes[d->node_count] = *n;
    return d->node_count++;
}

/* The newest of that number. */
static uint32_t node_find(const struct disk *d, uint64_t number)
{
    for (uint32_t i = d->node_count; i-- > 0;)
        if (d->nodes[i].number == number)
            return i;
    return NONE;
}

static uint32_t name_find(const struct disk *d, uint32_t dir, const char *text)
{
    for (uint32_t i = 0; i < d->name_count; i++)
        if (d->names[i].dir == dir && strcmp(d->names[i].text, text) == 0)
            return i;
    return NONE;
}

static void name_set(struct disk *d, uint32_t dir, const char *text, uint32_t node)
{
    uint32_t at = name_find(d, dir, text);
    if (at == NONE) {
        d->names = grow(d->names, d->name_count, &d->name_capacity, sizeof *d->names);
        at = d->name_count++;
        d->names[at].dir = dir;
        snprintf(d->names[at].text, TAPE_NAME_MAX, "%s", text);
    }
    d->names[at].node = node;
}

/* Takes a name away if it leads to that node. */
static void name_drop(struct disk *d, uint32_t dir, const char *text, uint32_t node)
{
    uint32_t at = name_find(d, dir, text);
    if (at != NONE && d->names[at].node == node)
        d->names[at] = d->names[--d->name_count];
}

/* ---- a folder in memory ---- */

static void load_bytes(struct node *n, const char *path)
{
    n->owned = true;
    n->bytes = calloc(1, n->size + 1); /* a link's target ends with a NUL */
    FILE *file = S_ISREG(n->mode) ? fopen(path, "rb") : NULL;
    if (S_ISLNK(n->mode) ? readlink(path, (char *) n->bytes, n->size) != (ssize_t) n->size : !file || fread(n->bytes, 1, n->size, file) != n->size)
        abort();
    if (file)
        fclose(file);
}

static uint32_t load_node(struct disk *d, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        abort();
    struct node n = {.number = st.st_ino, .mode = st.st_mode, .mtime = st.st_mtim, .size = S_ISDIR(st.st_mode) ? 0 : (size_t) st.st_size};
    if (!S_ISDIR(st.st_mode))
        load_bytes(&n, path);
    uint32_t node = node_add(d, &n);
    DIR *dir = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char below[PATH_BYTES];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof below, "%s/%s", path, e->d_name);
        name_set(d, node, e->d_name, load_node(d, below));
    }
    if (dir)
        closedir(dir);
    return node;
}

struct disk *disk_load(const char *folder)
{
    struct disk *d = calloc(1, sizeof *d);
    load_node(d, folder);
    return d;
}

void disk_destroy(struct disk *d)
{
    for (uint32_t i = 0; i < d->node_count; i++)
        if (d->nodes[i].owned)
            free(d->nodes[i].bytes);
    free(d->nodes);
    free(d->names);
    free(d);
}

/* Shares the bytes, which the other must outlive. */
static struct disk *disk_copy(const struct disk *from)
{
    struct disk *d = calloc(1, sizeof *d);
    for (uint32_t i = 0; i < from->node_count; i++) {
        struct node n = from->nodes[i];
        n.owned = false;
        node_add(d, &n);
    }
    d->names = malloc(from->name_count * sizeof *d->names);
    if (from->name_count > 0)
        memcpy(d->names, from->names, from->name_count * sizeof *d->names);
    d->name_count = d->name_capacity = from->name_count;
    return d;
}

/* ---- operations ---- */

static void file_resize(struct node *n, size_t size)
{
    if (n->owned && n->size == size)
        return;
    uint8_t *bytes = calloc(1, size + 1);
    memcpy(bytes, n->bytes ? n->bytes : (const uint8_t *) "", n->size < size ? n->size : size);
    if (n->owned)
        free(n->bytes);
    n->bytes = bytes;
    n->size = size;
    n->owned = true;
}

static void file_write(struct node *n, const struct tape_op *op, const uint8_t *bytes, bool zeros)
{
    size_t end = (size_t) op->offset + op->size;
    file_resize(n, end > n->size ? end : n->size);
    if (!zeros)
        memcpy(n->bytes + op->offset, bytes, op->size);
}

/* A new node has its place in the array whether its name comes or not. */
static void make_node(struct disk *d, const struct tape_op *op, const uint8_t *bytes)
{
    struct node n = {.number = op->node, .mode = op->mode, .mtime = op->mtime, .owned = true};
    n.bytes = calloc(1, op->size + 1);
    n.size = op->size;
    memcpy(n.bytes, bytes, op->size);
    node_add(d, &n);
}

static void apply(struct disk *d, const struct tape_op *op, const struct course_op *of, const uint8_t *bytes, enum disk_fate fate)
{
    if (op->kind == TAPE_ENTER && op->made)
        make_node(d, op, bytes);
    if (fate == DISK_LOST || of->node == NONE) /* none: it is about something outside the folder */
        return;
    if (op->kind == TAPE_ENTER)
        name_set(d, of->dir, op->name, of->node);
    else if (op->kind == TAPE_REMOVE || op->kind == TAPE_RENAME)
        name_drop(d, of->dir, op->name, of->node);
    if (op->kind == TAPE_RENAME)
        name_set(d, of->to_dir, op->to_name, of->node);
    else if (op->kind == TAPE_WRITE)
        file_write(&d->nodes[of->node], op, bytes, fate == DISK_ZEROS);
    else if (op->kind == TAPE_SIZE)
        file_resize(&d->nodes[of->node], (size_t) op->offset);
    else if (op->kind == TAPE_META) {
        d->nodes[of->node].mode = op->mode;
        d->nodes[of->node].mtime = op->mtime;
    }
}

/* ---- a course ---- */

static void resolve(struct disk *d, const struct tape_op *op, struct course_op *of)
{
    of->dir = node_find(d, op->dir);
    of->to_dir = op->kind == TAPE_RENAME ? node_find(d, op->to_dir) : NONE;
    if (op->kind == TAPE_ENTER && op->made)
        of->node = d->node_count;
    else if (op->kind == TAPE_REMOVE || op->kind == TAPE_RENAME) {
        uint32_t name = name_find(d, of->dir, op->name);
        of->node = name == NONE ? NONE : d->names[name].node;
    } else {
        of->node = node_find(d, op->node);
    }
}

static bool is_kept_by(const struct tape_op *op, const struct course_op *of, const struct tape_op *sync, const struct course_op *by)
{
    if (sync->kind == TAPE_SYNC_ALL)
        return true;
    if (sync->kind != TAPE_SYNC)
        return false;
    if (op->kind == TAPE_WRITE || op->kind == TAPE_SIZE || op->kind == TAPE_META)
        return of->node == by->node;
    return of->dir == by->node || (of->to_dir != NONE && of->to_dir == by->node);
}

struct disk_course *disk_course_create(const struct disk *before, const struct tape *t)
{
    struct disk_course *c = calloc(1, sizeof *c);
    struct disk *d = disk_copy(before);
    c->before = before;
    c->tape = t;
    c->ops = calloc(t->count + 1, sizeof *c->ops);
    for (uint32_t i = 0; i < t->count; i++) {
        resolve(d, &t->ops[i], &c->ops[i]);
        apply(d, &t->ops[i], &c->ops[i], t->bytes + t->ops[i].at, DISK_KEPT);
        c->ops[i].kept_by = NONE;
        for (uint32_t j = 0; j < i; j++)
            if (c->ops[j].kept_by == NONE && is_kept_by(&t->ops[j], &c->ops[j], &t->ops[i], &c->ops[i]))
                c->ops[j].kept_by = i;
    }
    disk_destroy(d);
    return c;
}

void disk_course_destroy(struct disk_course *c)
{
    free(c->ops);
    free(c);
}

bool disk_is_pending(const struct disk_course *c, uint32_t op, uint32_t end)
{
    return c->tape->ops[op].kind <= TAPE_META && (c->ops[op].kept_by == NONE || c->ops[op].kept_by >= end);
}

struct disk *disk_after(const struct disk_course *c, uint32_t end, const uint8_t *fates)
{
    struct disk *d = disk_copy(c->before);
    for (uint32_t i = 0; i < end; i++)
        apply(d, &c->tape->ops[i], &c->ops[i], c->tape->bytes + c->tape->ops[i].at,
              disk_is_pending(c, i, end) ? (enum disk_fate) fates[i] : DISK_KEPT);
    return d;
}

/* ---- out again ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ b) * 0x9e3779b97f4a7c15u;
    return a ^ a >> 29;
}

/* The names of a folder count in any order. */
static uint64_t hash_node(const struct disk *d, uint32_t node)
{
    const struct node *n = &d->nodes[node];
    uint64_t hash = mix(n->mode, n->size), below = 0;
    if (S_ISREG(n->mode))
        hash = mix(hash, (uint64_t) n->mtime.tv_sec * 1000000000u + (uint64_t) n->mtime.tv_nsec);
    if (!S_ISDIR(n->mode))
        return mix(hash, crc32c(0, slice_of(n->bytes, n->size)));
    for (uint32_t i = 0; i < d->name_count; i++)
        if (d->names[i].dir == node)
            below += mix(crc32c(0, slice_of_str(d->names[i].text)), hash_node(d, d->names[i].node));
    return mix(hash, below);
}

uint64_t disk_hash(const struct disk *d)
{
    return hash_node(d, 0);
}

static void write_file(const struct node *n, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, n->mode & 07777);
    if (fd < 0 || (n->size > 0 && write(fd, n->bytes, n->size) != (ssize_t) n->size) || futimens(fd, (struct timespec[2]){n->mtime, n->mtime}) != 0)
        abort();
    close(fd);
}

static void write_names(const struct disk *d, uint32_t dir, const char *folder)
{
    for (uint32_t i = 0; i < d->name_count; i++) {
        const struct node *n = &d->nodes[d->names[i].node];
        char path[PATH_BYTES];
        if (d->names[i].dir != dir)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, d->names[i].text);
        if (S_ISREG(n->mode))
            write_file(n, path);
        else if (S_ISLNK(n->mode) ? symlinkat((const char *) n->bytes, AT_FDCWD, path) != 0 : mkdirat(AT_FDCWD, path, 0755) != 0)
            abort();
        else if (S_ISDIR(n->mode))
            write_names(d, d->names[i].node, path);
    }
}

void disk_write(const struct disk *d, const char *folder)
{
    write_names(d, 0, folder);
}
