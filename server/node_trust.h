/* server/node_trust.h: the node's place in a grid: its key and certificate, the authority, and what follows for its connections. May change while
 * the node runs: handshakes that begin after a change go by the new. Control thread.
 *
 *   grid of one --found--> provisional --harden--> member and issuer
 *        \--install-----------------------------> member (an issuer when the key is handed to it)
 *
 * All of it is kept in the state folder's file `trust` (trust/standing.h) before it counts; a Gridfile's authority is taken into it. */
#ifndef GRID_SERVER_NODE_TRUST_H
#define GRID_SERVER_NODE_TRUST_H

#include "server/node_internal.h"

/* What others are told of it when a node joins. */
struct node_standing {
    bool founded;        /* false: a grid of one, and all the rest is empty */
    char authority[65];  /* hex id */
    bool provisional;    /* yields to a hardened one */
    bool can_issue;
    bool door_open;      /* joining by the password that this node knows */
    uint64_t door_epoch; /* of the password that opens it */
};
void node_trust_standing(const struct node *n, struct node_standing *out);
/* Of a grid that yields to no other. */
bool node_trust_is_settled(const struct node *n);

/* The authority's certificate (DER), empty in a grid of one; and what the grid has decided, with as many tombstones as go into so many bytes
 * (ledger_pack_brief). Until the next call. */
struct slice node_trust_authority(const struct node *n);
struct slice node_trust_ledger(const struct node *n, size_t size_max);

/* Mints a provisional authority for the grid n->grid, and makes this node its first member. 0, or GRID_E* with a sentence. */
int node_trust_found(struct node *n, char why[NODE_WHY_MAX]);
/* With the first deploy, or when a while has passed in peace since the first join (server/node_join.h): from now on others yield to it.
 * Does nothing when it is hardened already. */
void node_trust_harden(struct node *n);

/* This node joins: an authority, a certificate of it for this node's key, and the grid's ledger (may be empty). It leaves whatever it was in before. The
 * peers' port is bound when it was not, and gossip begins. 0; GRID_EINVAL (the certificate is not for this key, or not of this authority, or the authority
 * is of a grid of another name), or the disk's errors, with a sentence and nothing changed. */
struct node_trust_grant {
    struct slice authority_der, certificate_der, ledger;
    bool provisional; /* the grid is young: it may yield to another one yet */
};
int node_trust_install(struct node *n, const struct node_trust_grant *grant, char why[NODE_WHY_MAX]);

/* This node leaves its authority for its Gridfile's, or for a provisional one of its own, to join anew; its key and its releases stay. Errors as above; a sentence. */
int node_trust_adopt(struct node *n, char why[NODE_WHY_MAX]);

/* ---- life ---- */

/* Loads key, Gridfile and standing, and makes the TLS contexts (empty ones in a grid of one). 0, or GRID_E* with a sentence in `why`. */
int node_trust_open(struct node *n, char why[NODE_WHY_MAX]);
void node_trust_close(struct node *n);
/* What node_trust_open would refuse, without making a key or writing. */
int node_trust_check(struct node *n, char why[NODE_WHY_MAX]);

/* ---- for the parts below ---- */

const char *node_id(const struct node *n);
int node_sign(void *node, struct slice bytes, uint8_t signature[ENTRY_SIGNATURE_BYTES], size_t *size);

/* Tells all parts that run. */
void node_trust_spread(struct node *n);

#endif
