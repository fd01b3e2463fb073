/* trust/weak_password.h: whether a password is one of the first that anybody tries. No sockets, no state. Any thread. */
#ifndef GRID_TRUST_WEAK_PASSWORD_H
#define GRID_TRUST_WEAK_PASSWORD_H

#include "base/slice.h"

enum { WEAK_PASSWORD_LENGTH = 10, WEAK_PASSWORD_WHY = 96 };

/* True with a clause in `why` ("it has 6 characters, and 10 are asked for") for a password that is short (in characters, not
 * bytes), made of digits alone, of few different characters or a run of neighbours, or of nothing but common words and the
 * grid's name, however they are cased, spelled with digits for letters, and followed by digits or signs. */
bool weak_password(struct slice password, const char *grid_name, char why[WEAK_PASSWORD_WHY]);

#endif
