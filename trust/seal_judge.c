/* Two small tables by hash, one of certificates and one of statements; what collides is judged again. */
#include "trust/seal_judge.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
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

/* One statement under judgement. Reading a certificate costs as much as a signature: it is done once, and only when something new is asked. */
struct hearing {
    struct seal_judge *j;
    const struct verifier *v;
    const struct seal_statement *s;
    int64_t now_s;
    X509 *leaf; /* NULL until read, and for what is no certificate */
    char *why;
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

static X509 *leaf_of(struct hearing *h)
{
    if (!h->leaf)
        h->leaf = certificate_parse(h->s->certificate);
    return h->leaf;
}

/* The certificate's slot, with its key's id; NULL for what is no certificate. */
static struct certificate_slot *find_certificate(struct hearing *h)
{
    struct slice der = h->s->certificate;
    uint8_t hash[HASH_SIZE];
    if (der.size == 0 || der.size > TRUST_CERTIFICATE_MAX || !hash_parts(&der, 1, hash))
        return NULL;
    struct certificate_slot **at = &h->j->certificates[slot_of(hash)];
    if (*at && memcmp((*at)->hash, hash, HASH_SIZE) == 0)
        return *at;
    struct certificate_slot fresh = {0};
    memcpy(fresh.hash, hash, HASH_SIZE);
    if (certificate_id_parsed(leaf_of(h), fresh.id) != 0 || (!*at && !(*at = malloc(sizeof **at))))
        return NULL;
    **at = fresh;
    return *at;
}

static int judge_chain(struct hearing *h, struct certificate_slot *c)
{
    struct verify_holder holder;
    X509 *leaf;
    bool fresh = c->issuer[0] != '\0' && h->now_s >= c->judged_s && h->now_s < c->judged_s + REJUDGE_S;
    if (fresh && !verifier_refuses(h->v, c->id, c->issuer))
        return 0;
    h->j->counters.chains++;
    c->issuer[0] = '\0';
    leaf = leaf_of(h);
    int err = verify_parsed(h->v, &leaf, 1, h->now_s, &holder, h->why);
    if (err != 0)
        return err;
    if (!(holder.roles & TRUST_ROLE_NODE))
        return refuse(h->why, "its certificate is not a node's");
    memcpy(c->issuer, holder.issuer, sizeof c->issuer);
    c->judged_s = h->now_s;
    return 0;
}

static int judge_signer(struct hearing *h)
{
    struct certificate_slot *c = find_certificate(h);
    if (!c)
        return refuse(h->why, "it comes without a certificate");
    if (strcmp(c->id, h->s->id) != 0)
        return refuse(h->why, "its certificate is another node's");
    if (verifier_has_evicted(h->v, c->id))
        return refuse(h->why, "its key has been evicted from the grid");
    return h->s->admitted ? 0 : judge_chain(h, c);
}

/* ---- statements ---- */

static int judge_signature(struct hearing *h)
{
    const struct seal_statement *s = h->s;
    const struct slice parts[] = {s->certificate, s->signature, s->signed_bytes};
    uint8_t hash[HASH_SIZE];
    if (!hash_parts(parts, sizeof parts / sizeof parts[0], hash))
        return GRID_ENOMEM;
    struct statement_slot *at = &h->j->statements[slot_of(hash)];
    bool again = at->known && memcmp(at->hash, hash, HASH_SIZE) == 0;
    if (again)
        h->j->counters.recalled++;
    else {
        h->j->counters.checked++;
        at->known = true;
        memcpy(at->hash, hash, HASH_SIZE);
        at->good = verify_signature_parsed(leaf_of(h), s->signed_bytes, s->signature) == 0;
    }
    if (at->good)
        return 0;
    (void) refuse(h->why, "its signature is wrong");
    return again ? GRID_EEXIST : GRID_EPERM;
}

int seal_judge_check(struct seal_judge *j, const struct verifier *v, const struct seal_statement *statement, int64_t now_s, char why[TRUST_WHY_MAX])
{
    struct hearing h = {.j = j, .v = v, .s = statement, .now_s = now_s, .why = why};
    int err = judge_signer(&h);
    if (err == 0)
        err = judge_signature(&h);
    X509_free(h.leaf);
    j->counters.refused += err != 0;
    return err;
}
