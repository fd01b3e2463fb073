/* trust/verify.h: judges certificates and signatures of others against the grid's authority. By key, never by certificate hash, so that
 * an authority's certificate may be renewed. No sockets; time is given. A verifier does not change once made: any thread. */
#ifndef GRID_TRUST_VERIFY_H
#define GRID_TRUST_VERIFY_H

#include "trust/certificate.h"

struct verifier;

/* Accepts leaves signed by any of these authorities (DER certificates; more than one while a grid changes its authority) and refuses the
 * ids in `revoked` (hex). Copies what it needs. 0, GRID_EINVAL, GRID_ELIMIT (more than VERIFY_AUTHORITIES_MAX) or GRID_ENOMEM. */
enum { VERIFY_AUTHORITIES_MAX = 4 };
int verifier_create(const struct slice *authorities, size_t authority_count, const char *const *revoked, size_t revoked_count,
                    struct verifier **out);
void verifier_destroy(struct verifier *v);

/* Further takes leaves of this authority, but of these ids alone (hex; at most VERIFY_PINNED_MAX): an authority that was replaced at once, while its members get new
 * certificates. Who stole its key can make certificates, yet none for these keys. Before the verifier is shared. 0, GRID_EINVAL, GRID_ELIMIT, GRID_ENOMEM. */
enum { VERIFY_PINNED_MAX = 1024, VERIFY_PINNING_MAX = 2 };
int verifier_add_pinned(struct verifier *v, struct slice authority_der, const char *const *ids, size_t count);
/* And leaves of this one, which was to follow it, of the same ids. The same. */
int verifier_add_pinning(struct verifier *v, struct slice authority_der);

/* Who a certificate is about. `name` is for people and logs: identity is the id. */
struct verify_holder {
    char id[TRUST_ID_SIZE];
    unsigned roles; /* of enum trust_role, never 0 */
    char name[TRUST_NAME_MAX + 1];
    char issuer[TRUST_ID_SIZE]; /* the accepted authority on whose word it was taken */
    bool ahead; /* its own authority is one that follows, and is not known here yet: that one vouches for it */
    bool evicted, untimely; /* why it is refused (untimely: for its times alone): the only fields that count then */
};

/* True when who was taken by `issuer`'s word as `id` would not be taken any more: evicted, or his authority has been removed. */
bool verifier_has_evicted(const struct verifier *v, const char *id);
bool verifier_refuses(const struct verifier *v, const char *id, const char *issuer);

/* Judges a chain as a peer sent it: DER, leaf first, perhaps its issuer behind it. A leaf of an authority that is not known here is taken when
 * the chain has that authority's certificate signed by an accepted one (authority_cross_sign). Node certificates are taken with a day's tolerance on either
 * end (a wrong clock must not take a grid down), others with five minutes. 0 with `holder` filled, or GRID_EPERM, and `why` is a clause
 * such as "it expired 12 days ago". */
int verify_chain(const struct verifier *v, const struct slice *chain, size_t count, int64_t now_s, struct verify_holder *holder,
                 char why[TRUST_WHY_MAX]);

/* The same of certificates that OpenSSL has read already (its X509): at a handshake they need not be parsed again. Borrowed; any thread, as long as no other one uses them. */
struct x509_st;
int verify_parsed(const struct verifier *v, struct x509_st *const *chain, size_t count, int64_t now_s, struct verify_holder *holder, char why[TRUST_WHY_MAX]);

/* Judges a signature of key_sign's form by the key in a DER certificate (judge that with verify_chain first). 0, or GRID_EPERM. */
int verify_signature(struct slice certificate_der, struct slice bytes, struct slice signature);
/* The same by a certificate that has been read already; NULL is refused. */
int verify_signature_parsed(struct x509_st *certificate, struct slice bytes, struct slice signature);

#endif
