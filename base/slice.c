/* Searching, comparing and checking borrowed bytes. */
#include "base/slice.h"

#include <stdlib.h>

#include "base/err.h"

static uint8_t ascii_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t) (c + 32) : c;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (a.data[i] != b.data[i] && ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

bool slice_has_prefix(struct slice s, struct slice prefix)
{
    return s.size >= prefix.size && slice_equal(slice_first(s, prefix.size), prefix);
}

bool slice_has_suffix(struct slice s, struct slice suffix)
{
    return s.size >= suffix.size && (suffix.size == 0 || slice_equal(slice_from(s, s.size - suffix.size), suffix));
}

int slice_compare(struct slice a, struct slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order != 0)
        return order < 0 ? -1 : 1;
    return a.size == b.size ? 0 : a.size < b.size ? -1 : 1;
}

ptrdiff_t slice_find_byte(struct slice s, size_t start, uint8_t byte)
{
    if (start >= s.size)
        return -1;
    const uint8_t *found = memchr(s.data + start, byte, s.size - start);
    return found ? found - s.data : -1;
}

bool slice_take(struct slice *in, size_t size, struct slice *out)
{
    if (in->size < size)
        return false;
    *out = slice_first(*in, size);
    *in = slice_from(*in, size);
    return true;
}

bool slice_take_uint(struct slice *in, size_t size, uint64_t *out)
{
    struct slice bytes;
    if (!slice_take(in, size, &bytes))
        return false;
    *out = 0;
    for (size_t i = 0; i < size; i++)
        *out = *out << 8 | bytes.data[i];
    return true;
}

struct slice slice_trim(struct slice s)
{
    while (s.size > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = slice_of(s.data + 1, s.size - 1);
    while (s.size > 0 && (s.data[s.size - 1] == ' ' || s.data[s.size - 1] == '\t'))
        s.size--;
    return s;
}

int slice_parse_u64(struct slice s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (s.size == 0)
        return GRID_EINVAL;
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return GRID_EINVAL;
        uint64_t digit = (uint64_t) (s.data[i] - '0');
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value))
            return GRID_ELIMIT;
    }
    if (value > max)
        return GRID_ELIMIT;
    *out = value;
    return 0;
}

struct slice slice_of_u64(uint64_t value, char text[SLICE_U64_TEXT])
{
    size_t at = SLICE_U64_TEXT;
    do {
        text[--at] = (char) ('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return slice_of(text + at, SLICE_U64_TEXT - at);
}

char *slice_to_str(struct slice s)
{
    char *str = malloc(s.size + 1);
    if (!str)
        return NULL;
    if (s.size > 0)
        memcpy(str, s.data, s.size);
    str[s.size] = '\0';
    return str;
}

/* Unicode 15, table 3-7: the second byte's range depends on the first. */
size_t slice_utf8_length(struct slice s)
{
    if (s.size == 0)
        return 0;
    uint8_t lead = s.data[0];
    uint8_t low = 0x80, high = 0xbf;
    size_t length;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead == 0xe0)
        low = 0xa0;
    else if (lead == 0xed)
        high = 0x9f;
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f;
    if (s.size < length || s.data[1] < low || s.data[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((s.data[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool slice_is_utf8(struct slice s)
{
    while (s.size > 0) {
        size_t length = slice_utf8_length(s);
        if (length == 0)
            return false;
        s = slice_of(s.data + length, s.size - length);
    }
    return true;
}
