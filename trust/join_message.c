/* Reading through one bounds-checked cursor, writing in the same order. */
#include "trust/join_message.h"

#include "base/err.h"
#include "base/hex.h"

/* ---- reading ---- */

struct cursor {
    struct slice rest;
    bool failed; /* once true, all further reads give zeros */
};

static struct slice take(struct cursor *c, size_t size)
{
    if (c->failed || size > c->rest.size) {
        c->failed = true;
        return slice_of(NULL, 0);
    }
    struct slice taken = slice_first(c->rest, size);
    c->rest = slice_from(c->rest, size);
    return taken;
}

/* Big-endian, of 1 to 8 bytes. */
static uint64_t take_number(struct cursor *c, size_t size)
{
    struct slice bytes = take(c, size);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size; i++)
        value = value << 8 | bytes.data[i];
    return value;
}

/* A length of two bytes and as many bytes, `least` to `most`. */
static struct slice take_sized(struct cursor *c, size_t least, size_t most)
{
    size_t size = (size_t) take_number(c, 2);
    if (size < least || size > most)
        c->failed = true;
    return take(c, size);
}

static bool is_printable(struct slice s)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] <= 0x20 || s.data[i] >= 0x7f)
            return false;
    return true;
}

static size_t take_addresses(struct cursor *c, struct slice *out, size_t most)
{
    size_t count = (size_t) take_number(c, 1);
    if (count > most)
        c->failed = true;
    for (size_t i = 0; i < count && !c->failed; i++) {
        out[i] = take_sized(c, 1, JOIN_ADDRESS_MAX);
        if (!is_printable(out[i]))
            c->failed = true;
    }
    return count;
}

static void read_share(struct cursor *c, struct join_message *m)
{
    m->u.share = take(c, JOIN_SHARE_SIZE);
}

static void read_confirm(struct cursor *c, struct join_message *m)
{
    m->u.tag = take(c, JOIN_TAG_SIZE);
}

static void read_standing(struct cursor *c, struct join_message *m)
{
    struct slice id = take(c, 32);
    uint64_t flags = take_number(c, 1);
    m->u.standing.door_epoch = take_number(c, 8);
    m->u.standing.hardened = flags & 1;
    m->u.standing.can_issue = flags & 2;
    m->u.standing.shared = flags & 4;
    if (flags > 7)
        c->failed = true;
    if (!c->failed)
        hex_encode(id, m->u.standing.authority_id);
}

static void read_request(struct cursor *c, struct join_message *m)
{
    struct join_request *r = &m->u.request;
    r->public_der = take_sized(c, 1, JOIN_PUBLIC_KEY_MAX);
    r->name = take_sized(c, 1, TRUST_NAME_MAX);
    r->address_count = take_addresses(c, r->addresses, TRUST_ADDRESSES_MAX);
    r->signature = take_sized(c, 1, TRUST_SIGNATURE_MAX);
    if (!c->failed && !trust_name_valid(r->name))
        c->failed = true;
}

static void read_grant(struct cursor *c, struct join_message *m)
{
    m->u.grant.certificate_der = take_sized(c, 1, TRUST_CERTIFICATE_MAX);
    m->u.grant.authority_der = take_sized(c, 1, TRUST_CERTIFICATE_MAX);
    m->u.grant.ledger = take_sized(c, 0, JOIN_MESSAGE_MAX);
}

static void read_refusal(struct cursor *c, struct join_message *m)
{
    uint64_t reason = take_number(c, 1);
    if (reason == 0 || reason >= JOIN_REASON_END)
        c->failed = true;
    m->u.refusal.reason = (enum join_reason) reason;
    m->u.refusal.address_count = take_addresses(c, m->u.refusal.addresses, JOIN_ADDRESSES_MAX);
}

static void (*const READERS[])(struct cursor *, struct join_message *) = {
    [JOIN_SHARE] = read_share, [JOIN_CONFIRM] = read_confirm, [JOIN_STANDING] = read_standing,
    [JOIN_REQUEST] = read_request, [JOIN_GRANT] = read_grant, [JOIN_REFUSAL] = read_refusal,
};
enum { READER_COUNT = sizeof READERS / sizeof *READERS };

static int decode_whole(struct slice message, bool sealed, struct join_message *out)
{
    size_t mac_size = sealed ? JOIN_MAC_SIZE : 0;
    if (message.size < 1 + mac_size)
        return GRID_EPROTO;
    *out = (struct join_message){.signed_part = slice_first(message, message.size - mac_size),
                                 .mac = slice_from(message, message.size - mac_size)};
    struct cursor c = {.rest = out->signed_part};
    uint64_t type = take_number(&c, 1);
    if (type >= READER_COUNT || !READERS[type])
        return GRID_EPROTO;
    out->type = (enum join_type) type;
    READERS[type](&c, out);
    return c.failed || c.rest.size > 0 ? GRID_EPROTO : 0;
}

int join_message_decode(struct slice in, bool sealed, struct join_message *out, size_t *size)
{
    struct cursor c = {.rest = in};
    size_t length = (size_t) take_number(&c, JOIN_PREFIX_SIZE);
    if (c.failed)
        return GRID_EAGAIN;
    if (length == 0 || length > JOIN_MESSAGE_MAX)
        return GRID_EPROTO;
    if (length > c.rest.size)
        return GRID_EAGAIN;
    *size = JOIN_PREFIX_SIZE + length;
    return decode_whole(slice_first(c.rest, length), sealed, out);
}

