/* Names of functions as AWS clients write them. */
#include "server/ingress/lambda_name.h"

#include "base/err.h"

enum { PARTS_MAX = 8, NAME_MAX_BYTES = 140, QUALIFIER_MAX_BYTES = 128 };

static size_t split(struct slice text, struct slice parts[PARTS_MAX + 1])
{
    size_t count = 0;
    for (;;) {
        ptrdiff_t colon = slice_find_byte(text, 0, ':');
        parts[count++] = colon < 0 ? text : slice_first(text, (size_t) colon);
        if (colon < 0 || count > PARTS_MAX)
            return count;
        text = slice_from(text, (size_t) colon + 1);
    }
}

bool lambda_qualifier_valid(struct slice qualifier)
{
    for (size_t i = 0; i < qualifier.size; i++) {
        char c = (char) qualifier.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '$' && c != '_' && c != '-')
            return false;
    }
    return qualifier.size > 0 && qualifier.size <= QUALIFIER_MAX_BYTES;
}

int lambda_name_parse(struct slice text, struct slice *name, struct slice *qualifier)
{
    struct slice parts[PARTS_MAX + 1];
    size_t count = split(text, parts), at = 0;
    if (count >= 7 && slice_equal_str(parts[0], "arn") && slice_equal_str(parts[2], "lambda") &&
        slice_equal_str(parts[5], "function"))
        at = 6;
    else if (count >= 3 && slice_equal_str(parts[1], "function"))
        at = 2;
    if (count > at + 2 || parts[at].size == 0 || parts[at].size > NAME_MAX_BYTES)
        return GRID_EINVAL;
    if (count == at + 2 && !lambda_qualifier_valid(parts[at + 1]))
        return GRID_EINVAL;
    *name = parts[at];
    *qualifier = count == at + 2 ? parts[at + 1] : slice_of(NULL, 0);
    return 0;
}
