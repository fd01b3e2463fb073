/* Minting a Gridfile. */
#include "cli/gridfile_new.h"

#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/cli.h"
#include "trust/gridfile.h"

/* The file's text. 0 or a GRID_E*. */
static int compose(const struct authority *authority, struct buf *out)
{
    struct buf certificate, key;
    buf_init(&certificate, 0);
    buf_init(&key, 0);
    int err = authority_append_certificate_pem(authority, &certificate);
    if (err == 0)
        err = authority_append_key_pem(authority, &key);
    if (err == 0) {
        struct gridfile g = {.grid_name = authority_grid_name(authority),
                             .authority_certificate = buf_cstr(&certificate),
                             .authority_key = buf_cstr(&key)};
        err = gridfile_format(&g, out);
    }
    buf_dispose(&certificate);
    buf_dispose(&key);
    return err;
}

static int explain_write(const char *path, int err)
{
    if (err == 0)
        return GRID_DONE;
    if (err == GRID_EEXIST)
        return cli_fail(GRID_FAILED, "%s exists already: it holds a grid's key, so it is left alone; move it away to mint another", path);
    return cli_fail(GRID_FAILED, "%s cannot be written (%s): run this in a folder that you may write to", path, grid_err_text(err));
}

int gridfile_new(const char *path, const char *name)
{
    struct authority *authority;
    struct buf text;
    if (!trust_name_valid(slice_of_str(name)))
        return cli_fail(GRID_USAGE, "\"%s\" is not a name for a grid: give 1 to 63 characters without control characters", name);
    if (access(path, F_OK) == 0)
        return explain_write(path, GRID_EEXIST);
    int err = authority_mint(name, time(NULL), &authority);
    if (err != 0)
        return cli_fail(GRID_FAILED, "the grid's authority cannot be minted: %s", grid_err_text(err));
    buf_init(&text, 0);
    err = compose(authority, &text);
    int code = err == 0 ? explain_write(path, trust_file_create(path, buf_slice(&text), 0600)) : cli_fail(GRID_FAILED, "%s cannot be composed: %s", path, grid_err_text(err));
    buf_dispose(&text);
    authority_destroy(authority);
    return code;
}
