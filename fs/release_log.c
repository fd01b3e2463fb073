/* Entries in order of app and age, each in one block of memory; their bytes for signatures and for the file. */
#include "fs/release_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/err.h"

#define SIGNING_CONTEXT "grid release entry 1\n"
#define ENTRY_BYTES_MAX (RELEASE_CONFIG_MAX + RELEASE_CERTIFICATE_MAX + 4096u)
#define LOG_BYTES_MAX ((uint64_t) RELEASE_APPS_MAX * RELEASE_KEPT * ENTRY_BYTES_MAX)

static const uint8_t log_magic[8] = {'G', 'R', 'I', 'D', 'L', 'O', 'G', 1};

/* Owns its entry: the slices point behind it, into `bytes`. */
struct kept {
    struct release_entry entry;
    size_t size;
    uint8_t bytes[];
};

struct release_log {
    struct kept **entries; /* by app, newest first */
    size_t count;
    size_t capacity;
};

/* ---- entries ---- */

static bool app_valid(struct slice app)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    for (size_t i = 0; i < app.size; i++)
        if (!memchr(allowed, app.data[i], sizeof allowed - 1))
            return false;
    return app.size > 0;
}

static bool hex_valid(struct slice hex)
{
    for (size_t i = 0; i < hex.size; i++)
        if (!memchr("0123456789abcdef", hex.data[i], 16))
            return false;
    return hex.size > 0;
}

int release_entry_check(const struct release_entry *e)
{
    uint8_t hash[32];
    if (e->app.size > RELEASE_APP_MAX || e->publisher.size > RELEASE_PUBLISHER_MAX || e->config.size > RELEASE_CONFIG_MAX ||
        e->signature.size > RELEASE_SIGNATURE_MAX || e->certificate.size > RELEASE_CERTIFICATE_MAX || e->sequence > RELEASE_SEQUENCE_MAX)
        return GRID_ELIMIT;
    if (!app_valid(e->app) || !hex_valid(e->publisher) || e->sequence == 0)
        return GRID_EINVAL;
    int err = hash_sha256(e->config, hash);
    return err == 0 && memcmp(hash, e->config_hash, sizeof hash) != 0 ? GRID_EINVAL : err;
}

int release_entry_compare(const struct release_entry *a, const struct release_entry *b)
{
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence ? -1 : 1;
    return slice_compare(a->publisher, b->publisher);
}

static int put_sized(struct buf *out, struct slice s)
{
    int err = buf_append_u32be(out, (uint32_t) s.size);
    return err == 0 ? buf_append(out, s) : err;
}

/* Appends the fields that a signature covers. */
static int put_signed(struct buf *out, const struct release_entry *e)
{
    const uint64_t numbers[] = {e->sequence, (uint64_t) e->published_at_ms, e->files, e->size_bytes};
    int err = put_sized(out, e->app);
    if (err == 0)
        err = put_sized(out, e->publisher);
    for (size_t i = 0; err == 0 && i < sizeof numbers / sizeof *numbers; i++)
        err = buf_append_u64be(out, numbers[i]);
    if (err == 0)
        err = buf_append(out, slice_of(e->root.bytes, OBJECT_ID_BYTES));
    if (err == 0)
        err = buf_append(out, slice_of(e->config_hash, sizeof e->config_hash));
    if (err == 0)
        err = buf_append_byte(out, e->has_parent);
    return err == 0 && e->has_parent ? buf_append(out, slice_of(e->parent.bytes, OBJECT_ID_BYTES)) : err;
}

int release_entry_signing_bytes(const struct release_entry *e, struct buf *out)
{
    int err = buf_append(out, SLICE(SIGNING_CONTEXT));
    return err == 0 ? put_signed(out, e) : err;
}

int release_entry_encode(const struct release_entry *e, struct buf *out)
{
    int err = put_signed(out, e);
    if (err == 0)
        err = put_sized(out, e->config);
    if (err == 0)
        err = put_sized(out, e->signature);
    return err == 0 ? put_sized(out, e->certificate) : err;
}

/* ---- reading ---- */

static bool take_bytes(struct slice *in, size_t size, struct slice *out)
{
    if (in->size < size)
        return false;
    *out = slice_first(*in, size);
    *in = slice_of(in->data + size, in->size - size);
    return true;
}

