/* server/node_ledger_internal.h: what node_ledger.c (what the grid has decided, put in force), node_issuers.c (who can let others in, certificates and keys), node_evict.c (decisions
 * about members) and node_rotate.c (the authority replaced step by step) share. Control thread. */
#ifndef GRID_SERVER_NODE_LEDGER_INTERNAL_H
#define GRID_SERVER_NODE_LEDGER_INTERNAL_H

#include "base/token_bucket.h"
#include "server/lost_key.h"
#include "server/node_ledger.h"

enum { NODE_LEDGER_LOOK_MS = 500, NODE_LEDGER_OVERLAP_S = 86400 };

struct node_trust_work {
    struct loop_timer timer, cut;
    bool asking;  /* for a certificate */
    bool unkept;  /* the disk has not taken what is in force */
    bool handing;
    char phase_of[TRUST_ID_SIZE]; /* the authority to come whose phase began here then */
    enum ledger_phase phase;
    uint64_t phase_since_ms;
    char calm[TRUST_ID_SIZE];      /* the authority that was seen here, as a member, with none to follow it */
    char witnessed[TRUST_ID_SIZE]; /* the one to follow, whose coming was seen here */
    bool telling; /* an issuer of an eviction */
    uint64_t tell_at_ms;
    uint64_t sign_at_ms; /* when this node signs the newest release should its publisher not have done so; 0: it is signed */
    struct lost_key lost;
    bool lost_said; /* that somebody evicted holds the key */
    struct map *seen; /* ids of members that were linked here, to the number in which they came; NULL before the first */
    uintptr_t seen_count;
    bool heard;   /* node_ledger_has_heard */
    uint64_t listens_until_ms;
    struct token_bucket lines; /* about packs that do not hold, which any member may send without end */
    char trust[96], issuer[64]; /* capabilities */
};

struct node_trust_work *node_ledger_work_of(struct node *n);
int64_t node_ledger_now_s(void);

/* node_issuers.c */
/* What a member says of itself: "trust=ROOT.NEXT.PHASE.CERTIFICATE", "issuer=KEY.PASSWORD". */
struct member_trust {
    bool told;
    uint64_t root, next, phase;
    int64_t certificate;
    bool issuer, keyless;
    uint64_t key, password; /* greatest sequence whose key it has; epoch of its password plus one, 0: none */
};
void node_issuers_read(const struct member *m, struct member_trust *out);
bool node_issuers_lives(const struct member *m);
bool node_issuers_is(const struct member *m);
/* Some living issuer that has the key wanted, another one each time; not `except` (NULL: anybody). */
const struct member *node_issuers_pick(const struct node *n, uint64_t sequence, const struct member *except);
/* The number of the present authority, as most of the others say; 0: they say none. */
uint64_t node_issuers_root_sequence(const struct node *n);
/* The password of this epoch (stretched) is the one that opens. */
void node_issuers_take_password(struct node *n, const uint8_t *stretched, size_t size, uint64_t epoch);
/* Where a key is kept so that it does not take the place of the other authority's. */
struct buf *node_issuers_key_slot(struct node *n, const struct authority *other);
/* Whether this node's certificate is of the newest authority; whether somebody lacks the key. */
void node_issuers_certificate_look(struct node *n);
void node_issuers_heirs_look(struct node *n);

/* node_evict.c */
/* GRPC status and a sentence. Who decides must be able to keep it: an authority's new key is nowhere else at first. */
int node_evict_need_disk(struct node *n, char why[NODE_WHY_MAX]);
int node_evict_need_issuer(const struct node *n, char why[NODE_WHY_MAX]);
int node_evict_of_err(int err, char why[NODE_WHY_MAX]);
/* Announces a fresh authority in a phase, and evicts somebody by it (NULL: nobody): what the one before holds may be full of false evictions. 0 or GRID_E*. */
int node_evict_announce_fresh(struct node *n, enum ledger_phase phase, int64_t until_s, const char *evicted, const char *name);
/* What was signed by a key that counts no more is signed again, so that who joins later takes it. */
void node_evict_sign_release_again(struct node *n);
void node_evict_sign_look(struct node *n);
void node_evict_owed_look(struct node *n);
/* Whether somebody evicted holds the authority's key, and it is for this node to replace it. */
void node_evict_lost_look(struct node *n);

/* node_rotate.c */
void node_rotate_witness_look(struct node *n);
void node_rotate_look(struct node *n);

#endif
