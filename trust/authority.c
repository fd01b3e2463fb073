/* The authority: its certificate as bytes, its key where there is one. */
#include "trust/authority.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

struct authority {
    struct buf certificate;
    struct key *key; /* NULL: cannot issue */
    char id[TRUST_ID_SIZE];
    char name[TRUST_NAME_MAX + 1];
};

static struct authority *authority_new(void)
{
    struct authority *a = calloc(1, sizeof *a);
    if (a)
        buf_init(&a->certificate, TRUST_CERTIFICATE_MAX);
    return a;
}

void authority_destroy(struct authority *a)
{
    if (!a)
        return;
    key_destroy(a->key);
    buf_dispose(&a->certificate);
    free(a);
}

int authority_mint(const char *grid_name, int64_t now_s, struct authority **out)
{
    struct authority *a = authority_new();
    int err = a ? key_mint(&a->key) : GRID_ENOMEM;
    if (err == 0)
        err = certificate_self_sign(a->key, grid_name, now_s, &a->certificate);
    if (err != 0) {
        authority_destroy(a);
        return err;
    }
    memcpy(a->id, key_id(a->key), sizeof a->id);
    snprintf(a->name, sizeof a->name, "%s", grid_name);
    *out = a;
    return 0;
}

/* Says what is wrong with it as an authority's certificate, NULL when nothing is. */
static const char *judge_certificate(struct slice der, char name[TRUST_NAME_MAX + 1])
{
    const char *fault = NULL;
    X509 *x = certificate_parse(der);
    if (!x)
        return "its certificate cannot be read";
    certificate_name(x, name);
    if (key_require_p256(X509_get0_pubkey(x)) != 0)
        fault = "its certificate is not for a P-256 key";
    else if (X509_check_ca(x) != 1)
        fault = "its certificate is not an authority's";
    else if (X509_verify(x, X509_get0_pubkey(x)) != 1)
        fault = "its certificate is not signed by its own key";
    else if (name[0] == '\0')
        fault = "its certificate names no grid";
    X509_free(x);
    return fault;
}

/* Takes the key over, also on failure. */
static int take_key(struct authority *a, struct key *k, char why[TRUST_WHY_MAX])
{
    a->key = k;
    if (strcmp(key_id(k), a->id) == 0)
        return 0;
    snprintf(why, TRUST_WHY_MAX, "its key is not the certificate's");
    return GRID_EINVAL;
}

static int load_key_pem(struct authority *a, struct slice key_pem, char why[TRUST_WHY_MAX])
{
    char clause[TRUST_WHY_MAX];
    struct key *k;
    int err = key_parse_pem(key_pem, &k, clause);
    if (err == 0)
        return take_key(a, k, why);
    snprintf(why, TRUST_WHY_MAX, "its key cannot be used: %.120s", clause);
    return err;
}

static int load_key_der(struct authority *a, struct slice key_der, char why[TRUST_WHY_MAX])
{
    struct key *k;
    int err = key_parse_der(key_der, &k);
    if (err == 0)
        return take_key(a, k, why);
    snprintf(why, TRUST_WHY_MAX, "its key cannot be used: %s", grid_err_text(err));
    return err;
}

static int take_certificate(struct authority *a, char why[TRUST_WHY_MAX])
{
    const char *fault = judge_certificate(buf_slice(&a->certificate), a->name);
    if (fault)
        snprintf(why, TRUST_WHY_MAX, "%s", fault);
    return fault ? GRID_EINVAL : certificate_id(buf_slice(&a->certificate), a->id);
}

/* `err` is that of filling in the certificate's bytes. */
static int finish_load(struct authority *a, int err, struct authority **out)
{
    if (err == 0)
        *out = a;
    else
        authority_destroy(a);
    return err;
}

int authority_load(struct slice certificate_pem, struct slice key_pem, struct authority **out, char why[TRUST_WHY_MAX])
{
    struct authority *a = authority_new();
    snprintf(why, TRUST_WHY_MAX, "%s", a ? "its certificate is not one in PEM" : grid_err_text(GRID_ENOMEM));
    if (!a)
        return GRID_ENOMEM;
    int err = certificate_parse_pem(certificate_pem, &a->certificate);
    if (err == 0)
        err = take_certificate(a, why);
    if (err == 0 && key_pem.size > 0)
        err = load_key_pem(a, key_pem, why);
    return finish_load(a, err, out);
}

int authority_load_der(struct slice certificate_der, struct slice key_der, struct authority **out, char why[TRUST_WHY_MAX])
{
    struct authority *a = authority_new();
    snprintf(why, TRUST_WHY_MAX, "%s", a ? "its certificate is too long" : grid_err_text(GRID_ENOMEM));
    if (!a)
        return GRID_ENOMEM;
    int err = buf_append(&a->certificate, certificate_der);
    if (err == 0)
        err = take_certificate(a, why);
    if (err == 0 && key_der.size > 0)
        err = load_key_der(a, key_der, why);
    return finish_load(a, err, out);
}

const char *authority_id(const struct authority *a)
{
    return a->id;
}

const char *authority_grid_name(const struct authority *a)
{
    return a->name;
}

struct slice authority_certificate_der(const struct authority *a)
{
    return buf_slice(&a->certificate);
}

bool authority_can_issue(const struct authority *a)
{
    return a->key != NULL;
}

const struct key *authority_key(const struct authority *a)
{
    return a->key;
}

int authority_append_certificate_pem(const struct authority *a, struct buf *out)
{
    return certificate_append_pem(buf_slice(&a->certificate), out);
}

int authority_append_key_pem(const struct authority *a, struct buf *out)
{
    return a->key ? key_append_pem(a->key, out) : GRID_EPERM;
}

int authority_issue(const struct authority *a, const struct certificate_request *request, int64_t now_s, struct buf *der)
{
    if (!a->key)
        return GRID_EPERM;
    return certificate_issue(a->key, buf_slice(&a->certificate), request, now_s, der);
}

int authority_cross_sign(const struct authority *a, const struct authority *other, int64_t now_s, struct buf *der)
{
    if (!a->key)
        return GRID_EPERM;
    return certificate_cross_sign(a->key, buf_slice(&a->certificate), buf_slice(&other->certificate), now_s, der);
}
