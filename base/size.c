/* The units of bytes: the first rows are also what is written. */
#include "base/size.h"

#define KIB UINT64_C(1024)
#define KB UINT64_C(1000)

static const struct unit size_units[] = {
    {"TiB", KIB *KIB *KIB *KIB}, {"GiB", KIB *KIB *KIB}, {"MiB", KIB *KIB}, {"KiB", KIB}, {"B", 1},  {"TB", KB *KB *KB *KB},
    {"GB", KB *KB *KB},          {"MB", KB *KB},         {"KB", KB},        {"kB", KB},   {NULL, 0},
};

int size_parse(struct slice text, uint64_t *out_bytes)
{
    return unit_parse(text, size_units, out_bytes);
}

void size_format(uint64_t bytes, char out[UNIT_TEXT_MAX])
{
    unit_format(bytes, size_units, out);
}
