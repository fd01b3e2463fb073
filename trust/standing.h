/* trust/standing.h: what a node keeps of its place in a grid, in its state folder: one file, STATE/trust, 0600, replaced as a whole
 * (docs/formats/trust-standing.md). Bytes to struct and back, and the file. No sockets. Any thread; standing_load and _store block. */
#ifndef GRID_TRUST_STANDING_H
#define GRID_TRUST_STANDING_H

#include "trust/authority.h"
#include "trust/file.h"
#include "trust/verify.h"

enum { STANDING_MAX = 1 << 20, STANDING_FORMER_MAX = 16, STANDING_KEYS_MAX = 2, STANDING_PASSWORD_SIZE = 64 };

/* Members that may go on for a while with certificates of an authority that was replaced at once: who was away then comes back by them. */
struct standing_pins {
    struct buf authority; /* its certificate, DER; empty: none */
    struct buf next;      /* that of the one that was to follow it and came into use already; empty: none */
    int64_t until_s;
    char (*ids)[TRUST_ID_SIZE];
    size_t count; /* at most VERIFY_PINNED_MAX */
};

/* A zeroed one is that of a node that belongs to no grid. */
struct standing {
    struct buf certificate;            /* this node's, DER; empty: none */
    struct buf ledger;                 /* trust/ledger.h, packed, with the grid's authority; empty: none */
    struct buf keys[STANDING_KEYS_MAX]; /* private keys of authorities, PKCS#8 DER; secret; empty: none */
    bool provisional;                  /* the authority was minted here for lack of another, and yields to a hardened one */
    char former[STANDING_FORMER_MAX][TRUST_ID_SIZE]; /* authorities that this one has replaced, the newest first */
    size_t former_count;
    bool has_password;                 /* the grid's password, stretched; secret */
    uint64_t password_epoch;           /* the door's epoch that it belongs to */
    uint8_t password[STANDING_PASSWORD_SIZE];
    size_t password_size;
    struct standing_pins pins;
    struct buf owed; /* ledger_pack_owed */
};

void standing_init(struct standing *s);
/* Wipes what is secret. */
void standing_dispose(struct standing *s);

/* Appends the bytes. 0, GRID_ELIMIT or GRID_ENOMEM. */
int standing_pack(const struct standing *s, struct buf *out);
/* Into an initialized, empty one. 0; GRID_EPROTO (not such a file, or cut short), GRID_EUNSUPPORTED (of a newer version), GRID_ELIMIT, GRID_ENOMEM. */
int standing_unpack(struct slice bytes, struct standing *out);

/* `state_dir`/trust. Load: 0 too when there is none: `out` stays empty then. On an error `sentence` says what, on which file, and what to do. */
int standing_load(const char *state_dir, struct standing *out, char sentence[TRUST_SENTENCE_MAX]);
int standing_store(const char *state_dir, const struct standing *s, char sentence[TRUST_SENTENCE_MAX]);

/* Puts an id at the head of `former`; the oldest falls out. */
void standing_add_former(struct standing *s, const char *id);
bool standing_is_former(const struct standing *s, const char *id);

/* Pins an authority, with the one that was to follow it (may be empty), and nobody to them yet; then members (hex ids). 0, GRID_ENOMEM, and for an id GRID_ELIMIT. */
int standing_pin(struct standing *s, struct slice authority_der, struct slice next_der, int64_t until_s);
int standing_pin_id(struct standing *s, const char *id);
void standing_unpin(struct standing *s);

/* Overwrites it. */
void standing_forget_password(struct standing *s);

/* Replaces a buffer's content; what it held is wiped. 0 or GRID_ENOMEM. */
int standing_set(struct buf *field, struct slice bytes);

#endif
