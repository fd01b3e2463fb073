/* fs/release_log.h: which releases there were, in which order. docs/formats/release-entry.md. Signatures are made and checked elsewhere,
 * over release_entry_signing_bytes. Pure but for load and save, which block. Any one thread at a time for one log. */
#ifndef GRID_FS_RELEASE_LOG_H
#define GRID_FS_RELEASE_LOG_H

#include "base/buf.h"
#include "fs/hash.h"
#include "fs/report.h"

#define RELEASE_APP_MAX 63u
#define RELEASE_PUBLISHER_MAX 64u
#define RELEASE_CONFIG_MAX (1024u * 1024)
#define RELEASE_SIGNATURE_MAX 1024u
#define RELEASE_CERTIFICATE_MAX (16u * 1024)
#define RELEASE_SEQUENCE_MAX (UINT64_MAX >> 1)
/* Entries kept of one app, and apps in one log. */
#define RELEASE_KEPT 10u
#define RELEASE_APPS_MAX 64u

/* One release. Slices are borrowed; in entries that come out of a log they live as long as the log's next change. */
struct release_entry {
    struct slice app; /* 1 to 63 of a-z 0-9 . _ - */
    uint64_t sequence; /* from 1 */
    struct object_id root;
    uint8_t config_hash[32]; /* SHA-256 of `config` */
    bool has_parent;
    struct object_id parent; /* root of the entry before it */
    struct slice publisher; /* 1 to 64 lowercase hex digits */
    int64_t published_at_ms; /* Unix time; shown, never compared */
    uint64_t files;
    uint64_t size_bytes;
    struct slice config; /* a packed ReleaseConfig */
    struct slice signature;
    struct slice certificate;
};

/* 0; GRID_EINVAL for a field that is not as said above (config_hash too), GRID_ELIMIT for one that is too long. */
int release_entry_check(const struct release_entry *e);

/* The order of releases of one app: by sequence, then by the publisher's id. The greatest is current. */
int release_entry_compare(const struct release_entry *a, const struct release_entry *b);

/* Appends what a signature covers: everything but signature and certificate; the config by its hash. 0, GRID_ENOMEM, GRID_ELIMIT. */
int release_entry_signing_bytes(const struct release_entry *e, struct buf *out);

/* One entry as bytes, for the log's file and for hand-over between versions. */
int release_entry_encode(const struct release_entry *e, struct buf *out);
/* Reads exactly one entry that fills `in` and borrows from it. 0, or GRID_EPROTO. */
int release_entry_decode(struct slice in, struct release_entry *out);

struct release_log;

enum release_outcome {
    RELEASE_NEW_CURRENT, /* it is the newest now */
    RELEASE_SUPERSEDED,  /* kept, but a newer one is known: tell its publisher */
    RELEASE_KNOWN,       /* nothing new */
    RELEASE_TOO_OLD,     /* older than all that are kept */
};

/* NULL when out of memory. */
struct release_log *release_log_create(void);
void release_log_destroy(struct release_log *l);

/* Adds a checked and verified entry, copied. 0 with *outcome; GRID_EEXIST when another entry of the same sequence and publisher is there
 * (its publisher signed two: the first one seen stays); GRID_EINVAL, GRID_ELIMIT as release_entry_check; GRID_ENOMEM. */
int release_log_add(struct release_log *l, const struct release_entry *e, enum release_outcome *outcome);

/* Takes out the entries of an app that `whom` names. Returns how many. */
size_t release_log_drop_some(struct release_log *l, struct slice app, bool (*whom)(const void *arg, const struct release_entry *e), const void *arg);

/* Lets go of an app's entries but the newest `count` and those of the root `also` (NULL: of none). Returns how many went. */
size_t release_log_keep_newest(struct release_log *l, struct slice app, size_t count, const struct object_id *also);

/* The newest entry of an app, NULL when there is none; and those kept, newest first (index from 0). */
const struct release_entry *release_log_current(const struct release_log *l, struct slice app);
size_t release_log_count(const struct release_log *l, struct slice app);
const struct release_entry *release_log_at(const struct release_log *l, struct slice app, size_t index);

/* All entries of all apps, by app and newest first, for what keeps objects alive and for telling a new peer. */
size_t release_log_total(const struct release_log *l);
const struct release_entry *release_log_any(const struct release_log *l, size_t index);

/* The newest entry whose root begins with these hex digits (at least 8). GRID_ENOENT; GRID_EINVAL when too short, not hex, or when two
 * roots begin so. */
int release_log_find(const struct release_log *l, struct slice app, struct slice hex, const struct release_entry **out);

/* The whole log as bytes, with a checksum. Decoding takes one entry at a time, so that a damaged file costs memory of its own size only. */
int release_log_encode(const struct release_log *l, struct buf *out);
int release_log_decode(struct slice in, struct release_log **out);

/* Writes the log beside and renames it over `name`, durably. On an error the file is as before. */
int release_log_save(const struct release_log *l, int dir_fd, const char *name);

/* The same with bytes that release_log_encode made, for a thread that does not own the log. */
int release_log_write(struct slice bytes, int dir_fd, const char *name);

/* Reads it, and makes what was read last: other nodes are told of it. A new log when there is no such file. GRID_ECORRUPT or GRID_EUNSUPPORTED with a sentence in `report`. */
int release_log_load(int dir_fd, const char *name, struct fs_report *report, struct release_log **out);

#endif