static bool take_uint(struct slice *in, size_t size, uint64_t *out)
{
    struct slice bytes;
    if (!take_bytes(in, size, &bytes))
        return false;
    *out = 0;
    for (size_t i = 0; i < size; i++)
        *out = *out << 8 | bytes.data[i];
    return true;
}

static bool take_sized(struct slice *in, struct slice *out)
{
    uint64_t size;
    return take_uint(in, 4, &size) && take_bytes(in, (size_t) size, out);
}

static bool take_id(struct slice *in, uint8_t out[32])
{
    struct slice bytes;
    if (!take_bytes(in, 32, &bytes))
        return false;
    memcpy(out, bytes.data, 32);
    return true;
}

static bool take_entry(struct slice *in, struct release_entry *out)
{
    uint64_t at, parent;
    *out = (struct release_entry){0};
    if (!take_sized(in, &out->app) || !take_sized(in, &out->publisher) || !take_uint(in, 8, &out->sequence) || !take_uint(in, 8, &at) ||
        !take_uint(in, 8, &out->files) || !take_uint(in, 8, &out->size_bytes) || !take_id(in, out->root.bytes) ||
        !take_id(in, out->config_hash) || !take_uint(in, 1, &parent) || parent > 1)
        return false;
    out->published_at_ms = (int64_t) at;
    out->has_parent = parent == 1;
    if (out->has_parent && !take_id(in, out->parent.bytes))
        return false;
    return take_sized(in, &out->config) && take_sized(in, &out->signature) && take_sized(in, &out->certificate);
}

int release_entry_decode(struct slice in, struct release_entry *out)
{
    return take_entry(&in, out) && in.size == 0 && release_entry_check(out) == 0 ? 0 : GRID_EPROTO;
}

/* ---- the log ---- */

struct release_log *release_log_create(void)
{
    return calloc(1, sizeof(struct release_log));
}

void release_log_destroy(struct release_log *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->count; i++)
        free(l->entries[i]);
    free(l->entries);
    free(l);
}

/* A copy whose slices point into its own bytes. */
static struct kept *kept_copy(const struct release_entry *e)
{
    struct buf bytes;
    buf_init(&bytes, ENTRY_BYTES_MAX);
    struct kept *k = release_entry_encode(e, &bytes) == 0 ? malloc(sizeof *k + bytes.size) : NULL;
    if (k) {
        k->size = bytes.size;
        memcpy(k->bytes, bytes.data, bytes.size);
        struct slice in = slice_of(k->bytes, k->size);
        take_entry(&in, &k->entry);
    }
    buf_dispose(&bytes);
    return k;
}

/* Below zero when `a` stands before `b` in the log. */
static int place_compare(const struct release_entry *a, const struct release_entry *b)
{
    int apps = slice_compare(a->app, b->app);
    return apps != 0 ? apps : -release_entry_compare(a, b);
}

/* The range of an app's entries. */
static size_t app_begin(const struct release_log *l, struct slice app)
{
    size_t i = 0;
    while (i < l->count && slice_compare(l->entries[i]->entry.app, app) < 0)
        i++;
    return i;
}

size_t release_log_count(const struct release_log *l, struct slice app)
{
    size_t begin = app_begin(l, app), i = begin;
    while (i < l->count && slice_equal(l->entries[i]->entry.app, app))
        i++;
    return i - begin;
}

const struct release_entry *release_log_at(const struct release_log *l, struct slice app, size_t index)
{
    return index < release_log_count(l, app) ? &l->entries[app_begin(l, app) + index]->entry : NULL;
}

const struct release_entry *release_log_current(const struct release_log *l, struct slice app)
{
    return release_log_at(l, app, 0);
}

size_t release_log_total(const struct release_log *l)
{
    return l->count;
}

const struct release_entry *release_log_any(const struct release_log *l, size_t index)
{
    return index < l->count ? &l->entries[index]->entry : NULL;
}

static size_t count_apps(const struct release_log *l)
{
    size_t apps = 0;
    for (size_t i = 0; i < l->count; i++)
        apps += i == 0 || !slice_equal(l->entries[i]->entry.app, l->entries[i - 1]->entry.app);
    return apps;
}

static void log_remove(struct release_log *l, size_t at)
{
    free(l->entries[at]);
    memmove(&l->entries[at], &l->entries[at + 1], (l->count - at - 1) * sizeof *l->entries);
    l->count--;
}

