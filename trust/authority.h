/* trust/authority.h: the grid's authority: a random P-256 key and its self-signed certificate. Who has the key is an issuer; a node that
 * was given only the certificate can judge others and issue nothing. No sockets; time is given. Any thread; it does not change. */
#ifndef GRID_TRUST_AUTHORITY_H
#define GRID_TRUST_AUTHORITY_H

#include "trust/certificate.h"

struct authority;

/* A fresh one for a grid of this name. 0, GRID_EINVAL (a name that trust_name_valid refuses) or GRID_ENOMEM. */
int authority_mint(const char *grid_name, int64_t now_s, struct authority **out);

/* From PEM, as the Gridfile carries it. An empty `key_pem` makes one that cannot issue. 0; GRID_EINVAL, and `why` is a clause:
 * "its key is not the certificate's". */
int authority_load(struct slice certificate_pem, struct slice key_pem, struct authority **out, char why[TRUST_WHY_MAX]);

/* The same from DER, as the state folder keeps it and members pass it on. */
int authority_load_der(struct slice certificate_der, struct slice key_der, struct authority **out, char why[TRUST_WHY_MAX]);

void authority_destroy(struct authority *a);

/* Hex SHA-256 of its public key: the id that tells grids of one name apart. These live as long as the authority. */
const char *authority_id(const struct authority *a);
const char *authority_grid_name(const struct authority *a);
struct slice authority_certificate_der(const struct authority *a);
bool authority_can_issue(const struct authority *a);
/* The private key, NULL when it cannot issue. */
const struct key *authority_key(const struct authority *a);

/* Append PEM. authority_append_key_pem is GRID_EPERM without a key. */
int authority_append_certificate_pem(const struct authority *a, struct buf *out);
int authority_append_key_pem(const struct authority *a, struct buf *out);

/* Issues a leaf and appends its DER. 0, GRID_EPERM (no key), GRID_EINVAL, GRID_ELIMIT, GRID_ENOMEM. */
/* A certificate of another authority's key signed by this one, appended as DER: those who know only this authority take the other's leaves by it
 * (RFC 4210, 4.4, "newWithOld"). Errors as authority_issue. */
int authority_cross_sign(const struct authority *a, const struct authority *other, int64_t now_s, struct buf *der);
int authority_issue(const struct authority *a, const struct certificate_request *request, int64_t now_s, struct buf *der);

#endif
