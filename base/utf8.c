/* Writing UTF-8. */
#include "base/utf8.h"

size_t utf8_encode(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t) c;
        return 1;
    }
    size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, c >>= 6)
        out[i] = (uint8_t) (0x80 | (c & 0x3f));
    out[0] = (uint8_t) ((0xf00u >> length) | c);
    return length;
}
