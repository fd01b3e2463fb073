/* Verification as a list of questions in order; the first that fails gives the reason. */
#include "trust/verify.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

enum { NODE_TOLERANCE_S = 86400, CLIENT_TOLERANCE_S = 300, CHAIN_LOOKED_AT = 2 };

struct verifier {
    EVP_PKEY *authorities[VERIFY_AUTHORITIES_MAX];
    char authority_ids[VERIFY_AUTHORITIES_MAX][TRUST_ID_SIZE];
    size_t authority_count;
    EVP_PKEY *pinning[VERIFY_PINNING_MAX]; /* authorities that count for the pinned ids alone */
    char pinning_ids[VERIFY_PINNING_MAX][TRUST_ID_SIZE];
    size_t pinning_count;
    char (*pinned)[TRUST_ID_SIZE];
    size_t pinned_count;
    char (*revoked)[TRUST_ID_SIZE];
    size_t revoked_count;
};

/* The P-256 public key of a certificate, NULL when it has none. The caller frees it. */
static EVP_PKEY *public_key_of(struct slice der)
{
    X509 *x = certificate_parse(der);
    EVP_PKEY *pkey = x ? X509_get_pubkey(x) : NULL;
    X509_free(x);
    if (pkey && key_require_p256(pkey) == 0)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

static int add_authority(struct verifier *v, struct slice der)
{
    EVP_PKEY *pkey = public_key_of(der);
    if (!pkey)
        return GRID_EINVAL;
    v->authorities[v->authority_count] = pkey;
    return certificate_id(der, v->authority_ids[v->authority_count++]);
}

static int copy_ids(const char *const *ids, size_t count, char (**out)[TRUST_ID_SIZE], size_t *out_count)
{
    if (count == 0)
        return 0;
    *out = calloc(count, sizeof **out);
    if (!*out)
        return GRID_ENOMEM;
    *out_count = count;
    for (size_t i = 0; i < count; i++)
        snprintf((*out)[i], TRUST_ID_SIZE, "%s", ids[i]);
    return 0;
}

int verifier_add_pinning(struct verifier *v, struct slice authority_der)
{
    EVP_PKEY *pkey = v->pinning_count < VERIFY_PINNING_MAX ? public_key_of(authority_der) : NULL;
    if (!pkey)
        return v->pinning_count < VERIFY_PINNING_MAX ? GRID_EINVAL : GRID_ELIMIT;
    v->pinning[v->pinning_count] = pkey;
    return certificate_id(authority_der, v->pinning_ids[v->pinning_count++]);
}

int verifier_add_pinned(struct verifier *v, struct slice authority_der, const char *const *ids, size_t count)
{
    if (count > VERIFY_PINNED_MAX || v->pinned)
        return GRID_ELIMIT;
    int err = verifier_add_pinning(v, authority_der);
    return err == 0 ? copy_ids(ids, count, &v->pinned, &v->pinned_count) : err;
}

static bool has_id(char (*ids)[TRUST_ID_SIZE], size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(ids[i], id) == 0)
            return true;
    return false;
}

int verifier_create(const struct slice *authorities, size_t authority_count, const char *const *revoked, size_t revoked_count,
                    struct verifier **out)
{
    if (authority_count > VERIFY_AUTHORITIES_MAX)
        return GRID_ELIMIT;
    struct verifier *v = calloc(1, sizeof *v);
    int err = v ? copy_ids(revoked, revoked_count, &v->revoked, &v->revoked_count) : GRID_ENOMEM;
    for (size_t i = 0; err == 0 && i < authority_count; i++)
        err = add_authority(v, authorities[i]);
    if (err == 0)
        *out = v;
    else
        verifier_destroy(v);
    return err;
}

void verifier_destroy(struct verifier *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->authority_count; i++)
        EVP_PKEY_free(v->authorities[i]);
    for (size_t i = 0; i < v->pinning_count; i++)
        EVP_PKEY_free(v->pinning[i]);
    free(v->pinned);
    free(v->revoked);
    free(v);
}

/* One question: 0 when the certificate passes, else GRID_EPERM with `why`. */
struct judgement {
    const struct verifier *v;
    X509 *leaf;
    X509 *const *chain; /* of the leaf and those looked at behind it; NULL for one that cannot be read */
    size_t chain_count;
    int64_t now_s;
    struct verify_holder *holder;
    char *why;
};

static int refuse(struct judgement *j, const char *why)
{
    snprintf(j->why, TRUST_WHY_MAX, "%s", why);
    return GRID_EPERM;
}

/* Looked at before any signature: what OpenSSL would accept but no authority of ours ever issues. */
static int judge_form(struct judgement *j)
{
    if (key_require_p256(X509_get0_pubkey(j->leaf)) != 0)
        return refuse(j, "its key is not ECDSA on P-256");
    if (X509_get_signature_nid(j->leaf) != NID_ecdsa_with_SHA256)
        return refuse(j, "it is not signed with ECDSA and SHA-256");
    return X509_get_version(j->leaf) == X509_VERSION_3 ? 0 : refuse(j, "it is not an X.509 version 3 certificate");
}

