/* server/ingress/door.h: one HTTP request at one of the plain doors: collects the body within the limit, then runs the door's
 * handler, which starts an invocation or an admin question, or answers at once. Keeps memory alive until all that was started has
 * ended. */
#ifndef GRID_SERVER_INGRESS_DOOR_H
#define GRID_SERVER_INGRESS_DOOR_H

#include "base/json.h"
#include "server/ingress/ingress_internal.h"

struct door_request;

struct door {
    const char *method; /* NULL: any */
    const char *path;   /* exact, or a prefix when it ends with '/' and `prefix` */
    bool prefix;
    bool any_body_type; /* forms and text too: the original's routes, and those without a body */
    bool form_body;     /* may come as a form, which takes up to three times its data's size */
    bool any_host;      /* exempt from the Host rule */
    bool no_token;      /* answers without the API token too */
    bool for_tasks;     /* invokes, or tells nothing: open to the processes of tasks too */
    /* The whole request is there: r->body. */
    void (*handle)(struct door_request *r);
    /* Answers a fault in the door's own form: an HTTP status and a sentence. NULL: {"error":{"code","message"}}. */
    void (*refuse)(struct door_request *r, int http_status, const char *code, const char *message);
};

struct door_request {
    struct ingress *ingress;
    const struct door *door;
    struct http_exchange *x;              /* NULL once closed */
    const struct http_request_head *head; /* valid while x is */
    struct arena *arena;
    struct slice path; /* without query, in the arena */
    struct slice query;
    struct slice content_type;
    struct buf body;
    size_t held; /* of the ingress's budget */
    bool body_unwanted;
    bool token;
    bool replied;           /* the question has had an answer */
    unsigned pending;       /* invocations, questions and broadcasts under way */
    struct invocation *inv; /* at most one; NULL when ended */
    struct dispatch_broadcast *broadcast;
    struct admin_call *question;
    void *state; /* the handler's own, in the arena */
    /* An unary answer being collected, for doors that translate it. */
    struct buf answer;
    int answer_status;
    struct slice answer_type;
    struct slice answer_error; /* "Handled", "Unhandled" or empty */
    const struct route_node *answer_node;
    uint32_t answer_attempts;
    bool answer_too_large;
    void (*on_answer)(struct door_request *r, const struct invocation_fault *fault);
    /* A question's answer. */
    void (*on_reply)(struct door_request *r, struct slice packed);
    void (*on_replied)(struct door_request *r, int status, const char *message);
};

/* Takes the exchange over; `doors` ends with a NULL path. False: no door has this path (nothing was done). A known path with
 * another method is answered 405 with Allow; HEAD is taken wherever GET is. */
bool door_open(struct ingress *i, const struct door *doors, struct http_exchange *x);

/* Answers {"error":{"code","message"}} to an exchange that no door has taken, and drops its body. `allow` (may be NULL): the
 * methods that its path has. */
void door_answer_stray(struct http_exchange *x, int status, const char *code, const char *message, const char *allow);
/* The guard's verdict on an exchange for a route (NULL: gRPC). 0, or the status that was answered. */
int door_guard(const struct ingress *i, const struct door *door, struct http_exchange *x, bool *token);

/* Answers JSON text. Does nothing when the client has left. */
void door_answer_json(struct door_request *r, int status, struct slice json);
void door_answer(struct door_request *r, int status, const char *content_type, struct slice body);
/* The door's refusal. */
void door_refuse(struct door_request *r, int http_status, const char *code, const char *message);
/* {"error":{"code","message"}} with Retry-After when pushback_ms >= 0. */
void door_answer_error(struct door_request *r, int http_status, const char *code, const char *message, int64_t pushback_ms);
/* The same with headers of the door's own, at most DOOR_EXTRA_MAX. */
enum { DOOR_EXTRA_MAX = 4 };
void door_answer_error_with(struct door_request *r, int http_status, const char *code, const char *message, int64_t pushback_ms,
                            const struct http_header *extra, size_t count);

/* An invocation with id, deadline and body set, ready for dispatch_start through door_invoke or door_invoke_collect. NULL: refused
 * (503). */
struct invocation *door_invocation(struct door_request *r, struct slice task, struct slice handler);
/* Sends it with a sink of the door's own; the sink calls door_invocation_ended at on_end. */
void door_invoke(struct door_request *r, const struct invocation_sink *sink);
void door_invocation_ended(struct door_request *r);
/* Sends it, collects the answer into r->answer*, and calls on_answer (fault NULL: answered). */
void door_invoke_collect(struct door_request *r, void (*on_answer)(struct door_request *r, const struct invocation_fault *fault));
/* Asks control. A unary question: on_reply once, then on_replied. */
void door_ask(struct door_request *r, const char *method, struct slice request,
              void (*on_reply)(struct door_request *r, struct slice packed),
              void (*on_replied)(struct door_request *r, int status, const char *message));
/* Counts what the handler started by itself (a broadcast). */
void door_hold(struct door_request *r);
void door_release(struct door_request *r);

/* True when the collected body is one JSON value. *raw is it without blanks around. */
bool door_body_json(const struct door_request *r, struct slice *raw);

/* HTTP status of a grid fault: 404, 413 (payload), 429, 499, 502, 503, 504, 400, 403, 500. */
int door_status_of_fault(int grpc_status);

#endif
