/* The file STATE/trust: a magic, then records of tag, size and bytes; unknown tags of a newer minor writer are passed over. */
#include "trust/standing.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hex.h"

enum standing_tag { TAG_CERTIFICATE = 1, TAG_LEDGER, TAG_KEY, TAG_PROVISIONAL, TAG_FORMER, TAG_PASSWORD, TAG_PINS, TAG_OWED, TAG_PINS_NEXT };
enum { RECORD_HEAD = 5, PIN_BYTES = 32 };

static const char MAGIC[8] = {'G', 'R', 'I', 'D', 'T', 'R', 'S', '1'};

void standing_init(struct standing *s)
{
    *s = (struct standing){0};
    buf_init(&s->certificate, TRUST_CERTIFICATE_MAX);
    buf_init(&s->ledger, STANDING_MAX);
    for (size_t i = 0; i < STANDING_KEYS_MAX; i++)
        buf_init(&s->keys[i], TRUST_CERTIFICATE_MAX);
    buf_init(&s->pins.authority, TRUST_CERTIFICATE_MAX);
    buf_init(&s->pins.next, TRUST_CERTIFICATE_MAX);
    buf_init(&s->owed, STANDING_MAX);
}

static void wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->size);
    buf_clear(b);
}

void standing_dispose(struct standing *s)
{
    buf_dispose(&s->certificate);
    buf_dispose(&s->ledger);
    buf_dispose(&s->owed);
    for (size_t i = 0; i < STANDING_KEYS_MAX; i++) {
        wipe(&s->keys[i]);
        buf_dispose(&s->keys[i]);
    }
    standing_forget_password(s);
    standing_unpin(s);
}

void standing_forget_password(struct standing *s)
{
    explicit_bzero(s->password, sizeof s->password);
    s->has_password = false;
    s->password_size = 0;
    s->password_epoch = 0;
}

void standing_unpin(struct standing *s)
{
    buf_dispose(&s->pins.authority);
    buf_dispose(&s->pins.next);
    free(s->pins.ids);
    s->pins.ids = NULL;
    s->pins.count = 0;
    s->pins.until_s = 0;
}

int standing_pin(struct standing *s, struct slice authority_der, struct slice next_der, int64_t until_s)
{
    standing_unpin(s);
    s->pins.until_s = until_s;
    int err = buf_append(&s->pins.authority, authority_der);
    return err == 0 ? buf_append(&s->pins.next, next_der) : err;
}

int standing_pin_id(struct standing *s, const char *id)
{
    if (s->pins.count == VERIFY_PINNED_MAX)
        return GRID_ELIMIT;
    char(*grown)[TRUST_ID_SIZE] = realloc(s->pins.ids, (s->pins.count + 1) * sizeof *grown);
    if (!grown)
        return GRID_ENOMEM;
    s->pins.ids = grown;
    snprintf(grown[s->pins.count++], sizeof *grown, "%s", id);
    return 0;
}

int standing_set(struct buf *field, struct slice bytes)
{
    wipe(field);
    return buf_append(field, bytes);
}

void standing_add_former(struct standing *s, const char *id)
{
    if (standing_is_former(s, id))
        return;
    memmove(s->former[1], s->former[0], (STANDING_FORMER_MAX - 1) * sizeof s->former[0]);
    snprintf(s->former[0], sizeof s->former[0], "%s", id);
    s->former_count += s->former_count < STANDING_FORMER_MAX;
}

bool standing_is_former(const struct standing *s, const char *id)
{
    for (size_t i = 0; i < s->former_count; i++)
        if (strcmp(s->former[i], id) == 0)
            return true;
    return false;
}

/* ---- packing ---- */

static int put_head(struct buf *out, enum standing_tag tag, size_t size)
{
    int err = buf_append_byte(out, (uint8_t) tag);
    return err == 0 ? buf_append_u32be(out, (uint32_t) size) : err;
}

static int put(struct buf *out, enum standing_tag tag, struct slice bytes)
{
    if (bytes.size == 0)
        return 0;
    int err = put_head(out, tag, bytes.size);
    return err == 0 ? buf_append(out, bytes) : err;
}

static int put_password(struct buf *out, const struct standing *s)
{
    if (!s->has_password)
        return 0;
    int err = put_head(out, TAG_PASSWORD, 8 + s->password_size);
    if (err == 0)
        err = buf_append_u32be(out, (uint32_t) (s->password_epoch >> 32));
    if (err == 0)
        err = buf_append_u32be(out, (uint32_t) s->password_epoch);
    return err == 0 ? buf_append(out, slice_of(s->password, s->password_size)) : err;
}

