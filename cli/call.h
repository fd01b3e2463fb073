/* cli/call.h: what invoke and broadcast share: the task's name, its input, its answer. */
#ifndef GRID_CLI_CALL_H
#define GRID_CLI_CALL_H

#include "base/buf.h"
#include "cli/node_link.h"

struct call {
    const char *task; /* "hello" or "hello.where": the node, which knows its tasks' names, tells task and handler apart */
    struct buf data;
    struct grid_input input; /* of `data` */
    struct grid_call_options options;
};

/* From the verb's argument and its options data, raw, timeout and (of invoke) node; opens the link. An exit code; dispose either way. */
int call_init(struct call *call, struct cli *cli);
void call_dispose(struct call *call);

/* Bytes are sent as JSON when they are JSON and `raw` is not asked for. *content_type is set for other text. Pure. */
struct grid_input call_classify(struct slice data, bool is_raw, const char **content_type);

/* Says why there is no answer, and what to do; GRID_FAILED. */
int call_fail(const struct grid_error *error);
/* "hello failed on node1: TypeError: message" with the stack below, to stderr; GRID_FAILED. */
int call_explain_error(const char *task, const struct grid_result *result);

/* The rows that both have. */
#define CALL_DATA_ROW                                                                                                               \
    {                                                                                                                               \
        .name = "data", .kind = OPTION_STRING, .placeholder = "DATA", .attributes = OPTION_MAY_BE_EMPTY, .example = "'{\"name\": \"you\"}'",                           \
        .help = "what the task is given: text, @FILE for a file's content, or - for standard input"                                 \
    }
#define CALL_RAW_ROW                                                                                                                \
    {                                                                                                                               \
        .name = "raw", .kind = OPTION_FLAG, .help = "send the data as bytes, even when it is JSON"                                   \
    }
#define CALL_TIMEOUT_ROW                                                                                                            \
    {                                                                                                                               \
        .name = "timeout", .kind = OPTION_DURATION, .placeholder = "TIME", .fallback = "60s", .min = 1, .max = 86400000,             \
        .help = "how long the call may take"                                                                                        \
    }

#endif
