/* Numbers with units: digits, then a lookup in the caller's table. */
#include "base/unit.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"

static size_t digits_length(struct slice text)
{
    size_t length = 0;
    while (length < text.size && text.data[length] >= '0' && text.data[length] <= '9')
        length++;
    return length;
}

static uint64_t unit_factor(const struct unit *units, struct slice name)
{
    if (name.size == 0)
        return 1;
    for (; units->name; units++)
        if (slice_equal_str(name, units->name))
            return units->factor;
    return 0;
}

int unit_parse(struct slice text, const struct unit *units, uint64_t *out)
{
    uint64_t number = 0;
    size_t length = digits_length(text);
    uint64_t factor = unit_factor(units, slice_from(text, length));
    if (factor == 0)
        return GRID_EINVAL;
    int err = slice_parse_u64(slice_first(text, length), UINT64_MAX, &number);
    if (err == 0 && number > UINT64_MAX / factor)
        err = GRID_ELIMIT;
    if (err == 0)
        *out = number * factor;
    return err;
}

void unit_format(uint64_t value, const struct unit *units, char out[UNIT_TEXT_MAX])
{
    for (; value > 0 && units->name; units++) {
        if (value % units->factor == 0) {
            snprintf(out, UNIT_TEXT_MAX, "%" PRIu64 "%s", value / units->factor, units->name);
            return;
        }
    }
    snprintf(out, UNIT_TEXT_MAX, "%" PRIu64, value);
}
