/* Errors of the client library. */
#include "client/fault.h"

#include <stdarg.h>
#include <stdio.h>

/* The name of a status that came without a message. */
static const char *code_text(enum grid_code code)
{
    static const char *const TEXTS[] = {
        "done",          "cancelled",          "unknown failure",      "invalid argument",  "the deadline has passed", "not found",
        "exists already", "permission denied", "too busy",             "not possible now",  "aborted",                 "out of range",
        "not supported",  "internal failure",  "the node is unavailable", "data was lost", "not authenticated",
    };
    return (unsigned) code < sizeof TEXTS / sizeof *TEXTS ? TEXTS[code] : "unknown failure";
}

static void clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char) *text < 0x20 || *text == 0x7f)
            *text = ' ';
}

enum grid_code fault_set(struct grid_error *error, enum grid_code code, const char *format, ...)
{
    va_list args;
    if (!error)
        return code;
    error->code = code;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    clean(error->message);
    return code;
}

enum grid_code fault_set_slice(struct grid_error *error, enum grid_code code, struct slice message)
{
    if (message.size == 0)
        return fault_set(error, code, "%s", code_text(code));
    return fault_set(error, code, "%.*s", SLICE_FMT(slice_first(message, 999)));
}
