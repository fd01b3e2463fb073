/* base/base64.h: RFC 4648 base64 and base64url. Any thread. */
#ifndef GRID_BASE_BASE64_H
#define GRID_BASE_BASE64_H

#include "base/buf.h"

enum base64_alphabet {
    BASE64_STANDARD, /* with + and / */
    BASE64_URL,      /* with - and _ */
};

/* Appends the encoding, padded with '=' or not. 0, GRID_ELIMIT or GRID_ENOMEM, unchanged on an error. */
int base64_encode(struct buf *out, struct slice bytes, enum base64_alphabet alphabet, bool padded);

/* Appends what `text` stands for; padding may be there whole or not at all. GRID_EINVAL, with `out` unchanged, for a character of
 * another alphabet, blanks, half padding, a lone last character, or leftover bits that are not zero. */
int base64_decode(struct buf *out, struct slice text, enum base64_alphabet alphabet);

#endif
