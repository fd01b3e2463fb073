/* Authorities, identities and what a verifier says of certificates; OpenSSL's own command line is the second opinion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "trust/authority.h"
#include "trust/identity.h"
#include "trust/verify.h"

enum { DAY = 86400 };
static const int64_t NOW = 1900000000;

struct rig {
    struct authority *authority;
    struct key *node;
    struct verifier *verifier;
    char folder[64];
};

static struct authority *mint(const char *name)
{
    struct authority *a;
    assert_int_equal(authority_mint(name, NOW, &a), 0);
    return a;
}

static struct verifier *verifier_of(const struct authority *a, const char *revoked)
{
    struct verifier *v;
    struct slice der = authority_certificate_der(a);
    assert_int_equal(verifier_create(&der, 1, &revoked, revoked ? 1 : 0, &v), 0);
    return v;
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    r->authority = mint("demo");
    assert_int_equal(key_mint(&r->node), 0);
    r->verifier = verifier_of(r->authority, NULL);
    snprintf(r->folder, sizeof r->folder, "/tmp/trust-test-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", r->folder);
    assert_int_equal(system(command), 0);
    verifier_destroy(r->verifier);
    key_destroy(r->node);
    authority_destroy(r->authority);
    free(r);
    return 0;
}

static void issue(const struct authority *a, const struct key *k, unsigned roles, unsigned days, int64_t now_s, struct buf *der)
{
    static const char *const addresses[] = {"192.0.2.7", "node.example", "2001:db8::1", "not an address!"};
    struct certificate_request request = {key_public_der(k), "fluffy-donkey", roles, days, addresses, 4, true};
    buf_init(der, 0);
    assert_int_equal(authority_issue(a, &request, now_s, der), 0);
}

static void judge(const struct verifier *v, const struct buf *der, int64_t now_s, const char *expected)
{
    struct verify_holder holder;
    char why[TRUST_WHY_MAX] = "";
    struct slice chain = buf_slice(der);
    int err = verify_chain(v, &chain, 1, now_s, &holder, why);
    assert_int_equal(err, expected ? GRID_EPERM : 0);
    if (expected)
        assert_non_null(strstr(why, expected));
    if (expected)
        assert_int_equal(holder.roles, 0);
    assert_int_equal(holder.untimely, expected && (strstr(expected, "expired") || strstr(expected, "clock") || strstr(expected, "valid in")));
}

static void test_verify__accepts_a_node_and_says_who_it_is(void **state)
{
    struct rig *r = *state;
    struct verify_holder holder;
    char why[TRUST_WHY_MAX];
    struct buf der;
    issue(r->authority, r->node, TRUST_ROLE_NODE | TRUST_ROLE_ADMIN, 0, NOW, &der);
    struct slice chain[2] = {buf_slice(&der), authority_certificate_der(r->authority)};
    assert_int_equal(verify_chain(r->verifier, chain, 2, NOW, &holder, why), 0);
    assert_string_equal(holder.id, key_id(r->node));
    assert_string_equal(holder.name, "fluffy-donkey");
    assert_int_equal(holder.roles, TRUST_ROLE_NODE | TRUST_ROLE_ADMIN);
    buf_dispose(&der);
}

static void test_verify__is_lenient_with_the_clocks_of_nodes_only(void **state)
{
    struct rig *r = *state;
    static const struct {
        unsigned role, days;
        int64_t offset_s;
        const char *expected;
    } cases[] = {
        {TRUST_ROLE_NODE, 30, -20 * 3600, NULL},
        {TRUST_ROLE_NODE, 30, -30 * 3600, "only valid in"},
        {TRUST_ROLE_NODE, 30, 30 * DAY + 20 * 3600, NULL},
        {TRUST_ROLE_NODE, 30, 33 * DAY, "it expired 3 days ago"},
        {TRUST_ROLE_NODE, 0, 19 * 365 * DAY, NULL},
        {TRUST_ROLE_INVOKE, 30, -1800, NULL},
        {TRUST_ROLE_INVOKE, 30, -4200, "is a clock wrong?"},
        {TRUST_ROLE_INVOKE, 30, 30 * DAY + 200, NULL},
        {TRUST_ROLE_INVOKE, 30, 30 * DAY + 400, "it expired 400 seconds ago"},
        {TRUST_ROLE_ADMIN, 1, DAY + 3 * 3600, "it expired 3 hours ago"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf der;
        issue(r->authority, r->node, cases[i].role, cases[i].days, NOW, &der);
        judge(r->verifier, &der, NOW + cases[i].offset_s, cases[i].expected);
        buf_dispose(&der);
    }
}

static void test_verify__refuses_strangers_with_a_reason(void **state)
{
    struct rig *r = *state;
    struct buf der;
    struct authority *other = mint("demo");
    issue(other, r->node, TRUST_ROLE_NODE, 0, NOW, &der);
    judge(r->verifier, &der, NOW, "another grid's authority issued it (it calls itself \"demo\")");
    buf_dispose(&der);
    buf_init(&der, 0);
    assert_int_equal(certificate_self_sign(r->node, "impostor", NOW, &der), 0);
    judge(r->verifier, &der, NOW, "self-signed");
    buf_clear(&der);
    buf_append(&der, authority_certificate_der(r->authority));
    judge(r->verifier, &der, NOW, "an authority's certificate");
    buf_clear(&der);
    buf_append_str(&der, "garbage");
    judge(r->verifier, &der, NOW, "cannot be read");
    buf_dispose(&der);
    authority_destroy(other);
}

static void test_verify__refuses_trailing_bytes_flipped_bits_and_no_chain(void **state)
{
    struct rig *r = *state;
    struct verify_holder holder;
    char why[TRUST_WHY_MAX];
    struct buf der;
    assert_int_equal(verify_chain(r->verifier, NULL, 0, NOW, &holder, why), GRID_EPERM);
    assert_string_equal(why, "no certificate was given");
    issue(r->authority, r->node, TRUST_ROLE_NODE, 0, NOW, &der);
    for (size_t at = 0; at < der.size; at += 7) {
        struct slice chain = buf_slice(&der);
        der.data[at] ^= 0x10;
        assert_int_equal(verify_chain(r->verifier, &chain, 1, NOW, &holder, why), GRID_EPERM);
        der.data[at] ^= 0x10;
    }
    buf_append_byte(&der, 0);
    judge(r->verifier, &der, NOW, "cannot be read");
    buf_dispose(&der);
}

static void test_verify__refuses_an_evicted_key(void **state)
{
    struct rig *r = *state;
    struct buf der;
    struct verifier *v = verifier_of(r->authority, key_id(r->node));
    issue(r->authority, r->node, TRUST_ROLE_NODE, 0, NOW, &der);
    judge(v, &der, NOW, "evicted");
    buf_dispose(&der);
    struct authority *before = mint("demo"); /* it was an issuer, and its authority went with it */
    issue(before, r->node, TRUST_ROLE_NODE, 0, NOW, &der);
    judge(v, &der, NOW, "evicted");
    buf_dispose(&der);
    authority_destroy(before);
    verifier_destroy(v);
}

