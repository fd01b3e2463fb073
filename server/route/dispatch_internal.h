/* server/route/dispatch_internal.h: what the parts of dispatch share. An invocation's way through a worker:
 *
 *   start --> place --run here / forward--> SENT --answer--> on_end
 *               |  \--nothing ready, busy--> WAITING --table, room, timer--> place
 *               |  \--all that is left failed it--> BACKING_OFF --timer--> place
 *               \--refused--> ENDING --end of iteration--> on_end
 *   SENT --failed unseen, within attempts and budget--> place
 *   any --deadline, cancel--> on_end (SENT: once the attempt has been taken back)
 *
 * dispatch_call.c has its life and its places, dispatch_wait.c what waits, dispatch_attempt.c what has been sent, dispatch.c the worker's set of calls. */
#ifndef GRID_SERVER_ROUTE_DISPATCH_INTERNAL_H
#define GRID_SERVER_ROUTE_DISPATCH_INTERNAL_H

#include "server/route/dispatch.h"
#include "server/route/peer_link.h"
#include "server/route/retry.h"
#include "server/route/router.h"
#include "server/route/waiting.h"

enum {
    DISPATCH_BUSY_PUSHBACK_MS = 500,
    CALL_TEXT_MAX = 320,
};

struct dispatch {
    struct loop *loop;
    struct dispatch_options options;
    struct route_view *view;
    struct task_pool *tasks;
    struct peer_links *links;
    struct invocation *first, *last;
    size_t in_flight;
    struct waiting waiting;
    uint64_t refused_id, refused_told_ms; /* the instance that control was last told of */
    struct loop_deferred look;            /* at all that wait */
    struct loop_timer busy_timer;
    struct loop_deferred closed;
    bool closing;
    unsigned parts; /* pool and links that are not closed yet */
    loop_fn done;
    void *done_arg;
};

enum call_state { CALL_PLACING, CALL_SENT, CALL_WAITING, CALL_BACKING_OFF, CALL_ENDING };

/* dispatch's record of an invocation, in its arena. */
struct call {
    struct dispatch *d;
    struct invocation *inv;
    const struct route_task *task; /* in inv->view's table; NULL while unknown */
    enum call_state state;
    struct loop_timer deadline;
    struct loop_timer retry; /* backoff, pushback, or the end of patience with a task that cannot be started */
    struct waiting_entry wait;
    uint64_t started_ms;
    struct instance *instance; /* of the attempt under way, NULL when it went to a node */
    const char *release;       /* that instance's, in inv->view's table; NULL likewise */
    unsigned node;
    unsigned attempts, backoffs;
    uint64_t avoid_nodes, avoid_instance;
    bool counted;                 /* as an invocation of its task */
    bool seen;                    /* a task may have seen it */
    bool erred;                   /* the task's own error */
    bool owes;                    /* a token, before the next attempt may go out */
    bool taken_back;              /* deadline or cancel: what the attempt still says is not passed on */
    struct retry_attempt failure; /* the last one */
    struct invocation_fault fault;
    char text[CALL_TEXT_MAX]; /* fault.message */
};

/* ---- dispatch.c ---- */
void dispatch_list_add(struct dispatch *d, struct invocation *inv);
void dispatch_list_remove(struct dispatch *d, struct invocation *inv);
/* Tells whoever waits for the end, when nothing is left. */
void dispatch_check_closed(struct dispatch *d);

/* ---- dispatch_call.c ---- */
/* The task's name as a sentence shows it. */
struct slice call_shown_task(const struct call *c);
void call_set_fault(struct call *c, int status, const char *message, int64_t pushback_ms);
/* Lets go of everything and tells the sink, which may destroy the invocation. */
void call_finish(struct call *c);
/* Ends it at the end of the iteration, with the fault that is set. */
void call_end_later(struct call *c);
void call_fail(struct call *c, int status, const char *message, int64_t pushback_ms);
/* By the newest table: sent, made to wait, or refused. */
void call_place(struct call *c);
/* "the task NAME did not answer within 100 ms" */
void call_say_late(const struct call *c, const char *what, char text[CALL_TEXT_MAX]);

/* ---- dispatch_wait.c ---- */
void call_wait_ready(struct call *c);
void call_wait_busy(struct call *c);
void call_place_after(struct call *c, uint64_t delay_ms);
void call_back_off(struct call *c);
/* At all that wait, at the end of the iteration. */
void dispatch_look_soon(struct dispatch *d);

/* ---- dispatch_attempt.c ---- */
/* To the instance or node that has been picked. */
void call_send(struct call *c);

#endif
