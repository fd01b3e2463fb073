/* fs/ignore.h: what never travels: .gridignore with git's pattern rules (gitignore(5)), and what is left out whatever it says.
 * No I/O. A list is immutable once made and may be read by any thread. */
#ifndef GRID_FS_IGNORE_H
#define GRID_FS_IGNORE_H

#include "base/slice.h"

#define IGNORE_FILE_NAME ".gridignore"
#define IGNORE_CONTENT_MAX (1024u * 1024) /* bytes of one .gridignore */
#define IGNORE_PATTERN_MAX 4096u          /* bytes of one line; a longer one is an error */

/* The patterns of one .gridignore, and behind them those of the folders above. */
struct ignore_list;

/* `base` is the folder's path from the root of the tree, "" for the root, without slashes at either end. `parent` is the list of the
 * nearest folder above that has one (or NULL) and must outlive this one. Copies what it needs. 0, GRID_ENOMEM, or GRID_ELIMIT when the
 * content or a line is too long (`*line` says which, from 1; 0 for the content as a whole; `line` may be NULL). */
int ignore_list_create(const struct ignore_list *parent, struct slice base, struct slice content, struct ignore_list **out,
                       uint32_t *line);
void ignore_list_destroy(struct ignore_list *l);

/* Whether `path` (from the root of the tree, no slash at either end) is left out by the patterns. The last pattern that matches
 * decides, those of deeper folders before those above. Folders above `path` are not looked at: who walks does not go into what is
 * left out. `list` may be NULL: nothing is left out. The time is linear in pattern and path. */
bool ignore_list_excludes(const struct ignore_list *list, struct slice path, bool is_dir);

/* Names left out always: .git, Gridfile*, and what ssh-keygen calls a private key (id_rsa, id_dsa, id_ecdsa, id_ed25519 and their
 * _sk forms). `name` is one path component. */
bool ignore_name_reserved(struct slice name);

/* Bytes of a file's beginning that ignore_is_private_key wants to see. */
#define IGNORE_SNIFF_BYTES (4096u + 256u)

/* Whether a file of this name and beginning holds a private key: a PEM or OpenSSH or PGP "-----BEGIN ... PRIVATE KEY-----" that stands
 * alone on its line or has key material behind it (so that a library naming the marker in its source is not taken for one), a PuTTY
 * key file, or, in a .pem or .key file, "PRIVATE KEY" anywhere. `head` may be longer than IGNORE_SNIFF_BYTES: all is looked at when
 * the name is that of a key or certificate file, else the first IGNORE_SNIFF_BYTES. */
bool ignore_is_private_key(struct slice name, struct slice head);

#endif