static void test_verify__accepts_two_authorities_while_they_change(void **state)
{
    struct rig *r = *state;
    struct authority *next = mint("demo");
    struct slice both[2] = {authority_certificate_der(r->authority), authority_certificate_der(next)};
    struct slice many[VERIFY_AUTHORITIES_MAX + 1] = {both[0], both[0], both[0], both[0], both[0]};
    struct verifier *v, *none = NULL;
    assert_int_equal(verifier_create(both, 2, NULL, 0, &v), 0);
    assert_int_equal(verifier_create(many, VERIFY_AUTHORITIES_MAX + 1, NULL, 0, &none), GRID_ELIMIT);
    assert_int_equal(verifier_create(&(struct slice) SLICE_INIT("x"), 1, NULL, 0, &none), GRID_EINVAL);
    const struct authority *issuers[2] = {r->authority, next};
    for (int i = 0; i < 2; i++) {
        struct buf der;
        issue(issuers[i], r->node, TRUST_ROLE_NODE, 0, NOW, &der);
        judge(v, &der, NOW, NULL);
        buf_dispose(&der);
    }
    verifier_destroy(v);
    authority_destroy(next);
}

/* The authority's hand, for certificates that authority_issue refuses to make. */
struct odd {
    bool usages, server_usage, roles, critical, version1, sha384, p384, no_signature_usage;
    const char *expected;
};

