/* One thread for each node, which asks for its lines, and one that watches who is there; the main thread waits for the end.
 *
 *     "joined" --> asking --stream ends--> waiting --1 s, or "joined"--> asking
 *                    |                        |
 *                    '----"left", "failed"----'--> idle --"joined"--> asking
 */
#include "cli/log_follow.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "grid/v1/control.pb-c.h"

enum { ARENA_BLOCK = 16 * 1024, AGAIN_S = 1, ID_SIZE = 65, NAME_SIZE = 128 };

/* A node that is, or was, a member. Its thread alone reads and writes what stands below the line. */
struct followed {
    struct log_follow *all;
    struct followed *next;
    char id[ID_SIZE], name[NAME_SIZE];
    bool is_member, has_thread;
    /* ---- */
    struct log_mark mark;
    struct log_replay replay;
    struct arena *arena; /* of one line */
    bool has_complained; /* since its last line */
};

struct log_follow {
    struct log_follow_options options;
    pthread_mutex_t lock; /* over all that threads share, and over stdout */
    pthread_cond_t changed;
    struct followed *nodes;
    struct arena *arena; /* of one event */
    bool is_over;
    int code;
};

struct log_follow *log_follow_create(const struct log_follow_options *options)
{
    struct log_follow *f = calloc(1, sizeof *f);
    if (!f || !(f->arena = arena_create(ARENA_BLOCK, 0))) {
        free(f);
        return NULL;
    }
    f->options = *options;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    return f;
}

/* The node of this id, new when it was not known; NULL when memory lacks. */
static struct followed *find(struct log_follow *f, struct slice id)
{
    for (struct followed *n = f->nodes; n; n = n->next)
        if (slice_equal_str(id, n->id))
            return n;
    struct followed *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->all = f;
    snprintf(n->id, sizeof n->id, "%.*s", SLICE_FMT(slice_first(id, ID_SIZE - 1)));
    n->next = f->nodes;
    f->nodes = n;
    return n;
}

struct log_mark *log_follow_mark(struct log_follow *f, struct slice node_id)
{
    struct followed *n = find(f, node_id);
    return n ? &n->mark : NULL;
}

/* Under the lock. The first to end it says how. */
static void end(struct log_follow *f, int code)
{
    if (!f->is_over)
        f->code = code;
    f->is_over = true;
    pthread_cond_broadcast(&f->changed);
}

/* ---- a node's thread ---- */

static bool is_wanted(const struct followed *n)
{
    return n->is_member && !n->all->is_over;
}

static bool show(struct followed *n, struct slice packed)
{
    struct log_follow *f = n->all;
    pthread_mutex_lock(&f->lock);
    bool goes_on = is_wanted(n);
    if (goes_on && !f->options.show(f->options.ctx, packed)) {
        end(f, GRID_FAILED);
        goes_on = false;
    }
    pthread_mutex_unlock(&f->lock);
    return goes_on;
}

static bool on_line(void *ctx, const void *message, size_t size)
{
    struct followed *n = ctx;
    arena_reset(n->arena);
    const Grid__V1__LogLine *line = pb_unpack(&grid__v1__log_line__descriptor, n->arena, slice_of(message, size));
    if (!line || !log_replay_is_new(&n->replay, line->time_ms))
        return true;
    log_mark_take(&n->mark, line->time_ms);
    n->has_complained = false;
    return show(n, slice_of(message, size));
}

/* Until its stream ends. */
static void ask(struct followed *n)
{
    Grid__V1__LogsRequest request = GRID__V1__LOGS_REQUEST__INIT;
    struct grid_error error = {0};
    request.task = pb_str(n->all->options.task);
    request.node = pb_str(n->id);
    request.lines = LOG_FOLLOW_OLD_LINES;
    request.follow = true;
    log_replay_begin(&n->replay, &n->mark);
    enum grid_code code = node_stream(n->all->options.cli, "Logs", &request.base, on_line, n, &error);
    pthread_mutex_lock(&n->all->lock);
    if (is_wanted(n) && !n->has_complained)
        cli_fail(GRID_IN_PART, "%s is not followed just now: %s; it is asked again as long as it is a member", n->name, code == GRID_CODE_OK ? "it ended its lines" : error.message);
    n->has_complained = true;
    pthread_mutex_unlock(&n->all->lock);
}

static void wait_a_moment(struct log_follow *f)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += AGAIN_S;
    pthread_cond_timedwait(&f->changed, &f->lock, &until);
}

static void *follow_node(void *arg)
{
    struct followed *n = arg;
    struct log_follow *f = n->all;
    n->arena = arena_create(ARENA_BLOCK, 0);
    pthread_mutex_lock(&f->lock);
    while (n->arena && is_wanted(n)) {
        pthread_mutex_unlock(&f->lock);
        ask(n);
        pthread_mutex_lock(&f->lock);
        if (is_wanted(n))
            wait_a_moment(f);
    }
    n->has_thread = false;
    arena_destroy(n->arena);
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- who is there ---- */

static void come(struct followed *n)
{
    pthread_t thread;
    n->is_member = true;
    pthread_cond_broadcast(&n->all->changed);
    if (n->has_thread)
        return;
    n->has_thread = pthread_create(&thread, NULL, follow_node, n) == 0;
    if (n->has_thread)
        pthread_detach(thread);
    else
        cli_fail(GRID_IN_PART, "%s is not followed: this machine has no more threads; follow it alone with --node", n->name);
}

static void go(struct followed *n, bool failed)
{
    if (n->is_member)
        cli_fail(GRID_IN_PART, "%s %s: its lines end here, and go on when it is back", n->name, failed ? "no longer answers" : "has left the grid");
    n->is_member = false;
}

static bool on_event(void *ctx, const void *message, size_t size)
{
    struct log_follow *f = ctx;
    pthread_mutex_lock(&f->lock);
    arena_reset(f->arena);
    const Grid__V1__NodeEvent *event = pb_unpack(&grid__v1__node_event__descriptor, f->arena, slice_of(message, size));
    struct followed *n = event && event->node && !f->is_over ? find(f, pb_slice(event->node->id)) : NULL;
    bool has_failed = n && slice_equal_str(pb_slice(event->kind), "failed");
    if (n)
        snprintf(n->name, sizeof n->name, "%.*s", SLICE_FMT(slice_first(pb_slice(event->node->name), NAME_SIZE - 1)));
    if (n && slice_equal_str(pb_slice(event->kind), "joined"))
        come(n);
    else if (n && (has_failed || slice_equal_str(pb_slice(event->kind), "left")))
        go(n, has_failed);
    bool goes_on = !f->is_over;
    pthread_mutex_unlock(&f->lock);
    return goes_on;
}

static void *watch_nodes(void *arg)
{
    struct log_follow *f = arg;
    const Grid__V1__ListNodesRequest request = GRID__V1__LIST_NODES_REQUEST__INIT;
    int code = node_follow(f->options.cli, "WatchNodes", &request.base, on_event, f);
    pthread_mutex_lock(&f->lock);
    end(f, code);
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

int log_follow_run(struct log_follow *f)
{
    pthread_t watch;
    if (pthread_create(&watch, NULL, watch_nodes, f) != 0)
        return cli_fail(GRID_FAILED, "this machine has no more threads: follow one node with --node");
    pthread_detach(watch);
    pthread_mutex_lock(&f->lock);
    while (!f->is_over)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
    return f->code;
}