/* Before its issuer: who was put out together with the authority is told so, and not that he is a stranger. */
static int judge_evicted(struct judgement *j)
{
    uint8_t *spki = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(j->leaf), &spki);
    if (size <= 0)
        return refuse(j, "its key cannot be read");
    key_id_of_public(slice_of(spki, (size_t) size), j->holder->id);
    OPENSSL_free(spki);
    certificate_name(j->leaf, j->holder->name);
    j->holder->evicted = has_id(j->v->revoked, j->v->revoked_count, j->holder->id);
    if (j->holder->evicted)
        return refuse(j, "its key has been evicted from the grid");
    return 0;
}

/* The accepted authority that signed `x`; true with its id as the holder's issuer. */
static bool is_signed_by_accepted(struct judgement *j, X509 *x)
{
    for (size_t i = 0; i < j->v->authority_count; i++)
        if (X509_verify(x, j->v->authorities[i]) == 1) {
            memcpy(j->holder->issuer, j->v->authority_ids[i], sizeof j->holder->issuer);
            return true;
        }
    return false;
}

/* By an authority that was replaced, for somebody who was a member then: judge_holder looks whether he was. */
static bool is_signed_by_pinning(struct judgement *j)
{
    for (size_t i = 0; i < j->v->pinning_count; i++)
        if (X509_verify(j->leaf, j->v->pinning[i]) == 1) {
            memcpy(j->holder->issuer, j->v->pinning_ids[i], sizeof j->holder->issuer);
            return true;
        }
    return false;
}

/* An authority that an accepted one vouches for: the grid changed its authority while this node was away. */
static bool is_vouched_for(struct judgement *j)
{
    bool found = false;
    for (size_t i = 1; !found && i < j->chain_count && i <= CHAIN_LOOKED_AT; i++) {
        X509 *x = j->chain[i];
        found = x && X509_check_ca(x) == 1 && key_require_p256(X509_get0_pubkey(x)) == 0 && X509_verify(j->leaf, X509_get0_pubkey(x)) == 1 &&
                is_signed_by_accepted(j, x);
    }
    j->holder->ahead = found;
    return found;
}

static int judge_issuer(struct judgement *j)
{
    if (is_signed_by_accepted(j, j->leaf) || is_vouched_for(j) || is_signed_by_pinning(j))
        return 0;
    if (X509_verify(j->leaf, X509_get0_pubkey(j->leaf)) == 1)
        return refuse(j, "it is self-signed: only certificates of the grid's authority count");
    char issuer[TRUST_NAME_MAX + 1] = "";
    X509 *shape = X509_new();
    if (shape && X509_set_subject_name(shape, X509_get_issuer_name(j->leaf)))
        certificate_name(shape, issuer);
    X509_free(shape);
    snprintf(j->why, TRUST_WHY_MAX, "another grid's authority issued it (it calls itself \"%.64s\")", issuer);
    return GRID_EPERM;
}

static int judge_extensions(struct judgement *j)
{
    uint32_t flags = X509_get_extension_flags(j->leaf);
    if (flags & EXFLAG_INVALID)
        return refuse(j, "its extensions are damaged");
    if (flags & EXFLAG_CRITICAL)
        return refuse(j, "it has a critical extension that is not known here");
    return flags & EXFLAG_CA ? refuse(j, "it is an authority's certificate, not a node's or a client's") : 0;
}

static int judge_roles(struct judgement *j)
{
    j->holder->roles = certificate_roles(j->leaf);
    return j->holder->roles ? 0 : refuse(j, "it gives its holder no role of node, admin or invoke");
}

static int judge_usage(struct judgement *j)
{
    uint32_t flags = X509_get_extension_flags(j->leaf);
    uint32_t usages = flags & EXFLAG_XKUSAGE ? X509_get_extended_key_usage(j->leaf) : 0;
    if (!(usages & XKU_SSL_CLIENT))
        return refuse(j, "it is not meant for TLS clients");
    if ((j->holder->roles & TRUST_ROLE_NODE) && !(usages & XKU_SSL_SERVER))
        return refuse(j, "it is a node's, but not meant for TLS servers");
    if ((flags & EXFLAG_KUSAGE) && !(X509_get_key_usage(j->leaf) & KU_DIGITAL_SIGNATURE))
        return refuse(j, "its key is not meant for signatures");
    return 0;
}

/* Seconds from `now_s` to an ASN.1 time, negative for the past; false when the time makes no sense. */
static bool seconds_until(const ASN1_TIME *at, int64_t now_s, int64_t *seconds)
{
    ASN1_TIME *now = ASN1_TIME_set(NULL, (time_t) now_s);
    int days = 0, rest = 0;
    bool fine = now && ASN1_TIME_diff(&days, &rest, now, at) == 1;
    ASN1_TIME_free(now);
    *seconds = (int64_t) days * 86400 + rest;
    return fine;
}