/* An authority that was replaced at once while another one came into use: who was known then has a certificate of the one or of the other. */
static void test_verify__accepts_the_known_of_an_authority_that_was_replaced_and_of_its_follower(void **state)
{
    struct rig *r = *state;
    struct authority *before = mint("demo"), *coming = mint("demo"), *strange = mint("demo");
    struct verifier *v = verifier_of(r->authority, NULL);
    const char *const known[] = {key_id(r->node)};
    struct key *other;
    struct buf der;
    assert_int_equal(key_mint(&other), 0);
    assert_int_equal(verifier_add_pinned(v, authority_certificate_der(before), known, 1), 0);
    assert_int_equal(verifier_add_pinning(v, authority_certificate_der(coming)), 0);
    assert_int_equal(verifier_add_pinning(v, authority_certificate_der(strange)), GRID_ELIMIT);
    const struct authority *issuers[] = {before, coming, strange};
    for (size_t i = 0; i < 3; i++) {
        issue(issuers[i], r->node, TRUST_ROLE_NODE, 0, NOW, &der);
        judge(v, &der, NOW, i < 2 ? NULL : "another grid's authority issued it");
        assert_int_equal(verifier_refuses(v, key_id(r->node), authority_id(issuers[i])), i == 2);
        buf_dispose(&der);
        issue(issuers[i], other, TRUST_ROLE_NODE, 0, NOW, &der);
        judge(v, &der, NOW, i < 2 ? "it was no member then" : "another grid's authority issued it");
        buf_dispose(&der);
    }
    key_destroy(other);
    authority_destroy(before), authority_destroy(coming), authority_destroy(strange);
    verifier_destroy(v);
}

static void odd_extensions(X509 *x, const struct odd *odd)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    const struct {
        int nid;
        const char *text;
        bool wanted;
    } rows[] = {
        {NID_ext_key_usage, odd->server_usage ? "clientAuth,serverAuth" : "serverAuth", odd->usages},
        {NID_ext_key_usage, "clientAuth", !odd->usages && odd->server_usage},
        {NID_subject_alt_name, "URI:gridcontrol://role/node,URI:gridcontrol://role/king", odd->roles},
        {NID_subject_alt_name, "URI:gridcontrol://role/king,DNS:node", !odd->roles},
        {NID_name_constraints, "critical,permitted;DNS:x", false},
        {NID_key_usage, "keyAgreement", odd->no_signature_usage},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!rows[i].wanted)
            continue;
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, rows[i].nid, rows[i].text);
        assert_non_null(e);
        X509_add_ext(x, e, -1);
        X509_EXTENSION_free(e);
    }
    if (odd->critical) {
        ASN1_OCTET_STRING *data = ASN1_OCTET_STRING_new();
        ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.4.1.55555.1", 1);
        ASN1_OCTET_STRING_set(data, (const uint8_t *) "\x05\x00", 2);
        X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, data);
        X509_add_ext(x, e, -1);
        X509_EXTENSION_free(e);
        ASN1_OBJECT_free(oid);
        ASN1_OCTET_STRING_free(data);
    }
}

static void odd_certificate(const struct rig *r, const struct odd *odd, struct buf *der)
{
    struct buf pem;
    struct key *signer;
    char why[TRUST_WHY_MAX];
    uint8_t *bytes = NULL;
    buf_init(&pem, 0);
    assert_int_equal(authority_append_key_pem(r->authority, &pem), 0);
    assert_int_equal(key_parse_pem(buf_slice(&pem), &signer, why), 0);
    EVP_PKEY *holder = odd->p384 ? EVP_EC_gen("P-384") : NULL;
    X509 *x = X509_new();
    X509_set_version(x, odd->version1 ? X509_VERSION_1 : X509_VERSION_3);
    X509_set_pubkey(x, holder ? holder : key_pkey(r->node));
    ASN1_TIME_set(X509_getm_notBefore(x), (time_t) NOW - DAY);
    ASN1_TIME_set(X509_getm_notAfter(x), (time_t) NOW + DAY);
    if (!odd->version1)
        odd_extensions(x, odd);
    assert_true(X509_sign(x, key_pkey(signer), odd->sha384 ? EVP_sha384() : EVP_sha256()) > 0);
    int size = i2d_X509(x, &bytes);
    buf_init(der, 0);
    buf_append(der, slice_of(bytes, (size_t) size));
    OPENSSL_free(bytes);
    X509_free(x);
    EVP_PKEY_free(holder);
    key_destroy(signer);
    buf_dispose(&pem);
}

