/* server/ingress/task_error.h: what a task's own failure says, from the answer as it came: a function wrapper's
 * {"errorType","errorMessage","stackTrace":[]} or any other body with a status of 500 and above. Pure. */
#ifndef GRID_SERVER_INGRESS_TASK_ERROR_H
#define GRID_SERVER_INGRESS_TASK_ERROR_H

#include "base/arena.h"
#include "base/slice.h"

struct task_error {
    struct slice type;
    struct slice message;
    struct slice *stack; /* lines */
    size_t stack_count;
    struct slice code; /* raw JSON, a string or a number: the error's own `code`; empty without one */
    /* What the function failed with when that was no error object: raw JSON, such as "\"text\"", "5" or "{...}". Empty otherwise.
     */
    struct slice value;
};

/* True when the answer is a failure; fills `out`, whose slices live in the arena. `function_error` is the wrapper's mark or empty.
 */
bool task_error_from_answer(struct arena *a, int status, struct slice function_error, struct slice body, struct task_error *out);

#endif
