/* Hexadecimal. */
#include "base/hex.h"

#include "base/err.h"

void hex_encode(struct slice bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.size; i++) {
        *out++ = digits[bytes.data[i] >> 4];
        *out++ = digits[bytes.data[i] & 15];
    }
    *out = '\0';
}

int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hex_decode(struct slice text, uint8_t *out, size_t size)
{
    if (text.size / 2 != size || text.size % 2 != 0)
        return GRID_EINVAL;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text.data[2 * i]), low = hex_digit(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return GRID_EINVAL;
        out[i] = (uint8_t) (high << 4 | low);
    }
    return 0;
}