static void test_verify__refuses_what_the_authority_never_issues(void **state)
{
    struct rig *r = *state;
    static const struct odd cases[] = {
        {.usages = true, .server_usage = true, .roles = true, .expected = NULL},
        {.usages = true, .roles = true, .expected = "not meant for TLS clients"},
        {.server_usage = true, .roles = true, .expected = "not meant for TLS servers"},
        {.roles = true, .expected = "not meant for TLS clients"},
        {.usages = true, .server_usage = true, .expected = "no role"},
        {.usages = true, .server_usage = true, .roles = true, .critical = true, .expected = "critical extension"},
        {.usages = true, .server_usage = true, .roles = true, .version1 = true, .expected = "version 3"},
        {.usages = true, .server_usage = true, .roles = true, .sha384 = true, .expected = "SHA-256"},
        {.usages = true, .server_usage = true, .roles = true, .p384 = true, .expected = "P-256"},
        {.usages = true, .server_usage = true, .roles = true, .no_signature_usage = true, .expected = "signatures"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf der;
        odd_certificate(r, &cases[i], &der);
        judge(r->verifier, &der, NOW, cases[i].expected);
        buf_dispose(&der);
    }
}

static void test_authority__survives_pem_and_refuses_what_does_not_fit(void **state)
{
    struct rig *r = *state;
    struct buf certificate, key, other_key;
    struct authority *other = mint("other"), *back = NULL;
    char why[TRUST_WHY_MAX];
    buf_init(&certificate, 0), buf_init(&key, 0), buf_init(&other_key, 0);
    assert_int_equal(authority_append_certificate_pem(r->authority, &certificate), 0);
    assert_int_equal(authority_append_key_pem(r->authority, &key), 0);
    assert_int_equal(authority_append_key_pem(other, &other_key), 0);
    assert_int_equal(authority_load(buf_slice(&certificate), buf_slice(&key), &back, why), 0);
    assert_string_equal(authority_id(back), authority_id(r->authority));
    assert_string_equal(authority_grid_name(back), "demo");
    assert_true(authority_can_issue(back));
    authority_destroy(back);
    assert_int_equal(authority_load(buf_slice(&certificate), buf_slice(&other_key), &back, why), GRID_EINVAL);
    assert_string_equal(why, "its key is not the certificate's");
    assert_int_equal(authority_load(buf_slice(&certificate), SLICE("x"), &back, why), GRID_EINVAL);
    assert_non_null(strstr(why, "its key cannot be used"));
    assert_int_equal(authority_load(SLICE("x"), buf_slice(&key), &back, why), GRID_EINVAL);
    assert_string_equal(why, "its certificate is not one in PEM");
    buf_dispose(&certificate), buf_dispose(&key), buf_dispose(&other_key);
    authority_destroy(other);
}

/* Strict readers (Go's, Rust's) refuse a certificate whose "true" is another byte than 0xff (X.690, 11.1). */
static void test_authority__is_der_to_the_last_byte(void **state)
{
    static const uint8_t CONSTRAINTS[] = {0x30, 6, 1, 1, 0xff, 2, 1, 0}; /* cA true, pathLenConstraint 0 */
    struct rig *r = *state;
    struct slice der = authority_certificate_der(r->authority);
    assert_non_null(memmem(der.data, der.size, CONSTRAINTS, sizeof CONSTRAINTS));
}

static void test_authority__refuses_a_leaf_in_its_place(void **state)
{
    struct rig *r = *state;
    struct buf der, pem;
    struct authority *back;
    char why[TRUST_WHY_MAX];
    issue(r->authority, r->node, TRUST_ROLE_NODE, 0, NOW, &der);
    buf_init(&pem, 0);
    assert_int_equal(certificate_append_pem(buf_slice(&der), &pem), 0);
    assert_int_equal(authority_load(buf_slice(&pem), SLICE(""), &back, why), GRID_EINVAL);
    assert_string_equal(why, "its certificate is not an authority's");
    buf_dispose(&pem);
    buf_dispose(&der);
}

static void test_authority__issues_nothing_without_its_key_nor_on_a_bad_request(void **state)
{
    struct rig *r = *state;
    struct buf pem, der;
    struct authority *deaf;
    char why[TRUST_WHY_MAX], long_name[80];
    buf_init(&pem, 0), buf_init(&der, 0);
    memset(long_name, 'a', sizeof long_name);
    long_name[64] = '\0';
    authority_append_certificate_pem(r->authority, &pem);
    assert_int_equal(authority_load(buf_slice(&pem), SLICE(""), &deaf, why), 0);
    struct slice public_der = key_public_der(r->node);
    const struct certificate_request good = {.public_der = public_der, .name = "a", .roles = TRUST_ROLE_NODE};
    assert_int_equal(authority_issue(deaf, &good, NOW, &der), GRID_EPERM);
    const struct certificate_request bad[] = {
        {.public_der = public_der, .name = "", .roles = TRUST_ROLE_NODE},
        {.public_der = public_der, .name = long_name, .roles = TRUST_ROLE_NODE},
        {.public_der = public_der, .name = "a\nb", .roles = TRUST_ROLE_NODE},
        {.public_der = public_der, .name = "\xff", .roles = TRUST_ROLE_NODE},
        {.public_der = public_der, .name = "a", .roles = 0},
        {.public_der = public_der, .name = "a", .roles = 8},
        {.public_der = public_der, .name = "a", .roles = TRUST_ROLE_NODE, .days = 100000},
        {.public_der = slice_first(public_der, public_der.size - 1), .name = "a", .roles = TRUST_ROLE_NODE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(authority_issue(r->authority, &bad[i], NOW, &der), GRID_EINVAL);
    assert_int_equal(der.size, 0);
    authority_destroy(deaf);
    buf_dispose(&pem), buf_dispose(&der);
}

static void put(const struct rig *r, const char *name, const struct buf *content)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", r->folder, name);
    assert_int_equal(trust_file_write(path, buf_slice(content), 0600), 0);
}

/* Output of a shell command run in the rig's folder; its status in *status. */
static void run(const struct rig *r, const char *command, char out[8192], int *status)
{
    char line[512];
    snprintf(line, sizeof line, "cd '%s' && %s 2>&1", r->folder, command);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    size_t got = fread(out, 1, 8191, pipe);
    out[got] = '\0';
    *status = pclose(pipe);
}

static void put_pems(const struct rig *r, struct buf *der)
{
    struct buf pem;
    buf_init(&pem, 0);
    authority_append_certificate_pem(r->authority, &pem);
    put(r, "ca.pem", &pem);
    buf_clear(&pem);
    certificate_append_pem(buf_slice(der), &pem);
    put(r, "leaf.pem", &pem);
    buf_clear(&pem);
    key_append_pem(r->node, &pem);
    put(r, "leaf.key", &pem);
    buf_dispose(&pem);
}

static void test_certificate__is_what_the_openssl_tool_verifies(void **state)
{
    struct rig *r = *state;
    char out[8192], dns[TRUST_DNS_NAME_SIZE], command[256], id[TRUST_ID_SIZE + 8];
    int status;
    struct buf der;
    issue(r->authority, r->node, TRUST_ROLE_NODE, 0, NOW, &der);
    put_pems(r, &der);
    trust_dns_name(key_id(r->node), dns);
    const char *const names[] = {"-verify_hostname localhost", "-verify_hostname fluffy-donkey", "-verify_hostname node.example",
                                 "-verify_ip 127.0.0.1",       "-verify_ip ::1",                 "-verify_ip 2001:db8::1",
                                 "-purpose sslserver",         "-purpose sslclient"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(command, sizeof command, "openssl verify -x509_strict -attime 1900000000 -CAfile ca.pem %s leaf.pem", names[i]);
        run(r, command, out, &status);
        assert_int_equal(status, 0);
    }
    snprintf(command, sizeof command, "openssl verify -attime 1900000000 -CAfile ca.pem -verify_hostname %s leaf.pem", dns);
    run(r, command, out, &status);
    assert_int_equal(status, 0);
    run(r, "openssl x509 -in leaf.pem -noout -text", out, &status);
    assert_non_null(strstr(out, "URI:gridcontrol://role/node"));
    assert_non_null(strstr(out, "CN = fluffy-donkey"));
    assert_non_null(strstr(out, "TLS Web Client Authentication, TLS Web Server Authentication"));
    assert_null(strstr(out, "not an address"));
    run(r, "openssl pkey -in leaf.key -pubout -outform DER | sha256sum", out, &status);
    snprintf(id, sizeof id, "%s", key_id(r->node));
    assert_memory_equal(out, id, 64);
    buf_dispose(&der);
}

static void test_key__signs_what_the_openssl_tool_verifies(void **state)
{
    struct rig *r = *state;
    uint8_t signature[TRUST_SIGNATURE_MAX];
    size_t size;
    char out[8192];
    int status;
    struct buf der, file;
    issue(r->authority, r->node, TRUST_ROLE_NODE, 0, NOW, &der);
    put_pems(r, &der);
    assert_int_equal(key_sign(r->node, SLICE("a release"), signature, &size), 0);
    assert_int_equal(verify_signature(buf_slice(&der), SLICE("a release"), slice_of(signature, size)), 0);
    assert_int_equal(verify_signature(buf_slice(&der), SLICE("a Release"), slice_of(signature, size)), GRID_EPERM);
    assert_int_equal(verify_signature(authority_certificate_der(r->authority), SLICE("a release"), slice_of(signature, size)), GRID_EPERM);
    assert_int_equal(verify_signature(SLICE("x"), SLICE("a release"), slice_of(signature, size)), GRID_EPERM);
    buf_init(&file, 0);
    buf_append(&file, slice_of(signature, size));
    put(r, "signature", &file);
    run(r, "printf 'a release' > text; openssl x509 -in leaf.pem -pubkey -noout > pub.pem; openssl dgst -sha256 -verify pub.pem -signature signature text",
        out, &status);
    assert_string_equal(out, "Verified OK\n");
    buf_dispose(&file);
    buf_dispose(&der);
}

static void test_key__refuses_other_kinds_with_a_reason(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *make, *expected;
    } cases[] = {
        {"openssl genpkey -algorithm ed25519", "ED25519, not ECDSA on P-256"},
        {"openssl ecparam -name secp384r1 -genkey -noout", "not ECDSA on P-256"},
        {"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes128 -pass pass:secret", "not an unencrypted private key"},
        {"echo hello", "not an unencrypted private key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[8192], why[TRUST_WHY_MAX];
        int status;
        struct key *k;
        run(r, cases[i].make, out, &status);
        assert_int_equal(key_parse_pem(slice_of_str(out), &k, why), GRID_EINVAL);
        assert_non_null(strstr(why, cases[i].expected));
    }
}

/* The private key of one, which says that the other's public key belongs to it. */
static void test_key__is_refused_when_it_claims_anothers_public_key(void **state)
{
    struct rig *r = *state;
    enum { POINT = 65 };
    struct key *victim, *k;
    struct buf der;
    char out[8192], why[TRUST_WHY_MAX];
    int status;
    assert_int_equal(key_mint(&victim), 0);
    buf_init(&der, 0);
    buf_append(&der, key_private_der(r->node));
    assert_int_equal(key_parse_der(buf_slice(&der), &k), 0);
    key_destroy(k);
    struct slice theirs = key_public_der(victim);
    memcpy(der.data + der.size - POINT, theirs.data + theirs.size - POINT, POINT);
    assert_int_equal(key_parse_der(buf_slice(&der), &k), GRID_EINVAL);
    put(r, "forged.der", &der);
    run(r, "echo -----BEGIN PRIVATE KEY-----; base64 forged.der; echo -----END PRIVATE KEY-----", out, &status);
    assert_int_equal(key_parse_pem(slice_of_str(out), &k, why), GRID_EINVAL);
    assert_string_equal(why, "its public key is not its private key's");
    buf_dispose(&der);
    key_destroy(victim);
}

static void test_identity__keeps_its_key_and_its_secret(void **state)
{
    struct rig *r = *state;
    struct key *first, *second;
    struct stat info;
    char sentence[TRUST_SENTENCE_MAX], path[128];
    assert_int_equal(identity_load(r->folder, &first, sentence), 0);
    assert_int_equal(identity_load(r->folder, &second, sentence), 0);
    assert_string_equal(key_id(first), key_id(second));
    snprintf(path, sizeof path, "%s/node.key", r->folder);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    key_destroy(second);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(identity_load(r->folder, &second, sentence), GRID_EPERM);
    assert_non_null(strstr(sentence, "run chmod 600 "));
    struct buf garbage;
    buf_init(&garbage, 0);
    buf_append_str(&garbage, "garbage");
    put(r, "node.key", &garbage);
    assert_int_equal(identity_load(r->folder, &second, sentence), GRID_EINVAL);
    assert_non_null(strstr(sentence, "cannot be used"));
    assert_int_equal(identity_load("/nonexistent/folder", &second, sentence), GRID_ENOENT);
    assert_non_null(strstr(sentence, "/nonexistent/folder/node.key"));
    buf_dispose(&garbage);
    key_destroy(first);
}

static void test_identity__keeps_a_certificate_for_its_own_key_only(void **state)
{
    struct rig *r = *state;
    char sentence[TRUST_SENTENCE_MAX];
    struct key *other;
    struct buf der, back;
    buf_init(&back, 0);
    assert_int_equal(identity_certificate_load(r->folder, r->node, &back, sentence), GRID_ENOENT);
    issue(r->authority, r->node, TRUST_ROLE_NODE, 0, NOW, &der);
    assert_int_equal(identity_certificate_store(r->folder, buf_slice(&der), sentence), 0);
    assert_int_equal(identity_certificate_load(r->folder, r->node, &back, sentence), 0);
    assert_true(slice_equal(buf_slice(&back), buf_slice(&der)));
    assert_int_equal(key_mint(&other), 0);
    buf_clear(&back);
    assert_int_equal(identity_certificate_load(r->folder, other, &back, sentence), GRID_EINVAL);
    assert_non_null(strstr(sentence, "is not for this node's key"));
    key_destroy(other);
    buf_dispose(&back);
    buf_dispose(&der);
}

static void test_certificate__tells_whether_one_key_signed_two(void **state)
{
    struct rig *r = *state;
    struct authority *other = mint("demo");
    struct buf first, later, foreign;
    issue(r->authority, r->node, TRUST_ROLE_NODE, 0, NOW, &first);
    issue(r->authority, r->node, TRUST_ROLE_NODE, 0, NOW + 1000, &later);
    issue(other, r->node, TRUST_ROLE_NODE, 0, NOW, &foreign);
    assert_true(certificate_same_issuer(buf_slice(&first), buf_slice(&later)));
    assert_false(certificate_same_issuer(buf_slice(&first), buf_slice(&foreign)));
    assert_false(certificate_same_issuer(buf_slice(&first), SLICE("no certificate")));
    assert_false(certificate_same_issuer(SLICE("no certificate"), SLICE("no certificate")));
    char issuer[TRUST_ISSUER_SIZE];
    assert_int_equal(certificate_issuer(buf_slice(&first), issuer), 0);
    assert_memory_equal(issuer, authority_id(r->authority), sizeof issuer - 1);
    assert_int_equal(certificate_issuer(SLICE("no certificate"), issuer), GRID_ENOENT);
    buf_dispose(&first);
    buf_dispose(&later);
    buf_dispose(&foreign);
    authority_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_certificate__tells_whether_one_key_signed_two, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify__accepts_a_node_and_says_who_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify__is_lenient_with_the_clocks_of_nodes_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify__refuses_strangers_with_a_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify__refuses_trailing_bytes_flipped_bits_and_no_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify__refuses_an_evicted_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify__accepts_two_authorities_while_they_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify__accepts_the_known_of_an_authority_that_was_replaced_and_of_its_follower, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verify__refuses_what_the_authority_never_issues, setup, teardown),
        cmocka_unit_test_setup_teardown(test_authority__survives_pem_and_refuses_what_does_not_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_authority__is_der_to_the_last_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_authority__refuses_a_leaf_in_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_authority__issues_nothing_without_its_key_nor_on_a_bad_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_certificate__is_what_the_openssl_tool_verifies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_key__signs_what_the_openssl_tool_verifies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_key__refuses_other_kinds_with_a_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(test_key__is_refused_when_it_claims_anothers_public_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_identity__keeps_its_key_and_its_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(test_identity__keeps_a_certificate_for_its_own_key_only, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
