/* cli/cert_issue.h: a key and its certificate as PEM files. Blocks on disk. */
#ifndef GRID_CLI_CERT_ISSUE_H
#define GRID_CLI_CERT_ISSUE_H

#include "trust/authority.h"

struct cert_order {
    const char *name;   /* the holder's, and the files' */
    const char *folder; /* where the files go; made (0700) when it is missing, its parent is not */
    unsigned roles, days;
    const char *const *addresses;
    size_t address_count;
    bool force; /* replace files that are there */
};

/* The files that an order makes, and the holder's id. */
struct cert_files {
    char key[4096], certificate[4096], authority[4096];
    char id[TRUST_ID_SIZE];
};

/* The authority with its key: of a Gridfile, or of the state folder of a node that is an issuer (a grid may have no Gridfile, or have replaced
 * its authority since). An exit code, with the sentence said; the caller destroys it with authority_destroy. */
int cert_authority_of_gridfile(const char *path, struct authority **out);
int cert_authority_of_state(const char *folder, struct authority **out);

/* NULL, or what is wrong with a name that is to stand in a certificate and before ".key": a clause. */
const char *cert_name_fault(const char *name);

/* Mints a key, has the authority issue for it, and writes NAME.key (0600), NAME.crt (the leaf) and ca.crt (the authority; one that is
 * there already and the same is left). An exit code, with the sentence said; without `force` nothing that was there is touched. */
int cert_issue(const struct authority *a, const struct cert_order *order, struct cert_files *out);

#endif
