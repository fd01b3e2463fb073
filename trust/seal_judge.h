/* trust/seal_judge.h: judges statements that members sign with their own keys and send together with their certificates: is it the word of whom it is about, and is
 * he a member. Remembers certificates and statements that it has judged, since most come again. No sockets; time is given. Any one thread at a time. */
#ifndef GRID_TRUST_SEAL_JUDGE_H
#define GRID_TRUST_SEAL_JUDGE_H

#include "trust/verify.h"

struct seal_judge;

struct seal_statement {
    const char *id;            /* whom it is about: the hash of the key that must have signed */
    struct slice certificate;  /* DER, of that key */
    struct slice signed_bytes; /* the certificate should be among them, so that nobody can give the statement another one */
    struct slice signature;    /* of key_sign's form */
    bool admitted;             /* its owner himself brings it over TLS, which has judged him: the certificate's issuer is not asked again */
};

struct seal_counters {
    uint64_t checked;   /* signatures of statements computed */
    uint64_t chains;    /* certificates judged */
    uint64_t recalled;  /* statements that were known already */
    uint64_t refused;
};

/* 0 or GRID_ENOMEM. */
int seal_judge_create(struct seal_judge **out);
void seal_judge_destroy(struct seal_judge *j);

/* 0; GRID_EPERM, and `why` is a clause, "its signature is wrong"; GRID_EEXIST for a statement that was found wrong before, with the clause of then or none: nobody needs
 * to hear of it again. `v` may be another one each time: what was remembered is held against it. About 150 us when nothing is remembered. */
int seal_judge_check(struct seal_judge *j, const struct verifier *v, const struct seal_statement *statement, int64_t now_s, char why[TRUST_WHY_MAX]);

const struct seal_counters *seal_judge_counters(const struct seal_judge *j);

#endif