static int log_insert(struct release_log *l, size_t at, const struct release_entry *e)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 16;
        struct kept **entries = realloc(l->entries, capacity * sizeof *entries);
        if (!entries)
            return GRID_ENOMEM;
        l->entries = entries;
        l->capacity = capacity;
    }
    struct kept *k = kept_copy(e);
    if (!k)
        return GRID_ENOMEM;
    memmove(&l->entries[at + 1], &l->entries[at], (l->count - at) * sizeof *l->entries);
    l->entries[at] = k;
    l->count++;
    return 0;
}

/* Whether both say the same, whatever the signatures (which are not made the same way twice). */
static bool same_entry(const struct release_entry *a, const struct release_entry *b)
{
    struct buf x, y;
    buf_init(&x, 0);
    buf_init(&y, 0);
    bool same = put_signed(&x, a) == 0 && put_signed(&y, b) == 0 && slice_equal(buf_slice(&x), buf_slice(&y));
    buf_dispose(&x);
    buf_dispose(&y);
    return same;
}

int release_log_add(struct release_log *l, const struct release_entry *e, enum release_outcome *outcome)
{
    int err = release_entry_check(e);
    if (err != 0)
        return err;
    size_t begin = app_begin(l, e->app), count = release_log_count(l, e->app), at = begin;
    while (at < begin + count && place_compare(&l->entries[at]->entry, e) < 0)
        at++;
    if (at < begin + count && release_entry_compare(&l->entries[at]->entry, e) == 0) {
        *outcome = RELEASE_KNOWN;
        return same_entry(&l->entries[at]->entry, e) ? 0 : GRID_EEXIST;
    }
    *outcome = at == begin ? RELEASE_NEW_CURRENT : at - begin < RELEASE_KEPT ? RELEASE_SUPERSEDED : RELEASE_TOO_OLD;
    if (*outcome == RELEASE_TOO_OLD)
        return 0;
    if (count == 0 && count_apps(l) >= RELEASE_APPS_MAX)
        return GRID_ELIMIT;
    err = log_insert(l, at, e);
    if (err == 0 && count + 1 > RELEASE_KEPT)
        log_remove(l, begin + count);
    return err;
}

size_t release_log_drop_some(struct release_log *l, struct slice app, bool (*whom)(const void *arg, const struct release_entry *e), const void *arg)
{
    size_t dropped = 0, begin = app_begin(l, app);
    for (size_t i = release_log_count(l, app); i-- > 0;)
        if (whom(arg, &l->entries[begin + i]->entry)) {
            log_remove(l, begin + i);
            dropped++;
        }
    return dropped;
}

size_t release_log_keep_newest(struct release_log *l, struct slice app, size_t count, const struct object_id *also)
{
    size_t dropped = 0, begin = app_begin(l, app);
    for (size_t i = release_log_count(l, app); i-- > count;)
        if (!also || !object_id_equal(&l->entries[begin + i]->entry.root, also)) {
            log_remove(l, begin + i);
            dropped++;
        }
    return dropped;
}

static bool root_begins(const struct release_entry *e, struct slice hex)
{
    char root[OBJECT_ID_HEX + 1];
    object_id_to_hex(&e->root, root);
    return hex.size <= OBJECT_ID_HEX && memcmp(root, hex.data, hex.size) == 0;
}

int release_log_find(const struct release_log *l, struct slice app, struct slice hex, const struct release_entry **out)
{
    *out = NULL;
    if (hex.size < 8 || !hex_valid(hex))
        return GRID_EINVAL;
    for (size_t i = 0, count = release_log_count(l, app); i < count; i++) {
        const struct release_entry *e = release_log_at(l, app, i);
        if (!root_begins(e, hex))
            continue;
        if (*out && !object_id_equal(&(*out)->root, &e->root))
            return GRID_EINVAL;
        if (!*out)
            *out = e;
    }
    return *out ? 0 : GRID_ENOENT;
}

/* ---- the file ---- */

int release_log_encode(const struct release_log *l, struct buf *out)
{
    size_t start = out->size;
    int err = buf_append(out, slice_of(log_magic, sizeof log_magic));
    if (err == 0)
        err = buf_append_u32be(out, (uint32_t) l->count);
    for (size_t i = 0; err == 0 && i < l->count; i++)
        err = put_sized(out, slice_of(l->entries[i]->bytes, l->entries[i]->size));
    return err == 0 ? buf_append_u32be(out, crc32c(0, slice_from(buf_slice(out), start))) : err;
}

