/* server/node_ledger.h: what the grid has decided about trust, on this node: the ledger and what follows from it for certificates, connections and members; this node's own
 * decisions when it is an issuer; and what keeps the issuers of one mind. Control thread. */
#ifndef GRID_SERVER_NODE_LEDGER_H
#define GRID_SERVER_NODE_LEDGER_H

#include "server/node_trust.h"

/* Begins to look after certificates, issuers and rotation; after gossip. */
void node_ledger_start(struct node *n);
void node_ledger_stop(struct node *n);
void node_ledger_free(struct node *n);

/* Whether this node knows what the grid has decided while it was away, or before it came: a member that it went to itself (--join) holds the same ledger, or it
 * has nobody to ask, or has asked for five seconds. Until then it lets nobody in and hands no key on: who was evicted may come first. */
bool node_ledger_has_heard(const struct node *n);
/* Begins to listen for it anew, when this node's standing has changed. */
void node_ledger_listen(struct node *n);

/* A pack came from a member; empty: it holds the same as this node. */
void node_ledger_receive(struct node *n, struct slice packed, const struct member *from);
/* Something of the ledger or of this node's certificate has changed: verdict made anew, connections cut, members told, kept on disk. What the disk does
 * not take is in force all the same, and kept as soon as it does. */
void node_ledger_changed(struct node *n);

/* Somebody is linked who may want something of this node: it is looked at soon, not at the next turn. */
void node_ledger_look_soon(struct node *n);

/* For this node's record: where it stands, as capabilities. Static until the next call. */
enum { NODE_LEDGER_CAPABILITIES = 2 };
size_t node_ledger_capabilities(struct node *n, const char *out[NODE_LEDGER_CAPABILITIES]);

/* ---- decisions; GRPC status and a sentence. GRPC_FAILED_PRECONDITION: this node is no issuer ---- */

#define NODE_EVICTS_ITSELF "a node does not evict itself: ask another one, or stop it and run \"grid adopt\""
/* The member so called, this node too: by name, id, or a prefix of an id of at least 8 digits; *matches counts those that are meant. */
const struct member *node_ledger_member(const struct node *n, struct slice who, size_t *matches);

/* `who` as there. `replace`: replace the authority even if the node is no issuer. */
int node_ledger_evict(struct node *n, struct slice who, bool replace, char why[NODE_WHY_MAX]);
/* While an eviction and the handing over of the key to whom it evicts have crossed (ledger_evicted_heir), and no issuer has replaced the authority yet. */
#define NODE_LEDGER_LOST_KEY \
    "an evicted node was handed the authority's key by an issuer that had not heard of the eviction: an issuer that is linked with most members replaces the authority within seconds; " \
    "while this is told, run \"grid evict ID\" with that node's id on a member, which does the same"
/* Whether this node itself is meant. */
bool node_ledger_means_self(const struct node *n, struct slice who);
/* Opens the door for this password (stretched). */
int node_ledger_set_password(struct node *n, const uint8_t *stretched, size_t size, char why[NODE_WHY_MAX]);

/* Begins a rotation unless one is under way; then, and without `begin`, tells how far it is. */
struct node_rotation {
    const char *phase; /* "install", "use" or "done" */
    char authority[65];
    const char *missing[64]; /* names of members that are waited for; borrowed */
    size_t missing_count;
};
int node_ledger_rotate(struct node *n, bool begin, uint32_t overlap_s, struct node_rotation *out, char why[NODE_WHY_MAX]);

/* A living member that says it is an issuer, and is not `except` (NULL: anybody); NULL when there is none. */
const struct member *node_ledger_issuer(const struct node *n, const struct member *except);
/* This node holds the newest authority's key, and of the living members that may have it nobody says he does. False where it is alone. */
bool node_ledger_key_is_here_alone(const struct node *n);

/* ---- between issuers ---- */

/* Keys (PKCS#8 DER) and the password of somebody who proves by them to be an issuer. 0 or GRID_EPERM. */
int node_ledger_take(struct node *n, const struct slice *keys, size_t key_count, const uint8_t *password, size_t password_size, uint64_t epoch);
/* This node has got a certificate for its key, and the ledger it goes by. */
void node_ledger_renewed(struct node *n, struct slice certificate_der);

#endif
