/* gRPC's bytes: statuses, timeouts, message framing with gzip, grpc-message and binary metadata. */
#include "net/grpc.h"

#include <stdio.h>
#include <stdlib.h>

#include <zlib.h>

#include "base/err.h"

/* ---- statuses ---- */

static const char *const STATUS_NAMES[] = {
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
    "UNAUTHENTICATED",
};

const char *grpc_status_name(int status)
{
    bool known = status >= 0 && (size_t) status < sizeof STATUS_NAMES / sizeof STATUS_NAMES[0];
    return STATUS_NAMES[known ? status : GRPC_UNKNOWN];
}

/* grpc/doc/http-grpc-status-mapping.md */
int grpc_status_from_http(int http_status)
{
    switch (http_status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

/* PROTOCOL-HTTP2.md, "Errors": the table of HTTP/2 error codes. */
int grpc_status_from_reset(uint32_t http2_code)
{
    switch (http2_code) {
    case 7: /* REFUSED_STREAM */
        return GRPC_UNAVAILABLE;
    case 8: /* CANCEL */
        return GRPC_CANCELLED;
    case 11: /* ENHANCE_YOUR_CALM */
        return GRPC_RESOURCE_EXHAUSTED;
    case 12: /* INADEQUATE_SECURITY */
        return GRPC_PERMISSION_DENIED;
    default:
        return GRPC_INTERNAL;
    }
}

/* ---- timeouts ---- */

struct timeout_unit {
    char letter;
    uint64_t nanoseconds;
};

static const struct timeout_unit TIMEOUT_UNITS[] = {
    {'n', 1}, {'u', 1000}, {'m', 1000000}, {'S', 1000000000}, {'M', 60000000000}, {'H', 3600000000000},
};

enum { TIMEOUT_DIGITS_MAX = 8, TIMEOUT_NUMBER_MAX = 99999999 };

int grpc_timeout_parse(struct slice text, uint64_t *ms)
{
    uint64_t number;
    if (text.size < 2 || text.size > TIMEOUT_DIGITS_MAX + 1 ||
        slice_parse_u64(slice_first(text, text.size - 1), TIMEOUT_NUMBER_MAX, &number) != 0)
        return GRID_EINVAL;
    for (size_t i = 0; i < sizeof TIMEOUT_UNITS / sizeof TIMEOUT_UNITS[0]; i++) {
        const struct timeout_unit *unit = &TIMEOUT_UNITS[i];
        if (text.data[text.size - 1] != (uint8_t) unit->letter)
            continue;
        uint64_t per_unit = unit->nanoseconds / 1000000;
        uint64_t per_ms = unit->nanoseconds < 1000000 ? 1000000 / unit->nanoseconds : 1;
        *ms = per_unit > 0 ? number * per_unit : (number + per_ms - 1) / per_ms;
        return 0;
    }
    return GRID_EINVAL;
}

void grpc_timeout_format(uint64_t ms, char out[16])
{
    size_t unit = 2;
    uint64_t number = ms;
    while (number > TIMEOUT_NUMBER_MAX && unit + 1 < sizeof TIMEOUT_UNITS / sizeof TIMEOUT_UNITS[0]) {
        unit++;
        number = ms / (TIMEOUT_UNITS[unit].nanoseconds / 1000000);
    }
    if (number > TIMEOUT_NUMBER_MAX)
        number = TIMEOUT_NUMBER_MAX;
    snprintf(out, 16, "%u%c", (unsigned) number, TIMEOUT_UNITS[unit].letter);
}

/* ---- reading messages ---- */

void grpc_deframer_init(struct grpc_deframer *d, size_t max_message, bool gzip)
{
    *d = (struct grpc_deframer){.max_message = max_message, .gzip = gzip};
    buf_init(&d->buffer, 0);
    buf_init(&d->inflated, 0);
}

void grpc_deframer_dispose(struct grpc_deframer *d)
{
    if (d->stream) {
        inflateEnd(d->stream);
        free(d->stream);
        d->stream = NULL;
    }
    buf_dispose(&d->buffer);
    buf_dispose(&d->inflated);
    d->taken = 0;
}

void grpc_deframer_set_wiped(struct grpc_deframer *d, bool wiped)
{
    buf_set_wiped(&d->buffer, wiped);
    buf_set_wiped(&d->inflated, wiped);
}

enum { KEPT_CAPACITY = 16 * 1024 };

void grpc_deframer_reset(struct grpc_deframer *d, size_t max_message, bool gzip)
{
    if (d->buffer.capacity > KEPT_CAPACITY)
        buf_dispose(&d->buffer);
    buf_dispose(&d->inflated);
    buf_clear(&d->buffer);
    d->taken = 0;
    d->max_message = max_message;
    d->gzip = gzip;
    d->last_compressed = false;
}

/* Drops what was given out, once nothing else is held or it is the greater part. */
static void compact(struct grpc_deframer *d)
{
    if (d->taken == d->buffer.size)
        buf_clear(&d->buffer);
    else if (d->taken > d->buffer.size / 2)
        buf_consume(&d->buffer, d->taken);
    else
        return;
    d->taken = 0;
}

static struct slice held(const struct grpc_deframer *d)
{
    return slice_from(buf_slice(&d->buffer), d->taken);
}

static size_t prefix_size(struct slice prefix)
{
    const uint8_t *p = prefix.data;
    return (size_t) p[1] << 24 | (size_t) p[2] << 16 | (size_t) p[3] << 8 | p[4];
}

/* Judges the prefix that `bytes` begins with, as far as it is there. */
static int check_prefix(const struct grpc_deframer *d, struct slice bytes)
{
    if (bytes.size > 0 && (bytes.data[0] > 1 || (bytes.data[0] == 1 && !d->gzip)))
        return GRID_EPROTO;
    if (bytes.size >= GRPC_PREFIX_SIZE && prefix_size(bytes) > d->max_message)
        return GRID_ELIMIT;
    return 0;
}

int grpc_deframer_feed(struct grpc_deframer *d, struct slice bytes)
{
    compact(d);
    int err = buf_append(&d->buffer, bytes);
    return err != 0 ? err : check_prefix(d, held(d));
}

/* A fresh inflate state for one gzip member. */
static int inflate_begin(struct grpc_deframer *d)
{
    enum { GZIP_ONLY = 16 };
    if (d->stream)
        return inflateReset(d->stream) == Z_OK ? 0 : GRID_ENOMEM;
    d->stream = calloc(1, sizeof *d->stream);
    if (d->stream && inflateInit2(d->stream, MAX_WBITS + GZIP_ONLY) == Z_OK)
        return 0;
    free(d->stream);
    d->stream = NULL;
    return GRID_ENOMEM;
}

/* Room for the next piece of output, never beyond the limit and one byte that proves it broken. */
static int inflate_room(struct grpc_deframer *d)
{
    enum { PIECE = 16 * 1024 };
    size_t left = d->max_message + 1 - d->inflated.size;
    size_t piece = d->inflated.size < PIECE ? PIECE : d->inflated.size;
    if (left == 0)
        return GRID_ELIMIT;
    if (piece > left)
        piece = left;
    int err = buf_reserve(&d->inflated, piece);
    d->stream->next_out = d->inflated.data + d->inflated.size;
    d->stream->avail_out = (uInt) piece;
    return err;
}

/* One step of inflate: 0 when the member is complete, GRID_EAGAIN to go on. */
static int inflate_step(struct grpc_deframer *d)
{
    int err = inflate_room(d);
    if (err != 0)
        return err;
    int code = inflate(d->stream, Z_NO_FLUSH);
    d->inflated.size = (size_t) (d->stream->next_out - d->inflated.data);
    if (code == Z_STREAM_END)
        return d->stream->avail_in == 0 ? 0 : GRID_EPROTO;
    if (code != Z_OK || (d->stream->avail_in == 0 && d->stream->avail_out > 0))
        return GRID_EPROTO;
    return GRID_EAGAIN;
}

static int inflate_message(struct grpc_deframer *d, struct slice packed, struct slice *message)
{
    int err = inflate_begin(d);
    if (err != 0)
        return err;
    buf_clear(&d->inflated);
    d->stream->next_in = (Bytef *) (uintptr_t) packed.data;
    d->stream->avail_in = (uInt) packed.size;
    do {
        err = inflate_step(d);
    } while (err == GRID_EAGAIN);
    if (err == 0 && d->inflated.size > d->max_message)
        err = GRID_ELIMIT;
    *message = buf_slice(&d->inflated);
    return err;
}

int grpc_deframer_next(struct grpc_deframer *d, struct slice *message)
{
    struct slice bytes = held(d);
    int err = check_prefix(d, bytes);
    if (err != 0)
        return err;
    if (bytes.size < GRPC_PREFIX_SIZE || bytes.size - GRPC_PREFIX_SIZE < prefix_size(bytes))
        return GRID_EAGAIN;
    *message = slice_of(bytes.data + GRPC_PREFIX_SIZE, prefix_size(bytes));
    d->last_compressed = bytes.data[0] == 1;
    d->taken += GRPC_PREFIX_SIZE + message->size;
    return d->last_compressed ? inflate_message(d, *message, message) : 0;
}

bool grpc_deframer_last_compressed(const struct grpc_deframer *d)
{
    return d->last_compressed;
}

bool grpc_deframer_empty(const struct grpc_deframer *d)
{
    return d->taken == d->buffer.size;
}

/* ---- writing messages ---- */

void grpc_prefix_write(uint8_t at[GRPC_PREFIX_SIZE], bool compressed, uint32_t size)
{
    at[0] = compressed;
    at[1] = (uint8_t) (size >> 24);
    at[2] = (uint8_t) (size >> 16);
    at[3] = (uint8_t) (size >> 8);
    at[4] = (uint8_t) size;
}

/* No wider than the message needs: the state that deflate takes and clears grows with the window, and costs a message of 1 KiB ten
 * times what its bytes do. */
static int window_bits(size_t size)
{
    int bits = MAX_WBITS;
    while (bits > 9 && ((size_t) 1 << (bits - 1)) >= size)
        bits--;
    return bits;
}

/* Deflates into the reserved room behind `at`; 0 when it did not become smaller. */
static size_t deflate_into(uint8_t *at, struct slice message)
{
    enum { GZIP = 16 };
    int window = window_bits(message.size), memory = window - 7; /* 8, zlib's own, for the widest */
    z_stream stream = {.next_in = (Bytef *) (uintptr_t) message.data, .avail_in = (uInt) message.size};
    if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, window + GZIP, memory, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    stream.next_out = at;
    stream.avail_out = (uInt) message.size - 1;
    int code = deflate(&stream, Z_FINISH);
    size_t size = message.size - 1 - stream.avail_out;
    deflateEnd(&stream);
    return code == Z_STREAM_END ? size : 0;
}

int grpc_frame(struct buf *out, struct slice message, bool gzip)
{
    if (message.size > UINT32_MAX)
        return GRID_ELIMIT;
    int err = buf_reserve(out, GRPC_PREFIX_SIZE + message.size);
    if (err != 0)
        return err;
    uint8_t *at = out->data + out->size;
    size_t packed = gzip && message.size > 1 ? deflate_into(at + GRPC_PREFIX_SIZE, message) : 0;
    size_t size = packed > 0 ? packed : message.size;
    if (packed == 0 && message.size > 0)
        memcpy(at + GRPC_PREFIX_SIZE, message.data, message.size);
    grpc_prefix_write(at, packed > 0, (uint32_t) size);
    out->size += GRPC_PREFIX_SIZE + size;
    return 0;
}

/* ---- grpc-message ---- */

int grpc_message_encode(struct slice text, struct buf *out)
{
    static const char HEX[] = "0123456789ABCDEF";
    int err = buf_reserve(out, text.size);
    for (size_t i = 0; i < text.size && err == 0; i++) {
        uint8_t byte = text.data[i];
        if (byte >= 0x20 && byte <= 0x7e && byte != '%') {
            err = buf_append_byte(out, byte);
        } else {
            char escape[3] = {'%', HEX[byte >> 4], HEX[byte & 15]};
            err = buf_append(out, slice_of(escape, sizeof escape));
        }
    }
    return err;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

int grpc_message_decode(struct slice text, struct buf *out)
{
    int err = 0;
    for (size_t i = 0; i < text.size && err == 0; i++) {
        int high = -1, low = -1;
        if (text.data[i] == '%' && i + 2 < text.size) {
            high = hex_digit(text.data[i + 1]);
            low = hex_digit(text.data[i + 2]);
        }
        bool escaped = high >= 0 && low >= 0;
        uint8_t decoded = (uint8_t) ((unsigned) high << 4 | (unsigned) low);
        err = buf_append(out, escaped ? slice_of(&decoded, 1) : slice_of(text.data + i, 1));
        i += escaped ? 2 : 0;
    }
    return err;
}

/* ---- binary metadata ---- */

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int grpc_bin_encode(struct slice bytes, struct buf *out)
{
    int err = buf_reserve(out, bytes.size / 3 * 4 + 4);
    for (size_t i = 0; i < bytes.size && err == 0; i += 3) {
        size_t count = bytes.size - i < 3 ? bytes.size - i : 3;
        uint32_t group = (uint32_t) bytes.data[i] << 16;
        group |= count > 1 ? (uint32_t) bytes.data[i + 1] << 8 : 0;
        group |= count > 2 ? bytes.data[i + 2] : 0;
        char digits[4] = {BASE64[group >> 18], BASE64[group >> 12 & 63], BASE64[group >> 6 & 63], BASE64[group & 63]};
        err = buf_append(out, slice_of(digits, count + 1));
    }
    return err;
}

static struct slice without_padding(struct slice text)
{
    if (text.size == 0 || text.size % 4 != 0 || text.data[text.size - 1] != '=')
        return text;
    return slice_first(text, text.size - (text.data[text.size - 2] == '=' ? 2 : 1));
}

int grpc_bin_decode(struct slice text, struct buf *out)
{
    uint32_t group = 0;
    unsigned bits = 0;
    text = without_padding(text);
    if (text.size % 4 == 1)
        return GRID_EINVAL;
    int err = buf_reserve(out, text.size);
    for (size_t i = 0; i < text.size && err == 0; i++) {
        const char *digit = text.data[i] ? strchr(BASE64, text.data[i]) : NULL;
        if (!digit)
            return GRID_EINVAL;
        group = group << 6 | (uint32_t) (digit - BASE64);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            err = buf_append_byte(out, (uint8_t) (group >> bits & 0xff));
        }
    }
    return err;
}

bool grpc_bin_next(struct slice *list, struct slice *value)
{
    if (list->size == 0)
        return false;
    ptrdiff_t comma = slice_find_byte(*list, 0, ',');
    size_t size = comma < 0 ? list->size : (size_t) comma;
    *value = slice_trim(slice_first(*list, size));
    *list = slice_from(*list, size + 1);
    return true;
}