/* Until when, the sized certificate, the ids. */
static int put_pins(struct buf *out, const struct standing *s)
{
    const struct standing_pins *p = &s->pins;
    uint8_t id[PIN_BYTES];
    if (p->count == 0)
        return 0;
    int err = put_head(out, TAG_PINS, 8 + 2 + p->authority.size + p->count * PIN_BYTES);
    if (err == 0)
        err = buf_append_u64be(out, (uint64_t) p->until_s);
    if (err == 0)
        err = buf_append_u16be(out, (uint16_t) p->authority.size);
    if (err == 0)
        err = buf_append(out, buf_slice(&p->authority));
    for (size_t i = 0; err == 0 && i < p->count; i++) {
        (void) hex_decode(slice_of_str(p->ids[i]), id, sizeof id);
        err = buf_append(out, slice_of(id, sizeof id));
    }
    return err;
}

int standing_pack(const struct standing *s, struct buf *out)
{
    int err = buf_append(out, slice_of(MAGIC, sizeof MAGIC));
    if (err == 0)
        err = put(out, TAG_CERTIFICATE, buf_slice(&s->certificate));
    if (err == 0)
        err = put(out, TAG_LEDGER, buf_slice(&s->ledger));
    for (size_t i = 0; err == 0 && i < STANDING_KEYS_MAX; i++)
        err = put(out, TAG_KEY, buf_slice(&s->keys[i]));
    if (err == 0 && s->provisional)
        err = put(out, TAG_PROVISIONAL, SLICE("\1"));
    for (size_t i = 0; err == 0 && i < s->former_count; i++)
        err = put(out, TAG_FORMER, slice_of_str(s->former[i]));
    if (err == 0)
        err = put_password(out, s);
    if (err == 0)
        err = put_pins(out, s);
    if (err == 0)
        err = put(out, TAG_OWED, buf_slice(&s->owed));
    return err == 0 && s->pins.count > 0 ? put(out, TAG_PINS_NEXT, buf_slice(&s->pins.next)) : err;
}

/* ---- unpacking: each takes one record's bytes ---- */

static int take_once(struct buf *field, struct slice bytes)
{
    return field->size > 0 || bytes.size == 0 ? GRID_EPROTO : buf_append(field, bytes);
}

static int take_key(struct standing *s, struct slice bytes)
{
    for (size_t i = 0; i < STANDING_KEYS_MAX; i++)
        if (s->keys[i].size == 0)
            return take_once(&s->keys[i], bytes);
    return GRID_ELIMIT;
}

static bool is_id(struct slice text)
{
    if (text.size != TRUST_ID_SIZE - 1)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (!strchr("0123456789abcdef", text.data[i]) || text.data[i] == '\0')
            return false;
    return true;
}

static int take_former(struct standing *s, struct slice bytes)
{
    if (s->former_count == STANDING_FORMER_MAX)
        return GRID_ELIMIT;
    if (!is_id(bytes))
        return GRID_EPROTO;
    memcpy(s->former[s->former_count++], bytes.data, bytes.size);
    return 0;
}

static int take_password(struct standing *s, struct slice bytes)
{
    if (s->has_password || bytes.size <= 8 || bytes.size > 8 + STANDING_PASSWORD_SIZE)
        return GRID_EPROTO;
    s->has_password = true;
    for (size_t i = 0; i < 8; i++)
        s->password_epoch = s->password_epoch << 8 | bytes.data[i];
    s->password_size = bytes.size - 8;
    memcpy(s->password, bytes.data + 8, s->password_size);
    return 0;
}

static int take_pins(struct standing *s, struct slice bytes)
{
    char id[TRUST_ID_SIZE] = "";
    uint64_t until = 0;
    for (size_t i = 0; bytes.size >= 10 && i < 8; i++)
        until = until << 8 | bytes.data[i];
    size_t size = bytes.size < 10 ? 0 : (size_t) bytes.data[8] << 8 | bytes.data[9];
    struct slice ids = slice_from(bytes, 10 + size);
    if (s->pins.count > 0 || size == 0 || size > bytes.size - 10 || until > INT64_MAX || ids.size == 0 || ids.size % PIN_BYTES != 0)
        return GRID_EPROTO;
    int err = standing_pin(s, slice_of(bytes.data + 10, size), slice_of(NULL, 0), (int64_t) until);
    for (; err == 0 && ids.size > 0; ids = slice_from(ids, PIN_BYTES)) {
        hex_encode(slice_first(ids, PIN_BYTES), id);
        err = standing_pin_id(s, id);
    }
    return err;
}

