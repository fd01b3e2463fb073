/* trust/ledger_internal.h: what trust/ledger*.c share: a ledger's inside, statements as they came, and the bytes between. Any one thread at a time. */
#ifndef GRID_TRUST_LEDGER_INTERNAL_H
#define GRID_TRUST_LEDGER_INTERNAL_H

#include "trust/ledger.h"

enum { LEDGER_ID_BYTES = 32, LEDGER_STATEMENTS_MAX = LEDGER_TOMBSTONES_MAX + LEDGER_HEIRS_MAX + 8 };
enum ledger_kind { LEDGER_AUTHORITY = 1, LEDGER_TOMBSTONE = 2, LEDGER_DOOR = 3, LEDGER_HEIR = 4 };
#define LEDGER_EPOCH_MAX UINT32_MAX
#define LEDGER_LEAP_MAX ((uint64_t) INT64_MAX / 2) /* numbers beyond it are reached one by one alone: nobody counts to their end */
/* Who had the key and lost it may have counted as far as counting goes, and evicted whom there never was: a new authority begins anew where little is left. */
enum { LEDGER_INHERITED = LEDGER_TOMBSTONES_MAX - 64 };
#define LEDGER_CONTEXT "gridcontrol trust ledger 1" /* before what is signed, with its NUL, so that no other signature of the key fits */
#define LEDGER_MAGIC SLICE("GRIDLDG1")

/* A statement as it came, and what it says. Of malloc. */
struct ledger_statement {
    enum ledger_kind kind;
    uint8_t signer[LEDGER_ID_BYTES];
    struct ledger_authority authority; /* slices into `bytes` */
    struct ledger_tombstone tombstone; /* an heir's id and when, too */
    uint64_t epoch;
    bool open;
    size_t size;
    uint8_t bytes[]; /* whole, from kind to signature */
};

/* Statements about ids, in their order. */
struct ledger_set {
    struct ledger_statement **list;
    size_t count;
};

struct ledger {
    struct ledger_authority root;
    struct buf root_der;
    char grid[TRUST_NAME_MAX + 1];
    struct ledger_statement *arrived; /* what made it the root; NULL for the first */
    uint64_t heard_sequence; /* ledger_hear_sequence */
    struct ledger_statement *next, *door;
    struct ledger_set tombstones, heirs;
    struct ledger_set owed; /* tombstones of the root before, which this one has not stated (yet) */
};

/* ledger.c: what the root has stated of the door. */
void ledger_stated_door(const struct ledger *l, uint64_t *epoch, bool *open);
/* Whether the root's number is known. It is not to who began with the certificate of an authority that had replaced others, nor to who began with the first. */
bool ledger_knows_sequence(const struct ledger *l);

/* ---- ledger_statement.c: bytes ---- */

/* Once it has failed it gives nothing more. */
struct ledger_reader {
    struct slice rest;
    bool failed;
};
struct slice ledger_read_bytes(struct ledger_reader *r, size_t size);
/* Big-endian, of 1 to 8 bytes. */
uint64_t ledger_read_number(struct ledger_reader *r, size_t size);

/* Ids as 32 bytes. `id` is sound. */
void ledger_put_id(struct buf *out, const char *id);
void ledger_take_id(struct slice bytes, char id[TRUST_ID_SIZE]);

/* Reads the statement at the reader's place, unjudged. 0, GRID_EPROTO or GRID_ENOMEM. */
int ledger_statement_read(struct ledger_reader *r, struct ledger_statement **out);
/* What is signed of its bytes (behind LEDGER_CONTEXT), and by what. */
void ledger_statement_parts(const struct ledger_statement *s, struct slice *signed_bytes, struct slice *signature);

/* ---- ledger_merge.c: what counts ---- */

bool ledger_set_has(const struct ledger_set *set, const char *id);
void ledger_set_clear(struct ledger_set *set);
/* Takes the statement over. 0, GRID_ELIMIT (more than `most`), GRID_ENOMEM; what the set has already is dropped. */
int ledger_set_add(struct ledger_set *set, size_t most, struct ledger_statement *s);

struct ledger_pack_view {
    uint64_t sequence; /* of the root */
    struct slice root_der;
    struct ledger_reader statements;
};
/* 0, GRID_ELIMIT or GRID_EPROTO. */
int ledger_pack_open(struct slice packed, struct ledger_pack_view *out);
/* Reads all statements before any is taken. `list` has room for LEDGER_STATEMENTS_MAX; what was read by an error is the caller's too. */
int ledger_pack_read(struct ledger_pack_view *p, struct ledger_statement **list, size_t *count);
void ledger_free_all(struct ledger_statement **list, size_t count);

/* Judges it and takes it over. `behind`: of one who does not know the root yet, whose word may be that of an authority before it. 0; GRID_EPERM (forged),
 * GRID_ELIMIT, GRID_ENOMEM. */
int ledger_take_statement(struct ledger *l, struct ledger_statement *s, bool behind, struct ledger_news *news);
/* The same for all; those that were taken over are NULL in the list afterwards. 0, GRID_ELIMIT, GRID_ENOMEM. */
int ledger_take_all(struct ledger *l, struct ledger_statement **list, size_t count, bool behind, struct ledger_news *news);

#endif
