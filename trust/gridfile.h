/* trust/gridfile.h: the access card of a grid, a TOML subset (docs/formats/gridfile.md). Reading and writing block on disk; any thread. */
#ifndef GRID_TRUST_GRIDFILE_H
#define GRID_TRUST_GRIDFILE_H

#include "base/toml.h"
#include "trust/authority.h"
#include "trust/file.h"

enum { GRIDFILE_LIST_MAX = 1024 };

/* What is absent is "" or an empty list. To write one, fill a zeroed struct by hand: NULL strings count as "". */
struct gridfile {
    const char *grid_name;
    const char *grid_password;
    const char *const *servers; /* "host:port" or ssh targets, as given */
    size_t server_count;
    const char *ssh_key;        /* PEM */
    const char *ssh_public_key;
    const char *const *publishers; /* ids, 64 hex digits; empty: any node or admin may publish */
    size_t publisher_count;
    const char *authority_certificate; /* PEM */
    const char *authority_key;         /* PEM */
    struct arena *arena; /* of a parsed one: all of the above lives in it */
};

/* Hears of each key that is none of the above: a daemon's option, or a slip to warn about. */
typedef void (*gridfile_other_fn)(void *ctx, const struct toml_entry *entry);

/* Reads a text. `other` may be NULL. 0 (gridfile_dispose it); GRID_EPROTO, GRID_ELIMIT or GRID_ENOMEM with a sentence such as
 * `Gridfile line 3, column 9: expected "=" after the key`, or `Gridfile line 2, column 13: expected a string for grid_name`. */
int gridfile_parse(struct slice text, gridfile_other_fn other, void *ctx, struct gridfile *out, char sentence[TRUST_SENTENCE_MAX]);
/* What it held is overwritten. */
void gridfile_dispose(struct gridfile *g);
/* Overwrites password and private keys, which are absent from then on; the rest stays. */
void gridfile_forget_secrets(struct gridfile *g);

/* The same from a file. A file that holds a secret and that others than its owner have rights on is refused (GRID_EPERM) with the remedy;
 * GRID_ENOENT when there is none. Sentences name the path. */
int gridfile_load(const char *path, gridfile_other_fn other, void *ctx, struct gridfile *out, char sentence[TRUST_SENTENCE_MAX]);

/* True when it has a password or a private key. */
bool gridfile_is_secret(const struct gridfile *g);

/* Appends the text; what it writes, gridfile_parse reads back the same. 0, GRID_EINVAL (text that is not UTF-8), GRID_ELIMIT, GRID_ENOMEM. */
int gridfile_format(const struct gridfile *g, struct buf *out);
/* Replaces or makes the file, mode 0600. 0, or an error with a sentence. */
int gridfile_store(const char *path, const struct gridfile *g, char sentence[TRUST_SENTENCE_MAX]);

/* Its authority, for the grid of this name (NULL: whatever it says). 0; GRID_ENOENT when it has none; GRID_EINVAL when it is damaged or another
 * grid's; each with a sentence. */
int gridfile_authority(const struct gridfile *g, const char *grid_name, struct authority **out, char sentence[TRUST_SENTENCE_MAX]);

#endif
