/* The head of a request: what is the caller's, what is the call's, and a trace of its own where the caller sent none. */
#include "server/exec/task_request.h"

#include "base/err.h"

enum { HEADERS_OWN_MAX = 8 /* beside the caller's metadata */ };

static void header_add(struct http_request_head *head, struct slice name, struct slice value)
{
    if (value.size == 0)
        return;
    struct http_header *headers = (struct http_header *) (uintptr_t) head->headers; /* ours, made by task_request_make */
    headers[head->header_count++] = (struct http_header){name, value};
}

static int metadata_add(const struct invocation *inv, struct http_request_head *head)
{
    static const struct slice prefix = SLICE_INIT("grid-meta-");
    for (size_t i = 0; i < inv->metadata_count; i++) {
        const struct http_header *m = &inv->metadata[i];
        uint8_t *name = arena_alloc(inv->arena, prefix.size + m->name.size);
        if (!name)
            return GRID_ENOMEM;
        memcpy(name, prefix.data, prefix.size);
        if (m->name.size > 0)
            memcpy(name + prefix.size, m->name.data, m->name.size);
        header_add(head, slice_of(name, prefix.size + m->name.size), m->value);
    }
    return 0;
}

static struct slice deadline_text(const struct invocation *inv, uint64_t now_ms, int64_t wall_ms, char text[SLICE_U64_TEXT])
{
    uint64_t left = inv->deadline_ms > now_ms ? inv->deadline_ms - now_ms : 0;
    return slice_of_u64((uint64_t) wall_ms + left, text);
}

/* W3C Trace Context, 3.2: "00-<32 hex>-<16 hex>-<2 hex>", neither id all zeros; a later version may go on behind another dash. */
static bool trace_is_valid(struct slice text)
{
    static const char SHAPE[] = "00-00000000000000000000000000000000-0000000000000000-00";
    bool trace = false, span = false;
    if (text.size < sizeof SHAPE - 1 || slice_has_prefix(text, SLICE("ff")))
        return false;
    for (size_t i = 0; i < sizeof SHAPE - 1; i++) {
        uint8_t byte = text.data[i];
        bool digit = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
        if (SHAPE[i] == '-' ? byte != '-' : !digit)
            return false;
        trace = trace || (i >= 3 && i < 35 && byte != '0');
        span = span || (i >= 36 && i < 52 && byte != '0');
    }
    if (text.size > sizeof SHAPE - 1 && (slice_has_prefix(text, SLICE("00")) || text.data[sizeof SHAPE - 1] != '-'))
        return false;
    return trace && span;
}

/* The caller's trace, or a new one that is called as the request is: its 32 digits, and the last 16 of them for the span. */
static struct slice trace_text(const struct invocation *inv, char text[TASK_TRACE_TEXT])
{
    static const char SHAPE[TASK_TRACE_TEXT] = "00-00000000000000000000000000000000-0000000000000000-01";
    enum { TRACE_AT = 3, SPAN_AT = 36, DIGITS = 32 };
    size_t n = 0;
    if (trace_is_valid(inv->traceparent))
        return inv->traceparent;
    memcpy(text, SHAPE, TASK_TRACE_TEXT);
    for (const char *at = inv->id; *at && n < DIGITS; at++)
        if (*at != '-')
            text[TRACE_AT + n++] = *at;
    memcpy(text + SPAN_AT, text + TRACE_AT + DIGITS / 2, DIGITS / 2);
    return slice_of(text, TASK_TRACE_TEXT - 1);
}

int task_request_make(const struct invocation *inv, bool get, const char *authority, uint64_t now_ms, int64_t wall_ms, struct task_request *out)
{
    struct http_header *headers = arena_alloc(inv->arena, (HEADERS_OWN_MAX + inv->metadata_count) * sizeof *headers);
    if (!headers)
        return GRID_ENOMEM;
    struct http_request_head *head = &out->head;
    *head = (struct http_request_head){get ? SLICE("GET") : SLICE("POST"), SLICE("/"), slice_of_str(authority), headers, 0};
    if (!get)
        header_add(head, SLICE("content-type"), inv->content_type);
    header_add(head, SLICE("grid-handler"), inv->handler);
    header_add(head, SLICE("grid-request-id"), slice_of_str(inv->id));
    header_add(head, SLICE("grid-deadline-ms"), deadline_text(inv, now_ms, wall_ms, out->deadline));
    header_add(head, SLICE("traceparent"), trace_text(inv, out->trace));
    header_add(head, SLICE("idempotency-key"), inv->idempotency_key);
    return metadata_add(inv, head);
}
