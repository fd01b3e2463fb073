/* trust/ledger.h: what a grid has decided about trust: signed statements that merge in any order to the same state. No sockets; time is given. Any one
 * thread at a time. The bytes are in docs/formats/trust-ledger.md.
 *
 * A ledger has a root: the authority that signs its statements. Statements are of four kinds:
 *   authority  the root announces the one that shall follow it, in phases: install -> use -> remove. At `remove` the new one is the root, and what
 *              the old one signed no longer counts: whoever announces it signs door and tombstones again with the new key, in the same pack.
 *   tombstone  an id is evicted, for ever.
 *   door       joining by password is open or closed; the greatest epoch wins, and closed beats open.
 *   heir       an id was given the authority's key, whatever it says of itself: stated before the key goes out; or holds it, and has signed so by it.
 * Only the root's signature counts: statements of a removed or unknown authority are refused. Of two authorities announced at once the later phase
 * wins, then the smaller id; once one of them is the root the other one's statements are refused like any stranger's. */
#ifndef GRID_TRUST_LEDGER_H
#define GRID_TRUST_LEDGER_H

#include "trust/authority.h"

enum { LEDGER_BYTES_MAX = 640 * 1024, LEDGER_TOMBSTONES_MAX = 2048, LEDGER_HEIRS_MAX = 1024, LEDGER_DIGEST_SIZE = 32 };
enum ledger_phase { LEDGER_INSTALL = 1, LEDGER_USE = 2, LEDGER_REMOVE = 3 };

struct ledger;

/* An authority that the ledger knows. Lives until the ledger changes. */
struct ledger_authority {
    uint64_t sequence; /* 0 for the grid's first */
    enum ledger_phase phase;
    int64_t when_s, until_s; /* announced; until when certificates of the one before are taken, 0: not at all (LEDGER_REMOVE) */
    char id[TRUST_ID_SIZE];
    struct slice der;       /* certificate */
    struct slice cross_der; /* the same key's, signed by the authority before it; empty for the grid's first */
};

struct ledger_tombstone {
    char id[TRUST_ID_SIZE];
    char name[TRUST_NAME_MAX + 1]; /* for people */
    int64_t when_s;
};

/* What a merge changed. */
struct ledger_news {
    bool changed;
    bool root_changed;
    unsigned refused; /* statements whose signature is not the root's, or that do not hold; nothing behind a forged one is looked at */
    unsigned stale;   /* statements of an authority that was followed by another: the sender has not heard of that yet */
};

/* An empty one under a root: the grid's first authority. 0, GRID_EINVAL or GRID_ENOMEM. */
int ledger_create(struct slice authority_der, struct ledger **out);
/* One that was kept, or given by somebody who is trusted: its root is taken as it is; its statements must hold. 0, GRID_EPROTO, GRID_EPERM (a statement is
 * not the root's), GRID_ELIMIT, GRID_ENOMEM. */
int ledger_load(struct slice packed, struct ledger **out);
void ledger_destroy(struct ledger *l);

/* Appends it whole, or with as many of its tombstones, the newest first, as go into so many bytes beside the rest (a few KiB: for one who joins, and
 * hears of the others by gossip). 0, GRID_ELIMIT, GRID_ENOMEM. */
int ledger_pack(const struct ledger *l, struct buf *out);
int ledger_pack_brief(const struct ledger *l, size_t size_max, struct buf *out);
/* Equal for equal states, whoever signed first. */
void ledger_digest(const struct ledger *l, uint8_t digest[LEDGER_DIGEST_SIZE]);

/* Takes in what another member holds. `news` is always filled. 0; GRID_EPROTO (garbage: nothing taken), GRID_ELIMIT (too large, or too many tombstones;
 * what fits was taken), GRID_ENOMEM. */
int ledger_merge(struct ledger *l, struct slice packed, struct ledger_news *news);

/* ---- statements of this node's own; `root` is the ledger's root with its key. 0, GRID_EPERM (no key, or not the root), GRID_EINVAL, GRID_ELIMIT, GRID_ENOMEM ---- */

/* Evicts an id and closes the door. */
int ledger_evict(struct ledger *l, const struct authority *root, const char *id, const char *name, int64_t now_s);
/* A new epoch. */
int ledger_set_door(struct ledger *l, const struct authority *root, bool open, int64_t now_s);
int ledger_add_heir(struct ledger *l, const struct authority *root, const char *id, int64_t now_s);
/* Evicts all that are owed (below). */
int ledger_pay(struct ledger *l, const struct authority *root, int64_t now_s);
/* LEDGER_REMOVE needs next's key too, and makes it the root; heirs stay heirs when it was announced before, and so may have been given to them. `until_s`: when the phase of use, or what is left of the old certificates, ends at the latest. */
int ledger_announce(struct ledger *l, const struct authority *root, const struct authority *next, enum ledger_phase phase, int64_t now_s, int64_t until_s);

/* What others say is the root's number, before ledger_announce: who began with the certificate of a later root does not know it, and what he announces under another number is passed over.
 * Nonsense is passed over; forgotten when the root changes. */
void ledger_hear_sequence(struct ledger *l, uint64_t sequence);

/* ---- the state ---- */

const struct ledger_authority *ledger_root(const struct ledger *l);
/* The one to follow the root; NULL when none is announced. */
const struct ledger_authority *ledger_next(const struct ledger *l);
size_t ledger_tombstone_count(const struct ledger *l);
/* With those that are owed. Lives until the ledger changes. */
const struct ledger_tombstone *ledger_tombstone_at(const struct ledger *l, size_t index);
/* Those that the root before had signed, and the root has not: an eviction and a new authority have crossed. They stay in force here, and the door is shut, but they travel in no
 * pack and count in no digest; an issuer that knows of them signs them again (ledger_pay), or is asked to. Kept beside the ledger: ledger_pack_owed appends them, ledger_load_owed
 * takes them back, unjudged: from the own disk alone. 0, GRID_EPROTO, GRID_ELIMIT, GRID_ENOMEM. */
size_t ledger_owed_count(const struct ledger *l);
const struct ledger_tombstone *ledger_owed_at(const struct ledger *l, size_t index);
int ledger_pack_owed(const struct ledger *l, struct buf *out);
int ledger_load_owed(struct ledger *l, struct slice packed);
bool ledger_is_evicted(const struct ledger *l, const char *id);
bool ledger_is_heir(const struct ledger *l, const char *id);
size_t ledger_heir_count(const struct ledger *l);
/* Somebody evicted who was given the key of an authority that still counts: the eviction and the handing over have crossed. He can sign whatever an issuer can until the authority is
 * replaced. NULL: nobody. Lives until the ledger changes. */
const struct ledger_tombstone *ledger_evicted_heir(const struct ledger *l);
/* Epoch 0, open, before anybody has said anything; closed while tombstones are owed, and when an authority was replaced and nobody has said anything since. */
void ledger_door(const struct ledger *l, uint64_t *epoch, bool *open);

#endif
