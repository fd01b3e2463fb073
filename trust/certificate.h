/* trust/certificate.h: what a certificate of a grid says, and how it is built and read. No sockets; time is given. Any thread.
 *
 * A leaf names its holder in the subject's CN, and carries as subjectAltName its roles (URI gridcontrol://role/ROLE), its id as the
 * DNS name of trust_dns_name, its own name, localhost and its addresses, so that ordinary TLS clients verify it by any of them. */
#ifndef GRID_TRUST_CERTIFICATE_H
#define GRID_TRUST_CERTIFICATE_H

#include "trust/key.h"

/* The same numbers as net/tls.h's enum tls_role. */
enum trust_role { TRUST_ROLE_NONE = 0, TRUST_ROLE_NODE = 1, TRUST_ROLE_ADMIN = 2, TRUST_ROLE_INVOKE = 4 };
enum { TRUST_ROLES_ALL = 7, TRUST_NAME_MAX = 63, TRUST_ADDRESSES_MAX = 16, TRUST_CERTIFICATE_MAX = 8192 };
enum { TRUST_BACKDATE_S = 3600, TRUST_LONG_LIFE_DAYS = 7305 };

/* "node", "admin", "invoke"; NULL for anything else. Static storage. */
const char *trust_role_name(unsigned role);
/* One role's number, TRUST_ROLE_NONE when the name is none. */
unsigned trust_role_parse(struct slice name);
/* True for 1 to 63 bytes of UTF-8 without control characters: what a node, a grid or a client may be called in a certificate. */
bool trust_name_valid(struct slice name);

/* The DNS name that a node's certificate carries for its id: ordinary clients verify against it whatever address they dialled. A label
 * holds 63 octets (RFC 1035, 2.3.4), so the id's 64 digits stand as two: "<32 digits>.<32 digits>.node.grid". */
enum { TRUST_DNS_NAME_SIZE = 80 };
void trust_dns_name(const char id[TRUST_ID_SIZE], char out[TRUST_DNS_NAME_SIZE]);

struct certificate_request {
    struct slice public_der; /* SubjectPublicKeyInfo of the holder, P-256 */
    const char *name;        /* CN: the node's or the client's name */
    unsigned roles;          /* of enum trust_role, at least one */
    unsigned days;           /* until it ends; 0: long-lived, 20 years */
    const char *const *addresses; /* further SANs: IP addresses or DNS names without port; what is neither is left out */
    size_t address_count;         /* at most TRUST_ADDRESSES_MAX */
    bool name_is_host;            /* of a node: its name is a SAN too. An operator's word, or one that was looked at: who joins calls himself as he likes */
};

/* For trust/ alone. A self-signed CA certificate, and a leaf signed by `issuer_key`; backdated an hour, `now_s` is Unix time. Appends DER.
 * 0, GRID_EINVAL (a bad name, role or public key), GRID_ELIMIT or GRID_ENOMEM. */
int certificate_self_sign(const struct key *k, const char *name, int64_t now_s, struct buf *der);
int certificate_issue(const struct key *issuer_key, struct slice issuer_der, const struct certificate_request *request, int64_t now_s,
                      struct buf *der);

/* The certificate of one authority's key signed by another authority: its name and key, the other's signature. Errors as above. */
int certificate_cross_sign(const struct key *issuer_key, struct slice issuer_der, struct slice subject_der, int64_t now_s, struct buf *der);

/* DER of the one certificate in a PEM text, and back. 0, GRID_EINVAL, GRID_ELIMIT, GRID_ENOMEM. */
int certificate_parse_pem(struct slice pem, struct buf *der);
int certificate_append_pem(struct slice der, struct buf *pem);

/* A whole DER certificate with nothing behind it, at most TRUST_CERTIFICATE_MAX bytes; NULL for anything else. The caller frees it
 * with X509_free. */
X509 *certificate_parse(struct slice der);
/* Hex SHA-256 of its SubjectPublicKeyInfo. 0 or GRID_EINVAL. */
int certificate_id(struct slice der, char id[TRUST_ID_SIZE]);
int certificate_id_parsed(X509 *x, char id[TRUST_ID_SIZE]);
/* Whether one key signed both, by what they say of it (RFC 5280, 4.2.1.1); false for what is no certificate. */
bool certificate_same_issuer(struct slice a, struct slice b);
/* The start of the issuer's id by which a certificate names the key that signed it: 40 digits. 0; GRID_ENOENT when it names none. It is a
 * claim: verify_chain proves it. */
enum { TRUST_ISSUER_SIZE = 41 };
int certificate_issuer(struct slice der, char issuer[TRUST_ISSUER_SIZE]);
/* The CN into `name` ("" when it has none or an unsound one), and its roles. */
void certificate_name(const X509 *certificate, char name[TRUST_NAME_MAX + 1]);
unsigned certificate_roles(const X509 *certificate);

#endif
