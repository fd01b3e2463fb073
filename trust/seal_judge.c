/* Two small tables by hash, one of certificates and one of statements; what collides is judged again. */
#include "trust/seal_judge.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { SLOTS = 1024, HASH_SIZE = 32, REJUDGE_S = 3600 };

struct certificate_slot {
    uint8_t hash[HASH_SIZE];
    char id[TRUST_ID_SIZE], issuer[TRUST_ID_SIZE]; /* issuer "": nobody has judged the chain yet */
    int64_t judged_s;
};

/* What was found of the signature alone: who may sign changes, who has signed does not. */
struct statement_slot {
    uint8_t hash[HASH_SIZE];
    bool known, good;
};

struct seal_judge {
    struct certificate_slot *certificates[SLOTS];
    struct statement_slot statements[SLOTS];
    struct seal_counters counters;
};

int seal_judge_create(struct seal_judge **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? 0 : GRID_ENOMEM;
}

void seal_judge_destroy(struct seal_judge *j)
{
    if (!j)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        free(j->certificates[i]);
    free(j);
}

const struct seal_counters *seal_judge_counters(const struct seal_judge *j)
{
    return &j->counters;
}

static bool hash_parts(const struct slice *parts, size_t count, uint8_t out[HASH_SIZE])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool fine = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    for (size_t i = 0; fine && i < count; i++)
        fine = EVP_DigestUpdate(ctx, parts[i].data, parts[i].size) == 1;
    fine = fine && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return fine;
}

static size_t slot_of(const uint8_t hash[HASH_SIZE])
{
    return ((size_t) hash[0] << 8 | hash[1]) % SLOTS;
}

static int refuse(char why[TRUST_WHY_MAX], const char *clause)
{
    memcpy(why, clause, strlen(clause) + 1);
    return GRID_EPERM;
}

/* ---- certificates ---- */

/* The certificate's slot, with its key's id; NULL for what is no certificate. */
static struct certificate_slot *find_certificate(struct seal_judge *j, struct slice der)
{
    uint8_t hash[HASH_SIZE];
    if (der.size == 0 || der.size > TRUST_CERTIFICATE_MAX || !hash_parts(&der, 1, hash))
        return NULL;
    struct certificate_slot **at = &j->certificates[slot_of(hash)];
    if (*at && memcmp((*at)->hash, hash, HASH_SIZE) == 0)
        return *at;
    struct certificate_slot fresh = {0};
    memcpy(fresh.hash, hash, HASH_SIZE);
    if (certificate_id(der, fresh.id) != 0 || (!*at && !(*at = malloc(sizeof **at))))
        return NULL;
    **at = fresh;
    return *at;
}

static int judge_chain(struct seal_judge *j, const struct verifier *v, struct certificate_slot *c, struct slice der, int64_t now_s, char why[TRUST_WHY_MAX])
{
    struct verify_holder holder;
    bool fresh = c->issuer[0] != '\0' && now_s >= c->judged_s && now_s < c->judged_s + REJUDGE_S;
    if (fresh && !verifier_refuses(v, c->id, c->issuer))
        return 0;
    j->counters.chains++;
    c->issuer[0] = '\0';
    int err = verify_chain(v, &der, 1, now_s, &holder, why);
    if (err != 0)
        return err;
    if (!(holder.roles & TRUST_ROLE_NODE))
        return refuse(why, "its certificate is not a node's");
    memcpy(c->issuer, holder.issuer, sizeof c->issuer);
    c->judged_s = now_s;
    return 0;
}

static int judge_signer(struct seal_judge *j, const struct verifier *v, const struct seal_statement *s, int64_t now_s, char why[TRUST_WHY_MAX])
{
    struct certificate_slot *c = find_certificate(j, s->certificate);
    if (!c)
        return refuse(why, "it comes without a certificate");
    if (strcmp(c->id, s->id) != 0)
        return refuse(why, "its certificate is another node's");
    if (verifier_has_evicted(v, c->id))
        return refuse(why, "its key has been evicted from the grid");
    return s->admitted ? 0 : judge_chain(j, v, c, s->certificate, now_s, why);
}

/* ---- statements ---- */

static int judge_signature(struct seal_judge *j, const struct seal_statement *s, char why[TRUST_WHY_MAX])
{
    const struct slice parts[] = {s->certificate, s->signature, s->signed_bytes};
    uint8_t hash[HASH_SIZE];
    if (!hash_parts(parts, sizeof parts / sizeof parts[0], hash))
        return GRID_ENOMEM;
    struct statement_slot *at = &j->statements[slot_of(hash)];
    bool again = at->known && memcmp(at->hash, hash, HASH_SIZE) == 0;
    if (again)
        j->counters.recalled++;
    else {
        j->counters.checked++;
        at->known = true;
        memcpy(at->hash, hash, HASH_SIZE);
        at->good = verify_signature(s->certificate, s->signed_bytes, s->signature) == 0;
    }
    if (at->good)
        return 0;
    (void) refuse(why, "its signature is wrong");
    return again ? GRID_EEXIST : GRID_EPERM;
}

int seal_judge_check(struct seal_judge *j, const struct verifier *v, const struct seal_statement *statement, int64_t now_s, char why[TRUST_WHY_MAX])
{
    int err = judge_signer(j, v, statement, now_s, why);
    if (err == 0)
        err = judge_signature(j, statement, why);
    j->counters.refused += err != 0;
    return err;
}
