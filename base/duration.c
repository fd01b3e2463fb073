/* The units of time. */
#include "base/duration.h"

static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};

int duration_parse(struct slice text, uint64_t *out_ms)
{
    return unit_parse(text, duration_units, out_ms);
}

void duration_format(uint64_t ms, char out[UNIT_TEXT_MAX])
{
    unit_format(ms, duration_units, out);
}