/* ---- writing ---- */

/* Appends while `*err` is 0. */
static void put(struct buf *out, struct slice bytes, int *err)
{
    if (*err == 0)
        *err = buf_append(out, bytes);
}

static void put_byte(struct buf *out, size_t value, int *err)
{
    if (*err == 0)
        *err = value <= 255 ? buf_append_byte(out, (uint8_t) value) : GRID_EINVAL;
}

static void put_sized(struct buf *out, struct slice bytes, size_t most, int *err)
{
    if (*err == 0 && bytes.size > most)
        *err = GRID_EINVAL;
    if (*err == 0)
        *err = buf_append_u16be(out, (uint16_t) bytes.size);
    put(out, bytes, err);
}

static void put_addresses(struct buf *out, const struct slice *addresses, size_t count, size_t most, int *err)
{
    if (*err == 0 && count > most)
        *err = GRID_EINVAL;
    put_byte(out, count, err);
    for (size_t i = 0; *err == 0 && i < count; i++)
        put_sized(out, addresses[i], JOIN_ADDRESS_MAX, err);
}

static void put_fixed(struct buf *out, struct slice bytes, size_t size, int *err)
{
    if (*err == 0 && bytes.size != size)
        *err = GRID_EINVAL;
    put(out, bytes, err);
}

static void put_standing(struct buf *out, const struct join_standing *s, int *err)
{
    uint8_t id[32];
    if (*err == 0)
        *err = hex_decode(slice_of_str(s->authority_id), id, sizeof id);
    put(out, slice_of(id, sizeof id), err);
    put_byte(out, (s->hardened ? 1 : 0) | (s->can_issue ? 2 : 0) | (s->shared ? 4 : 0), err);
    if (*err == 0)
        *err = buf_append_u64be(out, s->door_epoch);
}

static void put_request_unsigned(struct buf *out, const struct join_request *r, int *err)
{
    put_sized(out, r->public_der, JOIN_PUBLIC_KEY_MAX, err);
    put_sized(out, r->name, TRUST_NAME_MAX, err);
    put_addresses(out, r->addresses, r->address_count, TRUST_ADDRESSES_MAX, err);
}

int join_request_encode_unsigned(const struct join_request *r, struct buf *out)
{
    int err = 0;
    put_request_unsigned(out, r, &err);
    return err;
}

static void put_grant(struct buf *out, const struct join_grant *g, int *err)
{
    put_sized(out, g->certificate_der, TRUST_CERTIFICATE_MAX, err);
    put_sized(out, g->authority_der, TRUST_CERTIFICATE_MAX, err);
    put_sized(out, g->ledger, JOIN_MESSAGE_MAX, err);
}

int join_message_encode(const struct join_message *m, struct buf *out)
{
    size_t start = out->size;
    int err = 0;
    put_byte(out, m->type, &err);
    switch (m->type) {
    case JOIN_SHARE:
        put_fixed(out, m->u.share, JOIN_SHARE_SIZE, &err);
        break;
    case JOIN_CONFIRM:
        put_fixed(out, m->u.tag, JOIN_TAG_SIZE, &err);
        break;
    case JOIN_STANDING:
        put_standing(out, &m->u.standing, &err);
        break;
    case JOIN_REQUEST:
        put_request_unsigned(out, &m->u.request, &err);
        put_sized(out, m->u.request.signature, TRUST_SIGNATURE_MAX, &err);
        break;
    case JOIN_GRANT:
        put_grant(out, &m->u.grant, &err);
        break;
    case JOIN_REFUSAL:
        put_byte(out, m->u.refusal.reason, &err);
        put_addresses(out, m->u.refusal.addresses, m->u.refusal.address_count, JOIN_ADDRESSES_MAX, &err);
        break;
    }
    if (err == 0 && out->size - start > JOIN_MESSAGE_MAX - JOIN_MAC_SIZE)
        err = GRID_ELIMIT;
    if (err != 0)
        buf_truncate(out, start);
    return err;
}

const char *join_reason_text(enum join_reason reason)
{
    static const char *const TEXTS[] = {
        [JOIN_NOT_ISSUER] = "it cannot let others in by password",
        [JOIN_DOOR_CLOSED] = "joining by password is closed there until a new password is set with \"grid password\"",
        [JOIN_BUSY] = "it is busy with another join",
        [JOIN_TOO_MANY] = "it has counted too many failed attempts from here",
        [JOIN_ENOUGH] = "it has let in as many new nodes from this address within an hour as its --join-limit allows: it is tried again; for more, raise that on the members, or give new nodes the Gridfile",
        [JOIN_MISMATCH] = "the password or the grid's name differs",
        [JOIN_OTHER_GRID] = "it belongs to another grid of the same name",
        [JOIN_NOT_ADMITTED] = "it does not admit this node's key",
    };
    return reason > 0 && reason < JOIN_REASON_END ? TEXTS[reason] : "for no reason that is known here";
}

