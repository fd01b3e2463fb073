/* A file STATE/trust that reads is written again and read back the same; what is read from the disk is what was written to it. */
// links: grid_trust
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trust/standing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void pack(const struct standing *s, struct buf *out)
{
    buf_init(out, STANDING_MAX);
    if (standing_pack(s, out) != 0)
        abort();
}

/* A folder of this process's own, for as long as it runs. */
static const char *folder(void)
{
    static char path[] = "/tmp/fuzz-standing-XXXXXX";
    static bool made;
    if (!made && !mkdtemp(path))
        abort();
    made = true;
    return path;
}

static void clean(void)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/trust", folder());
    unlink(path);
    rmdir(folder());
}

/* Through the disk: 0 or the error that standing_unpack gave. */
static void store_and_load(const struct standing *s, struct slice packed)
{
    char sentence[TRUST_SENTENCE_MAX];
    struct standing loaded;
    struct buf again;
    standing_init(&loaded);
    if (standing_store(folder(), s, sentence) != 0 || standing_load(folder(), &loaded, sentence) != 0)
        abort();
    pack(&loaded, &again);
    if (!slice_equal(packed, buf_slice(&again)))
        abort();
    buf_dispose(&again);
    standing_dispose(&loaded);
}

/* A damaged file is refused with a sentence that names it. */
static void load_raw(struct slice bytes, int expected)
{
    char path[PATH_MAX], sentence[TRUST_SENTENCE_MAX] = "";
    struct standing loaded;
    snprintf(path, sizeof path, "%s/trust", folder());
    if (trust_file_write(path, bytes, 0600) != 0)
        abort();
    standing_init(&loaded);
    if (standing_load(folder(), &loaded, sentence) != expected || (expected != 0 && !strstr(sentence, path)))
        abort();
    standing_dispose(&loaded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    struct standing s, again;
    struct buf once, twice;
    if (!begun)
        atexit(clean);
    begun = true;
    standing_init(&s), standing_init(&again);
    int err = standing_unpack(slice_of(data, size), &s);
    if (size % 16 == 0)
        load_raw(slice_of(data, size), err);
    if (err == 0) {
        pack(&s, &once);
        if (standing_unpack(buf_slice(&once), &again) != 0)
            abort();
        pack(&again, &twice);
        if (!slice_equal(buf_slice(&once), buf_slice(&twice)))
            abort();
        for (size_t i = 0; i < s.former_count; i++)
            if (!standing_is_former(&again, s.former[i]))
                abort();
        standing_add_former(&again, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        if (size % 16 == 1)
            store_and_load(&s, buf_slice(&once));
        buf_dispose(&once), buf_dispose(&twice);
    }
    standing_dispose(&s), standing_dispose(&again);
    return 0;
}
