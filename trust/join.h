/* trust/join.h: joining a grid by name and password, both sides, as bytes in and bytes out. No sockets, no clock, no randomness
 * of its own.
 *
 *       joiner                                    member
 *       SHARE          ----------------------->                      CPace, section 7
 *                      <-----------------------   SHARE              (or REFUSAL)
 *       CONFIRM        ----------------------->                      each proves that it knows the password
 *                      <-----------------------   CONFIRM, STANDING
 *       STANDING       ----------------------->                      whose grid is it to be: join_who_yields
 *       REQUEST        ----------------------->                      who yields asks,
 *                      <-----------------------   GRANT              the other answers (or the other way round)
 *
 * The transcript holds the grid's name, both sides' public keys on this TLS connection and its exporter, so that a man in the
 * middle with two TLS connections is as one who does not know the password. Behind CONFIRM each message carries a MAC and its
 * number. Who does not know the password learns, for each exchange, whether one guess was right. One thread at a time. */
#ifndef GRID_TRUST_JOIN_H
#define GRID_TRUST_JOIN_H

#include "trust/join_message.h"
#include "trust/stretch.h"

struct join;

enum { JOIN_EXPORTER_SIZE = 32, JOIN_SEED_SIZE = 64 };

struct join_config {
    bool joiner;                                 /* dialled, and speaks first */
    const char *grid;
    const uint8_t *password;                     /* STRETCH_SIZE bytes */
    struct slice own_public_der, peer_public_der; /* SubjectPublicKeyInfo of this TLS connection's certificates */
    const uint8_t *exporter;                     /* JOIN_EXPORTER_SIZE bytes: RFC 9266 */
    const uint8_t *seed;                         /* JOIN_SEED_SIZE random bytes, used once */
    const struct key *key;                       /* the node's own; borrowed for the join's life */
    const char *name;                            /* the node's, for its request, with its addresses (hosts without port) */
    const char *const *addresses;                /* at most TRUST_ADDRESSES_MAX */
    size_t address_count;
    int64_t now_s;                               /* Unix time, to judge a grant */
};

/* What must happen next. */
enum join_step {
    JOIN_STEP_RECEIVE, /* bytes */
    JOIN_STEP_STAND,   /* join_stand or join_refuse: the other side has proven itself (and said its standing, to a joiner) */
    JOIN_STEP_ISSUE,   /* join_grant or join_refuse: join_request_of */
    JOIN_STEP_GRANTED, /* over: install join_grant_of */
    JOIN_STEP_SETTLED, /* over: the other side has its grant, or both are in the same grid */
    JOIN_STEP_REFUSED, /* over: join_refusal_of, after the output is sent */
    JOIN_STEP_BROKEN,  /* over, and nothing more may be sent: join_why */
};

/* Copies all but the key. 0, GRID_EINVAL or GRID_ENOMEM. A joiner's first message is in its output at once. */
int join_create(const struct join_config *config, struct join **out);
/* Wipes what was secret. */
void join_destroy(struct join *j);

/* Takes in bytes as they come. What is over takes no notice of more. */
enum join_step join_receive(struct join *j, struct slice bytes);
enum join_step join_step(const struct join *j);

/* What is to be sent, after each call above and below: the caller takes the bytes and clears it. */
struct buf *join_output(struct join *j);

/* In JOIN_STEP_STAND: says our standing, which must not change until this exchange is over. */
enum join_step join_stand(struct join *j, const struct join_standing *own);
/* In JOIN_STEP_ISSUE. A ledger that does not fit beside the certificates is left out: gossip brings it. */
enum join_step join_give(struct join *j, const struct join_grant *grant);
/* Before a member's first message, in JOIN_STEP_STAND and in JOIN_STEP_ISSUE. Addresses beyond JOIN_ADDRESSES_MAX and unsound
 * ones are left out. */
enum join_step join_refuse(struct join *j, enum join_reason reason, const char *const *addresses, size_t address_count);

/* Once the other side has proven that it knows the password. */
bool join_is_proven(const struct join *j);
/* Whether this exchange was begun with this password, of STRETCH_SIZE bytes: while it goes on another one may have been set. */
bool join_goes_by(const struct join *j, const uint8_t *password);
/* True when the other side was given what it needs to try one password, and has not proven itself: it counts as a failed
 * attempt. */
bool join_is_spent(const struct join *j);

/* These live as long as j. The other side's standing (once it came), its request, the grant to install, the refusal and who
 * spoke it. */
const struct join_standing *join_peer_standing(const struct join *j);
const struct join_request *join_request_of(const struct join *j);
const struct join_grant *join_grant_of(const struct join *j);
const struct join_refusal *join_refusal_of(const struct join *j, bool *by_peer);
/* A clause for JOIN_STEP_BROKEN: "its certificate is not for this node's key". */
const char *join_why(const struct join *j);

/* Whose grid it is to be. */
enum join_verdict { JOIN_SAME_GRID, JOIN_WE_YIELD, JOIN_THEY_YIELD, JOIN_NOBODY_YIELDS };
/* A provisional grid yields to a hardened one, one of a single node to a shared one, and else that of the greater id; two hardened
 * ones stay what they are. Both sides come to the same end. */
enum join_verdict join_who_yields(const struct join_standing *own, const struct join_standing *peer);

#endif
