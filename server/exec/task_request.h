/* server/exec/task_request.h: the head of the HTTP request that a task gets for a call (CONTRACT.md, "Tasks over HTTP"). Pure. */
#ifndef GRID_SERVER_EXEC_TASK_REQUEST_H
#define GRID_SERVER_EXEC_TASK_REQUEST_H

#include "net/http.h"
#include "server/exec/invocation.h"

enum { TASK_TRACE_TEXT = 56 };

/* Must not be moved once it is made: its headers point into it. */
struct task_request {
    struct http_request_head head;
    char deadline[SLICE_U64_TEXT]; /* Unix milliseconds */
    char trace[TASK_TRACE_TEXT];   /* traceparent (W3C Trace Context, 3.2) */
};

/* Fills it in for a call, whose arena holds the headers and whose slices are borrowed; a GET has no content type. `now_ms` is the clock of inv->deadline_ms, `wall_ms`
 * Unix time. What the caller's traceparent says is passed on when it is well formed; otherwise the call's id becomes the trace's. 0 or GRID_ENOMEM. */
int task_request_make(const struct invocation *inv, bool get, const char *authority, uint64_t now_ms, int64_t wall_ms, struct task_request *out);

#endif
