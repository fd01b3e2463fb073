/* What is decoded is encoded, and must decode as the same plan. */
// links: server_supervise
// covers: server/confine/plan.c
#include <stdlib.h>
#include <string.h>

#include "server/supervise/task_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct confine_plan *p, struct buf *out)
{
    buf_init(out, 0);
    if (task_plan_encode(p, out) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct confine_plan first, second;
    struct buf once, copy, twice;
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    if (confine_plan_decode(text, size, &first) == 0) {
        encode(&first, &once);
        buf_init(&copy, 0);
        buf_append(&copy, buf_slice(&once));
        if (confine_plan_decode((char *) copy.data, copy.size, &second) != 0)
            abort();
        encode(&second, &twice);
        if (once.size != twice.size || memcmp(once.data, twice.data, once.size) != 0)
            abort();
        buf_dispose(&once);
        buf_dispose(&copy);
        buf_dispose(&twice);
        confine_plan_dispose(&second);
    }
    confine_plan_dispose(&first);
    free(text);
    return 0;
}
