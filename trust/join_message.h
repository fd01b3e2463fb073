/* trust/join_message.h: the messages of joining, to bytes and back (docs/formats/join.md). Each is a length of two bytes, a type
 * and a body; those behind the confirmations end with a MAC, which trust/join.h makes and checks. Pure; decoded slices are
 * borrowed from the input. Any thread. */
#ifndef GRID_TRUST_JOIN_MESSAGE_H
#define GRID_TRUST_JOIN_MESSAGE_H

#include "base/buf.h"
#include "trust/certificate.h"

enum {
    JOIN_MESSAGE_MAX = 16 * 1024, /* type and body, without the length */
    JOIN_PREFIX_SIZE = 2,
    JOIN_ADDRESSES_MAX = 8,
    JOIN_ADDRESS_MAX = 253 + 6, /* "host:port" */
    JOIN_PUBLIC_KEY_MAX = 512,
};

enum join_type { JOIN_SHARE = 1, JOIN_CONFIRM = 2, JOIN_STANDING = 3, JOIN_REQUEST = 4, JOIN_GRANT = 5, JOIN_REFUSAL = 6 };

/* Why an exchange goes no further. */
enum join_reason {
    JOIN_NOT_ISSUER = 1, /* this member has no password, or no authority's key: `addresses` may name some that have */
    JOIN_DOOR_CLOSED,    /* joining by password is closed until a new one is set */
    JOIN_BUSY,           /* another exchange is under way: come again */
    JOIN_TOO_MANY,       /* this source has tried too often */
    JOIN_MISMATCH,       /* password or grid's name differ */
    JOIN_OTHER_GRID,     /* two grids of one name, both hardened */
    JOIN_NOT_ADMITTED,   /* the key was evicted, or the request is not sound */
    JOIN_ENOUGH,         /* so many from this source have been let in within the last hour that no more are */
    JOIN_REASON_END,
};

/* What a side says of its grid. */
struct join_standing {
    char authority_id[TRUST_ID_SIZE]; /* lowercase hex */
    bool hardened;  /* yields to nobody */
    bool can_issue;
    bool shared;    /* has more members than this one */
    uint64_t door_epoch;
};

/* A signing request. `signature` is by the key that it names (trust/join.h says over what). */
struct join_request {
    struct slice public_der; /* SubjectPublicKeyInfo, at most JOIN_PUBLIC_KEY_MAX */
    struct slice name;       /* as trust_name_valid asks */
    struct slice addresses[TRUST_ADDRESSES_MAX];
    size_t address_count;
    struct slice signature; /* at most TRUST_SIGNATURE_MAX */
};

struct join_grant {
    struct slice certificate_der; /* at most TRUST_CERTIFICATE_MAX, as is the next */
    struct slice authority_der;
    struct slice ledger; /* opaque here; may be empty */
};

struct join_refusal {
    enum join_reason reason;
    struct slice addresses[JOIN_ADDRESSES_MAX]; /* "host:port", at most JOIN_ADDRESS_MAX bytes of printable ASCII each */
    size_t address_count;
};

struct join_message {
    enum join_type type;
    struct slice signed_part; /* type and body, as received, without the MAC */
    struct slice mac;         /* empty where there is none */
    union {
        struct slice share; /* 32 bytes */
        struct slice tag;   /* 64 bytes */
        struct join_standing standing;
        struct join_request request;
        struct join_grant grant;
        struct join_refusal refusal;
    } u;
};

enum { JOIN_SHARE_SIZE = 32, JOIN_TAG_SIZE = 64, JOIN_MAC_SIZE = 32 };
/* What certificates and ledger of a grant may take together, beside type, lengths and MAC. */
enum { JOIN_GRANT_ROOM = JOIN_MESSAGE_MAX - 1 - 3 * 2 - JOIN_MAC_SIZE };

/* The first whole message of `in`: `*size` is what it took. `sealed` says that it must carry a MAC. 0; GRID_EAGAIN when more
 * must arrive; GRID_EPROTO for anything else than a message that is whole, within its limits, and ends where its length says. */
int join_message_decode(struct slice in, bool sealed, struct join_message *out, size_t *size);

/* Appends type and body, without the length before and the MAC behind. 0, GRID_EINVAL (beyond a limit), GRID_ELIMIT,
 * GRID_ENOMEM. */
int join_message_encode(const struct join_message *m, struct buf *out);

/* Appends what a request's signature covers beside the channel: all of it but the signature. */
int join_request_encode_unsigned(const struct join_request *r, struct buf *out);

/* A clause for people: "the password or the grid's name differs". Static storage. */
const char *join_reason_text(enum join_reason reason);

#endif
