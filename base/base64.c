/* Base64, strict: every byte string has exactly one padded and one unpadded spelling (RFC 4648, section 3.5). */
#include "base/base64.h"

#include "base/err.h"

static const char common[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static uint8_t character_of(uint32_t value, enum base64_alphabet alphabet)
{
    if (value < 62)
        return (uint8_t) common[value];
    return (uint8_t) (alphabet == BASE64_URL ? "-_" : "+/")[value - 62];
}

static int value_of(uint8_t c, enum base64_alphabet alphabet)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (alphabet == BASE64_URL ? '-' : '+'))
        return 62;
    return c == (alphabet == BASE64_URL ? '_' : '/') ? 63 : -1;
}

/* One to three bytes become two to four characters. */
static void encode_group(struct buf *out, struct slice group, enum base64_alphabet alphabet, bool padded)
{
    uint32_t bits = (uint32_t) group.data[0] << 16;
    if (group.size > 1)
        bits |= (uint32_t) group.data[1] << 8;
    if (group.size > 2)
        bits |= group.data[2];
    for (size_t i = 0; i < 4; i++) {
        if (i <= group.size)
            buf_append_byte(out, character_of(bits >> (18 - 6 * i) & 63, alphabet));
        else if (padded)
            buf_append_byte(out, '=');
    }
}

int base64_encode(struct buf *out, struct slice bytes, enum base64_alphabet alphabet, bool padded)
{
    if (bytes.size > SIZE_MAX / 4)
        return GRID_ELIMIT;
    size_t rest = bytes.size % 3;
    size_t size = bytes.size / 3 * 4 + (rest == 0 ? 0 : padded ? 4 : rest + 1);
    int err = buf_reserve(out, size);
    if (err != 0)
        return err;
    for (; bytes.size > 0; bytes = slice_from(bytes, 3))
        encode_group(out, slice_first(bytes, 3), alphabet, padded);
    return 0;
}

/* Two to four characters become one to three bytes. */
static int decode_group(struct buf *out, struct slice group, enum base64_alphabet alphabet)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < group.size ? value_of(group.data[i], alphabet) : 0;
        if (value < 0)
            return GRID_EINVAL;
        bits = bits << 6 | (uint32_t) value;
    }
    if (group.size < 2 || (group.size == 2 && (bits & 0xffff)) || (group.size == 3 && (bits & 0xff)))
        return GRID_EINVAL;
    for (size_t i = 0; i + 1 < group.size; i++)
        buf_append_byte(out, (uint8_t) (bits >> (16 - 8 * i)));
    return 0;
}

static struct slice without_padding(struct slice text)
{
    for (int i = 0; i < 2 && text.size > 0 && text.data[text.size - 1] == '='; i++)
        text.size--;
    return text;
}

int base64_decode(struct buf *out, struct slice text, enum base64_alphabet alphabet)
{
    struct slice body = without_padding(text);
    size_t mark = out->size;
    if (body.size != text.size && text.size % 4 != 0)
        return GRID_EINVAL;
    int err = buf_reserve(out, body.size / 4 * 3 + (body.size % 4) * 3 / 4);
    for (; err == 0 && body.size > 0; body = slice_from(body, 4))
        err = decode_group(out, slice_first(body, 4), alphabet);
    if (err != 0)
        buf_truncate(out, mark);
    return err;
}
