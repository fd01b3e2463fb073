/* The Gridfile on disk: its mode is looked at when it is read, and set when it is written. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "trust/gridfile.h"

static int parse_file(const char *path, const struct buf *text, gridfile_other_fn other, void *ctx, struct gridfile *out,
                      char sentence[TRUST_SENTENCE_MAX])
{
    char fault[TRUST_SENTENCE_MAX];
    int err = gridfile_parse(buf_slice(text), other, ctx, out, fault);
    if (err != 0)
        snprintf(sentence, TRUST_SENTENCE_MAX, "%.250s: %.380s", path, fault);
    return err;
}

int gridfile_load(const char *path, gridfile_other_fn other, void *ctx, struct gridfile *out, char sentence[TRUST_SENTENCE_MAX])
{
    bool open_to_others = false;
    struct buf text;
    buf_init(&text, 0);
    sentence[0] = '\0';
    int err = trust_file_read(path, &text, &open_to_others);
    if (err == GRID_ELIMIT)
        snprintf(sentence, TRUST_SENTENCE_MAX, "the Gridfile %.400s is larger than 1 MiB, as no access card is: give another file", path);
    else if (err != 0)
        snprintf(sentence, TRUST_SENTENCE_MAX, "cannot read the Gridfile %.400s: %s: give the path of the grid's access card, or make one with grid new", path, grid_err_text(err));
    else
        err = parse_file(path, &text, other, ctx, out, sentence);
    if (err == 0 && open_to_others && gridfile_is_secret(out)) {
        snprintf(sentence, TRUST_SENTENCE_MAX, "the Gridfile %.200s holds secrets and others can read it: run chmod 600 %.200s", path, path);
        gridfile_dispose(out);
        err = GRID_EPERM;
    }
    buf_dispose_wiped(&text);
    return err;
}

int gridfile_store(const char *path, const struct gridfile *g, char sentence[TRUST_SENTENCE_MAX])
{
    struct buf text;
    buf_init(&text, 0);
    int err = gridfile_format(g, &text);
    if (err == 0)
        err = trust_file_write(path, buf_slice(&text), 0600);
    if (err != 0)
        snprintf(sentence, TRUST_SENTENCE_MAX, "cannot write the Gridfile %.400s: %s", path, grid_err_text(err));
    buf_dispose_wiped(&text);
    return err;
}