/* Checks the frame; *body is what stands between magic and checksum. */
static int open_frame(struct slice in, struct slice *body)
{
    uint64_t crc;
    if (in.size < sizeof log_magic + 8 || memcmp(in.data, log_magic, 7) != 0)
        return GRID_ECORRUPT;
    struct slice tail = slice_from(in, in.size - 4);
    take_uint(&tail, 4, &crc);
    if (crc != crc32c(0, slice_first(in, in.size - 4)))
        return GRID_ECORRUPT;
    *body = slice_of(in.data + sizeof log_magic, in.size - sizeof log_magic - 4);
    return in.data[7] == log_magic[7] ? 0 : GRID_EUNSUPPORTED;
}

int release_log_decode(struct slice in, struct release_log **out)
{
    struct slice body, bytes;
    struct release_entry entry;
    enum release_outcome outcome;
    uint64_t count;
    *out = NULL;
    int err = open_frame(in, &body);
    if (err != 0)
        return err;
    struct release_log *l = release_log_create();
    if (!l)
        return GRID_ENOMEM;
    if (!take_uint(&body, 4, &count))
        err = GRID_ECORRUPT;
    for (; err == 0 && count > 0; count--) {
        err = take_sized(&body, &bytes) && release_entry_decode(bytes, &entry) == 0 ? 0 : GRID_ECORRUPT;
        if (err == 0)
            err = release_log_add(l, &entry, &outcome);
    }
    if (err == 0 && body.size > 0)
        err = GRID_ECORRUPT;
    if (err != 0)
        release_log_destroy(l);
    else
        *out = l;
    return err == 0 || err == GRID_ENOMEM ? err : GRID_ECORRUPT; /* the checksum was right, the content is not */
}

static int write_file(int fd, struct slice bytes)
{
    while (bytes.size > 0) {
        ssize_t n = write(fd, bytes.data, bytes.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? grid_err_from_errno(errno) : GRID_EIO;
        bytes = slice_from(bytes, (size_t) n);
    }
    return fsync(fd) == 0 ? 0 : GRID_EIO;
}

int release_log_write(struct slice bytes, int dir_fd, const char *name)
{
    char temporary[256];
    snprintf(temporary, sizeof temporary, "%s.new", name);
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return grid_err_from_errno(errno);
    int err = write_file(fd, bytes);
    if (close(fd) != 0 && err == 0)
        err = GRID_EIO;
    if (err == 0 && renameat(dir_fd, temporary, dir_fd, name) != 0)
        err = grid_err_from_errno(errno);
    if (err != 0) {
        unlinkat(dir_fd, temporary, 0);
        return err;
    }
    return fsync(dir_fd) == 0 ? 0 : GRID_EIO;
}

int release_log_save(const struct release_log *l, int dir_fd, const char *name)
{
    struct buf bytes;
    buf_init(&bytes, LOG_BYTES_MAX);
    int err = release_log_encode(l, &bytes);
    if (err == 0)
        err = release_log_write(buf_slice(&bytes), dir_fd, name);
    buf_dispose(&bytes);
    return err;
}

static int read_file(int fd, struct buf *out)
{
    uint8_t block[16 * 1024];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? GRID_EIO : 0;
        int err = buf_append(out, slice_of(block, (size_t) n));
        if (err != 0)
            return err;
    }
}

int release_log_load(int dir_fd, const char *name, struct fs_report *report, struct release_log **out)
{
    struct buf bytes;
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    *out = NULL;
    if (fd < 0 && errno == ENOENT)
        return (*out = release_log_create()) ? 0 : GRID_ENOMEM;
    if (fd < 0)
        return fs_report_fail(report, grid_err_from_errno(errno), "the release log %s cannot be opened: %s", name, strerror(errno));
    buf_init(&bytes, LOG_BYTES_MAX);
    int err = read_file(fd, &bytes);
    close(fd);
    if (err == 0 && fsync(dir_fd) != 0) /* whoever renamed it may not have lived to do so */
        err = GRID_EIO;
    if (err == 0)
        err = release_log_decode(buf_slice(&bytes), out);
    buf_dispose(&bytes);
    if (err == GRID_EUNSUPPORTED)
        return fs_report_fail(report, err, "the release log %s was written by a newer version; upgrade this node", name);
    if (err != 0)
        fs_report_fail(report, err, "the release log %s cannot be read (%s); remove it, and the node takes the log of its peers", name,
                       grid_err_text(err));
    return err;
}
