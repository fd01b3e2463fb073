/* Percent-encoding, strict for URLs and lenient for gRPC messages. */
#include "base/percent.h"

#include "base/err.h"
#include "base/hex.h"

/* The byte that "%XX" at the start of `in` stands for, or -1. */
static int escaped_byte(struct slice in)
{
    if (in.size < 3 || in.data[0] != '%')
        return -1;
    int high = hex_digit(in.data[1]), low = hex_digit(in.data[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Appends the first byte of `in` decoded and returns how much of `in` it took; 0 for a malformed escape. */
static size_t decode_one(struct buf *out, struct slice in, enum percent_plus plus)
{
    int byte = escaped_byte(in);
    if (byte >= 0) {
        buf_append_byte(out, (uint8_t) byte);
        return 3;
    }
    if (in.data[0] == '%')
        return 0;
    buf_append_byte(out, in.data[0] == '+' && plus == PERCENT_PLUS_IS_SPACE ? ' ' : in.data[0]);
    return 1;
}

int percent_decode(struct buf *out, struct slice in, enum percent_plus plus)
{
    size_t mark = out->size;
    int err = buf_reserve(out, in.size); /* never longer than the input: the appends below cannot fail */
    while (err == 0 && in.size > 0) {
        size_t taken = decode_one(out, in, plus);
        if (taken == 0)
            err = GRID_EPROTO;
        in = slice_from(in, taken);
    }
    if (err != 0)
        buf_truncate(out, mark);
    return err;
}

static int encode(struct buf *out, struct slice in, bool (*passes)(uint8_t c))
{
    static const char digits[] = "0123456789ABCDEF";
    int err = 0;
    for (size_t i = 0; i < in.size && err == 0; i++) {
        uint8_t c = in.data[i];
        if (passes(c))
            err = buf_append_byte(out, c);
        else
            err = buf_append(out, slice_of((char[]){'%', digits[c >> 4], digits[c & 15]}, 3));
    }
    return err;
}

static bool is_unreserved(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

static bool is_message_character(uint8_t c)
{
    return c >= 0x20 && c <= 0x7e && c != '%';
}

int percent_encode(struct buf *out, struct slice in)
{
    return encode(out, in, is_unreserved);
}

int percent_encode_message(struct buf *out, struct slice in)
{
    return encode(out, in, is_message_character);
}

int percent_decode_message(struct buf *out, struct slice in)
{
    int err = buf_reserve(out, in.size);
    while (err == 0 && in.size > 0) {
        size_t taken = decode_one(out, in, PERCENT_PLUS_AS_IS);
        if (taken == 0) {
            buf_append_byte(out, '%');
            taken = 1;
        }
        in = slice_from(in, taken);
    }
    return err;
}
