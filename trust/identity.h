/* trust/identity.h: a node's own key, kept in its state folder. The identity is the key's hash, never the node's name. Blocks on disk. */
#ifndef GRID_TRUST_IDENTITY_H
#define GRID_TRUST_IDENTITY_H

#include "trust/file.h"
#include "trust/key.h"

/* Loads `state_dir`/node.key (PKCS#8 PEM, 0600), minting it at the first start. Two nodes that start at once on one folder end with the same
 * key. 0; on an error `sentence` says what, on which file, and what to do. The caller destroys the key with key_destroy. */
int identity_load(const char *state_dir, struct key **out, char sentence[TRUST_SENTENCE_MAX]);

/* The node's certificate, kept beside the key as `state_dir`/node.crt (PEM): for nodes that were given one and hold no authority.
 * Load appends DER; GRID_ENOENT when there is none (`sentence` is still filled), GRID_EINVAL when it is not for this key. */
int identity_certificate_load(const char *state_dir, const struct key *k, struct buf *der, char sentence[TRUST_SENTENCE_MAX]);
int identity_certificate_store(const char *state_dir, struct slice der, char sentence[TRUST_SENTENCE_MAX]);

#endif
