/* Statements from bytes: what each kind says, before anybody asks whose word it is. */
#include <stdlib.h>

#include "base/err.h"
#include "base/hex.h"
#include "trust/ledger_internal.h"

enum { STATEMENT_HEAD = 3, BODY_MAX = 2 * TRUST_CERTIFICATE_MAX + 64 };

/* ---- bytes ---- */

struct slice ledger_read_bytes(struct ledger_reader *r, size_t size)
{
    if (r->failed || size > r->rest.size) {
        r->failed = true;
        return slice_of(NULL, 0);
    }
    struct slice s = slice_of(r->rest.data, size);
    r->rest = slice_of(r->rest.data + size, r->rest.size - size);
    return s;
}

uint64_t ledger_read_number(struct ledger_reader *r, size_t size)
{
    struct slice s = ledger_read_bytes(r, size);
    uint64_t value = 0;
    for (size_t i = 0; i < s.size; i++)
        value = value << 8 | s.data[i];
    return value;
}

void ledger_put_id(struct buf *out, const char *id)
{
    uint8_t bytes[LEDGER_ID_BYTES] = {0};
    (void) hex_decode(slice_of_str(id), bytes, sizeof bytes); /* ids are sound when they come here */
    buf_append(out, slice_of(bytes, sizeof bytes));
}

void ledger_take_id(struct slice bytes, char id[TRUST_ID_SIZE])
{
    if (bytes.size == LEDGER_ID_BYTES)
        hex_encode(bytes, id);
}

static void take_time(struct ledger_reader *r, int64_t *out)
{
    uint64_t value = ledger_read_number(r, 8);
    if (value > INT64_MAX / 2)
        r->failed = true;
    *out = (int64_t) value;
}

/* ---- reading a statement ---- */

static int read_authority(struct ledger_reader *r, struct ledger_statement *s)
{
    struct ledger_authority *a = &s->authority;
    a->sequence = ledger_read_number(r, 8);
    uint64_t phase = ledger_read_number(r, 1);
    take_time(r, &a->when_s);
    take_time(r, &a->until_s);
    a->der = ledger_read_bytes(r, ledger_read_number(r, 2));
    a->cross_der = ledger_read_bytes(r, ledger_read_number(r, 2));
    if (r->failed || phase < LEDGER_INSTALL || phase > LEDGER_REMOVE || a->sequence == 0 || certificate_id(a->der, a->id) != 0)
        return GRID_EPROTO;
    a->phase = (enum ledger_phase) phase;
    return 0;
}

static int read_tombstone(struct ledger_reader *r, struct ledger_statement *s)
{
    ledger_take_id(ledger_read_bytes(r, LEDGER_ID_BYTES), s->tombstone.id);
    take_time(r, &s->tombstone.when_s);
    struct slice name = ledger_read_bytes(r, ledger_read_number(r, 1));
    if (r->failed || !trust_name_valid(name))
        return GRID_EPROTO;
    memcpy(s->tombstone.name, name.data, name.size);
    return 0;
}

static int read_heir(struct ledger_reader *r, struct ledger_statement *s)
{
    ledger_take_id(ledger_read_bytes(r, LEDGER_ID_BYTES), s->tombstone.id);
    take_time(r, &s->tombstone.when_s);
    return r->failed ? GRID_EPROTO : 0;
}

static int read_door(struct ledger_reader *r, struct ledger_statement *s)
{
    int64_t when_s;
    s->epoch = ledger_read_number(r, 8);
    uint64_t open = ledger_read_number(r, 1);
    take_time(r, &when_s);
    s->open = open == 1;
    return r->failed || open > 1 || s->epoch > LEDGER_EPOCH_MAX ? GRID_EPROTO : 0;
}

static int read_body(struct ledger_statement *s, struct slice body)
{
    struct ledger_reader r = {.rest = body};
    int err = GRID_EPROTO;
    if (s->kind == LEDGER_AUTHORITY)
        err = read_authority(&r, s);
    else if (s->kind == LEDGER_TOMBSTONE)
        err = read_tombstone(&r, s);
    else if (s->kind == LEDGER_DOOR)
        err = read_door(&r, s);
    else if (s->kind == LEDGER_HEIR)
        err = read_heir(&r, s);
    return err == 0 && r.rest.size > 0 ? GRID_EPROTO : err;
}

/* What is signed of a statement's bytes, and by what. */
void ledger_statement_parts(const struct ledger_statement *s, struct slice *signed_bytes, struct slice *signature)
{
    size_t body = (size_t) s->bytes[1] << 8 | s->bytes[2];
    *signed_bytes = slice_of(s->bytes, STATEMENT_HEAD + body);
    *signature = slice_of(s->bytes + STATEMENT_HEAD + body + LEDGER_ID_BYTES + 1, s->bytes[STATEMENT_HEAD + body + LEDGER_ID_BYTES]);
}

/* Reads the statement at the reader's place. 0, GRID_EPROTO or GRID_ENOMEM. */
int ledger_statement_read(struct ledger_reader *r, struct ledger_statement **out)
{
    const uint8_t *start = r->rest.data;
    uint64_t kind = ledger_read_number(r, 1);
    struct slice body = ledger_read_bytes(r, ledger_read_number(r, 2)), signer = ledger_read_bytes(r, LEDGER_ID_BYTES), signature = ledger_read_bytes(r, ledger_read_number(r, 1));
    if (r->failed || body.size > BODY_MAX || signature.size == 0 || signature.size > TRUST_SIGNATURE_MAX)
        return GRID_EPROTO;
    size_t size = (size_t) (r->rest.data - start);
    struct ledger_statement *s = calloc(1, sizeof *s + size);
    if (!s)
        return GRID_ENOMEM;
    s->kind = (enum ledger_kind) kind;
    s->size = size;
    memcpy(s->bytes, start, size);
    memcpy(s->signer, signer.data, LEDGER_ID_BYTES);
    int err = read_body(s, slice_of(s->bytes + STATEMENT_HEAD, body.size));
    if (err != 0)
        free(s);
    else
        *out = s;
    return err;
}
