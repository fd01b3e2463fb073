/* What is read as a Gridfile is written, and what was written is read and written the same again. */
// links: grid_trust
#include <stdlib.h>

#include "trust/gridfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *ctx, const struct toml_entry *entry)
{
    *(size_t *) ctx += entry->line;
}

static void format(const struct gridfile *g, struct buf *out)
{
    buf_init(out, 0);
    if (gridfile_format(g, out) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char sentence[TRUST_SENTENCE_MAX];
    struct gridfile g, again;
    struct authority *authority;
    struct buf once, twice;
    size_t others = 0;
    if (gridfile_parse(slice_of(data, size), count, &others, &g, sentence) != 0)
        return 0;
    if (gridfile_authority(&g, NULL, &authority, sentence) == 0)
        authority_destroy(authority);
    format(&g, &once);
    if (gridfile_parse(buf_slice(&once), NULL, NULL, &again, sentence) != 0)
        abort();
    format(&again, &twice);
    if (!slice_equal(buf_slice(&once), buf_slice(&twice)) || gridfile_is_secret(&g) != gridfile_is_secret(&again))
        abort();
    buf_dispose(&once), buf_dispose(&twice);
    gridfile_dispose(&g), gridfile_dispose(&again);
    return 0;
}
