/* base/log.h: one line per event, a sentence with fields, to stderr. Any thread; a line is one write(2). */
#ifndef GRID_BASE_LOG_H
#define GRID_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

/* Set once at start, before other threads run. `node` (copied, at most 63 bytes) stands in every line; NULL for none. */
void log_configure(enum log_level level, enum log_format format, const char *node);

/* The level alone may change at any time (SIGHUP). */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
int log_level_parse(const char *name, enum log_level *out);

/* One field behind the sentence. Made by LOGF_* below; strings are borrowed for the call. */
struct log_field {
    const char *key;
    enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_END } kind;
    struct slice str;
    int64_t number;
};

#define LOGF_STR(k, cstr) ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .str = slice_of_str(cstr)})
#define LOGF_SLICE(k, s) ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .str = (s)})
#define LOGF_INT(k, n) ((struct log_field){.key = (k), .kind = LOG_FIELD_INT, .number = (int64_t) (n)})
#define LOGF_ERR(e) LOGF_STR("error", grid_err_text(e))

/* log_line(LOG_WARN, "a task could not be started", LOGF_STR("task", name), LOGF_INT("exit", code)); the sentence is a literal.
 * Control characters in values are escaped; a line is cut at 4 KiB. */
#define log_line(level, sentence, ...)                                                                                              \
    do {                                                                                                                            \
        if (log_enabled(level))                                                                                                     \
            log_write(level, sentence, (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.kind = LOG_FIELD_END}});              \
    } while (0)

void log_write(enum log_level level, const char *sentence, const struct log_field *fields);

/* What a line says beside its sentence and fields. */
struct log_context {
    enum log_level level;
    enum log_format format;
    int64_t unix_ms;
    const char *node; /* NULL or "" for none */
};

enum { LOG_LINE_MAX = 4096 };

/* The pure part of log_write: renders one line with its newline into `out` and returns its length, at most LOG_LINE_MAX.
 * Text: `2026-11-22T20:12:04.123Z INFO  sentence node=n key=value key="quoted value"`. JSON: `{"ts","level","msg","node",key:value...}`.
 * In text, control characters, line separators, bidirectional marks and bytes that are not UTF-8 become \xNN; in JSON the former are escaped
 * and the latter become U+FFFD.
 * What does not fit is cut and marked: ` cut=true`, `"cut":true`. `fields` ends with LOG_FIELD_END. */
size_t log_render(char out[LOG_LINE_MAX], const struct log_context *context, const char *sentence, const struct log_field *fields);

#endif
