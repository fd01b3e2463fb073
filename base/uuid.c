/* UUID version 7: time in front, randomness behind. */
#include "base/uuid.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/hex.h"

/*   0                   1                   2                   3
 *   |            unix_ms: 48 bits            | 7 | rand_a: 12 bits |
 *   | 10 |                    rand_b: 62 bits                      |   RFC 9562, section 5.7 */
struct uuid uuid7_make(uint64_t unix_ms, const uint8_t random[UUID7_RANDOM_BYTES])
{
    struct uuid id;
    for (size_t i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t) (unix_ms >> (40 - 8 * i));
    memcpy(id.bytes + 6, random, UUID7_RANDOM_BYTES);
    id.bytes[6] = (uint8_t) ((id.bytes[6] & 0x0f) | 0x70);
    id.bytes[8] = (uint8_t) ((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

uint64_t uuid7_unix_ms(const struct uuid *id)
{
    uint64_t ms = 0;
    for (size_t i = 0; i < 6; i++)
        ms = ms << 8 | id->bytes[i];
    return ms;
}

/* Where a hyphen stands in the text. */
static bool is_hyphen_place(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

void uuid_format(const struct uuid *id, char out[UUID_TEXT_SIZE])
{
    char digits[2 * UUID_BYTES + 1];
    hex_encode(slice_of(id->bytes, UUID_BYTES), digits);
    const char *next = digits;
    for (size_t i = 0; i < UUID_TEXT_SIZE - 1; i++)
        out[i] = is_hyphen_place(i) ? '-' : *next++;
    out[UUID_TEXT_SIZE - 1] = '\0';
}

int uuid_parse(struct slice text, struct uuid *out)
{
    uint8_t digits[2 * UUID_BYTES];
    size_t count = 0;
    if (text.size != UUID_TEXT_SIZE - 1)
        return GRID_EINVAL;
    for (size_t i = 0; i < text.size; i++) {
        if (!is_hyphen_place(i))
            digits[count++] = text.data[i];
        else if (text.data[i] != '-')
            return GRID_EINVAL;
    }
    return hex_decode(slice_of(digits, count), out->bytes, UUID_BYTES);
}

static void fill_from_kernel(void *context, uint8_t *bytes, size_t size)
{
    (void) context;
    arc4random_buf(bytes, size);
}

void uuid_source_init(struct uuid_source *source, void (*fill)(void *context, uint8_t *bytes, size_t size), void *context)
{
    *source = (struct uuid_source){.fill = fill ? fill : fill_from_kernel, .context = context};
}

void uuid7_generate(struct uuid_source *source, uint64_t unix_ms, char out[UUID_TEXT_SIZE])
{
    if (source->left < UUID7_RANDOM_BYTES) {
        source->fill(source->context, source->stock, sizeof source->stock);
        source->left = sizeof source->stock;
    }
    source->left -= UUID7_RANDOM_BYTES;
    struct uuid id = uuid7_make(unix_ms, source->stock + source->left);
    uuid_format(&id, out);
}