/* "12 days", "3 hours", "40 seconds". */
static void format_span(int64_t seconds, char out[32])
{
    if (seconds >= 2 * 86400)
        snprintf(out, 32, "%lld days", (long long) (seconds / 86400));
    else if (seconds >= 2 * 3600)
        snprintf(out, 32, "%lld hours", (long long) (seconds / 3600));
    else
        snprintf(out, 32, "%lld seconds", (long long) seconds);
}

static int judge_validity(struct judgement *j)
{
    int64_t tolerance = j->holder->roles & TRUST_ROLE_NODE ? NODE_TOLERANCE_S : CLIENT_TOLERANCE_S;
    int64_t from, until;
    char span[32];
    if (!seconds_until(X509_get0_notBefore(j->leaf), j->now_s, &from) || !seconds_until(X509_get0_notAfter(j->leaf), j->now_s, &until))
        return refuse(j, "its validity cannot be read");
    if (from > tolerance) {
        format_span(from, span);
        snprintf(j->why, TRUST_WHY_MAX, "it is only valid in %s: is a clock wrong?", span);
    } else if (until < -tolerance) {
        format_span(-until, span);
        snprintf(j->why, TRUST_WHY_MAX, "it expired %s ago", span);
    } else
        return 0;
    j->holder->untimely = true;
    return GRID_EPERM;
}

static int judge_holder(struct judgement *j)
{
    if (verifier_refuses(j->v, j->holder->id, j->holder->issuer))
        return refuse(j, "its authority has been replaced, and it was no member then");
    return 0;
}

bool verifier_has_evicted(const struct verifier *v, const char *id)
{
    return has_id(v->revoked, v->revoked_count, id);
}

bool verifier_refuses(const struct verifier *v, const char *id, const char *issuer)
{
    bool known = issuer[0] == '\0';
    for (size_t i = 0; !known && i < v->authority_count; i++)
        known = strcmp(v->authority_ids[i], issuer) == 0;
    for (size_t i = 0; !known && i < v->pinning_count; i++)
        known = strcmp(v->pinning_ids[i], issuer) == 0 && has_id(v->pinned, v->pinned_count, id);
    return !known || has_id(v->revoked, v->revoked_count, id);
}

/* What no authority of ours makes so large is not looked into. */
static bool is_readable(X509 *x)
{
    int size = x ? i2d_X509(x, NULL) : -1;
    return size > 0 && size <= TRUST_CERTIFICATE_MAX;
}

int verify_parsed(const struct verifier *v, struct x509_st *const *chain, size_t count, int64_t now_s, struct verify_holder *holder, char why[TRUST_WHY_MAX])
{
    static int (*const questions[])(struct judgement *) = {judge_form,  judge_evicted, judge_issuer,   judge_extensions,
                                                           judge_roles, judge_usage,   judge_validity, judge_holder};
    struct judgement j = {.v = v, .chain = chain, .chain_count = count, .now_s = now_s, .holder = holder, .why = why};
    int err = 0;
    *holder = (struct verify_holder){0};
    if (count == 0)
        return refuse(&j, "no certificate was given");
    j.leaf = chain[0];
    if (!is_readable(j.leaf))
        return refuse(&j, "its certificate cannot be read");
    for (size_t i = 0; err == 0 && i < sizeof questions / sizeof questions[0]; i++)
        err = questions[i](&j);
    ERR_clear_error();
    if (err != 0)
        *holder = (struct verify_holder){.evicted = holder->evicted, .untimely = holder->untimely};
    return err;
}

int verify_chain(const struct verifier *v, const struct slice *chain, size_t count, int64_t now_s, struct verify_holder *holder,
                 char why[TRUST_WHY_MAX])
{
    X509 *parsed[1 + CHAIN_LOOKED_AT] = {NULL};
    size_t looked_at = count < 1 + CHAIN_LOOKED_AT ? count : 1 + CHAIN_LOOKED_AT;
    for (size_t i = 0; i < looked_at; i++)
        parsed[i] = certificate_parse(chain[i]);
    int err = verify_parsed(v, parsed, looked_at, now_s, holder, why);
    for (size_t i = 0; i < looked_at; i++)
        X509_free(parsed[i]);
    return err;
}

int verify_signature_parsed(struct x509_st *certificate, struct slice bytes, struct slice signature)
{
    EVP_PKEY *pkey = certificate ? X509_get0_pubkey(certificate) : NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = pkey && ctx && key_require_p256(pkey) == 0 && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
                EVP_DigestVerify(ctx, signature.data, signature.size, bytes.data, bytes.size) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good ? 0 : GRID_EPERM;
}

int verify_signature(struct slice certificate_der, struct slice bytes, struct slice signature)
{
    X509 *x = certificate_parse(certificate_der);
    int err = verify_signature_parsed(x, bytes, signature);
    X509_free(x);
    return err;
}