static int take_record(struct standing *s, uint8_t tag, struct slice bytes)
{
    switch (tag) {
    case TAG_CERTIFICATE:
        return take_once(&s->certificate, bytes);
    case TAG_LEDGER:
        return take_once(&s->ledger, bytes);
    case TAG_KEY:
        return take_key(s, bytes);
    case TAG_PROVISIONAL:
        s->provisional = true;
        return bytes.size == 1 ? 0 : GRID_EPROTO;
    case TAG_FORMER:
        return take_former(s, bytes);
    case TAG_PASSWORD:
        return take_password(s, bytes);
    case TAG_PINS:
        return take_pins(s, bytes);
    case TAG_OWED:
        return take_once(&s->owed, bytes);
    case TAG_PINS_NEXT:
        return s->pins.count > 0 ? take_once(&s->pins.next, bytes) : GRID_EPROTO;
    default:
        return 0;
    }
}

int standing_unpack(struct slice bytes, struct standing *out)
{
    if (bytes.size < sizeof MAGIC || memcmp(bytes.data, MAGIC, sizeof MAGIC - 1) != 0)
        return GRID_EPROTO;
    if (bytes.data[sizeof MAGIC - 1] != (uint8_t) MAGIC[sizeof MAGIC - 1])
        return GRID_EUNSUPPORTED;
    int err = bytes.size > STANDING_MAX ? GRID_ELIMIT : 0;
    for (bytes = slice_from(bytes, sizeof MAGIC); err == 0 && bytes.size > 0;) {
        if (bytes.size < RECORD_HEAD)
            return GRID_EPROTO;
        uint32_t size = (uint32_t) bytes.data[1] << 24 | (uint32_t) bytes.data[2] << 16 | (uint32_t) bytes.data[3] << 8 | bytes.data[4];
        if (size > bytes.size - RECORD_HEAD)
            return GRID_EPROTO;
        err = take_record(out, bytes.data[0], slice_of(bytes.data + RECORD_HEAD, size));
        bytes = slice_from(bytes, RECORD_HEAD + (size_t) size);
    }
    return err;
}

/* ---- the file ---- */

static int path_of(const char *state_dir, char out[PATH_MAX])
{
    int length = snprintf(out, PATH_MAX, "%s/trust", state_dir);
    return length > 0 && length < PATH_MAX ? 0 : GRID_ELIMIT;
}

static int explain(int err, const char *path, char sentence[TRUST_SENTENCE_MAX])
{
    if (err == GRID_EUNSUPPORTED)
        snprintf(sentence, TRUST_SENTENCE_MAX, "%.300s was written by a newer version of gridd: use that version, or give another --state", path);
    else if (err == GRID_EPROTO || err == GRID_ELIMIT)
        snprintf(sentence, TRUST_SENTENCE_MAX, "%.300s is damaged: restore it, or move it away and join the grid anew", path);
    else
        snprintf(sentence, TRUST_SENTENCE_MAX, "%.300s: %s", path, grid_err_text(err));
    return err;
}

int standing_load(const char *state_dir, struct standing *out, char sentence[TRUST_SENTENCE_MAX])
{
    char path[PATH_MAX];
    bool open_to_others = false;
    struct buf bytes;
    buf_init(&bytes, 0);
    int err = path_of(state_dir, path);
    if (err == 0)
        err = trust_file_read(path, &bytes, &open_to_others);
    if (err == 0 && !open_to_others)
        err = standing_unpack(buf_slice(&bytes), out);
    wipe(&bytes);
    buf_dispose(&bytes);
    if (err == GRID_ENOENT)
        return 0;
    if (err == 0 && open_to_others) {
        snprintf(sentence, TRUST_SENTENCE_MAX, "%.300s can be read by others: run chmod 600 on it", path);
        return GRID_EPERM;
    }
    return err == 0 ? 0 : explain(err, path, sentence);
}

int standing_store(const char *state_dir, const struct standing *s, char sentence[TRUST_SENTENCE_MAX])
{
    char path[PATH_MAX];
    struct buf bytes;
    buf_init(&bytes, STANDING_MAX);
    int err = path_of(state_dir, path);
    if (err == 0)
        err = buf_reserve(&bytes, STANDING_MAX); /* it holds secrets, and must not move */
    if (err == 0)
        err = standing_pack(s, &bytes);
    if (err == 0)
        err = trust_file_write(path, buf_slice(&bytes), 0600);
    wipe(&bytes);
    buf_dispose(&bytes);
    if (err != 0)
        snprintf(sentence, TRUST_SENTENCE_MAX, "%.300s cannot be written (%s): free space or mend the folder's permissions", path, grid_err_text(err));
    return err;
}
