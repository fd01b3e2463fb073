/* base/form.h: application/x-www-form-urlencoded with nested brackets (as npm's `qs` and jQuery send it) to JSON. Any thread. */
#ifndef GRID_BASE_FORM_H
#define GRID_BASE_FORM_H

#include "base/buf.h"

enum { FORM_MAX_PARAMETERS = 1000, FORM_MAX_DEPTH = 20 };

struct form_error {
    size_t parameter;   /* counted from 1 */
    const char *reason; /* a clause such as "has a '%' without two hexadecimal digits"; static storage */
};

/* Appends one JSON object to `out_json`:
 *   task_id=echo&data%5Bname%5D=yey&data[a][0]=1&x[]=1&x[]=2  ->  {"task_id":"echo","data":{"name":"yey","a":["1"]},"x":["1","2"]}
 * - all leaves are strings; a parameter without '=' is an empty one; one without a name is passed over
 * - '+' is a space; names are split at their brackets after %XX is undone
 * - an object whose keys are exactly 0 to n-1, in any order, is an array; `[]` takes the next index; the outermost is always an
 * object
 * - a name that comes twice as a plain value makes an array of the values, as in qs
 * - a name that is both a plain value and a container, brackets that do not pair, and bytes that are not UTF-8 are refused
 * - keys keep the order of their first appearance; none is special, `__proto__` neither
 * Returns 0; GRID_EPROTO when malformed; GRID_ELIMIT over FORM_MAX_PARAMETERS, FORM_MAX_DEPTH brackets in a name, or the buffer's
 * cap; GRID_ENOMEM. On an error `out_json` is as it was and `*out_error` (may be NULL) says which parameter and why. */
int form_to_json(struct slice form, struct buf *out_json, struct form_error *out_error);

#endif
