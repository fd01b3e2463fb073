/* The event loop: libuv's loop, a mailbox under one lock, a list of deferred work run before each poll, and a heap of timers. */
#include "net/loop.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "net/busy_poll.h"

enum {
    LOOP_SCRATCH_BYTES = 128 * 1024,
    LOOP_DEFER_ROUNDS = 8, /* deferred work that defers more work yields to the poll after so many rounds */
    LOOP_HEAP_FIRST = 64,
};

struct loop_post {
    struct loop_post *next;
    loop_fn fn;
    void *arg;
};

struct loop_mailbox {
    pthread_mutex_t lock;
    struct loop_post *first, **last;
};

struct loop_heap {
    struct loop_timer **at; /* at[1..count]; at[0] is unused */
    size_t count, capacity;
    uint64_t sequence;
};

struct loop {
    uv_loop_t uv;
    uv_async_t async;
    uv_prepare_t prepare;
    uv_idle_t idle; /* while it runs, libuv's poll does not sleep */
    uv_timer_t timer;
    struct busy_poll busy_poll;
    bool event; /* something came since the last poll began */
    struct loop_mailbox mailbox;
    atomic_bool stopping;
    struct loop_deferred deferred; /* sentinel of a ring: next is the first, prev the link that points back here */
    struct loop_heap heap;
    uint8_t *scratch;
    struct carrier *carrier;
};

/* ---- deferred work ---- */

static void ring_init(struct loop_deferred *ring)
{
    ring->next = ring;
    ring->prev = &ring->next;
}

static void ring_append(struct loop_deferred *ring, struct loop_deferred *d)
{
    d->next = ring;
    d->prev = ring->prev;
    *d->prev = d;
    ring->prev = &d->next;
}

static void ring_remove(struct loop_deferred *d)
{
    *d->prev = d->next;
    d->next->prev = d->prev;
    d->next = NULL;
    d->prev = NULL;
}

/* Moves everything of `from` to the empty ring `to`. */
static void ring_move(struct loop_deferred *from, struct loop_deferred *to)
{
    ring_init(to);
    if (from->next == from)
        return;
    to->next = from->next;
    to->prev = from->prev;
    to->next->prev = &to->next;
    *to->prev = to;
    ring_init(from);
}

void loop_defer(struct loop *l, struct loop_deferred *d, loop_fn fn, void *arg)
{
    if (d->prev)
        return;
    d->fn = fn;
    d->arg = arg;
    ring_append(&l->deferred, d);
}

void loop_defer_cancel(struct loop_deferred *d)
{
    if (d->prev)
        ring_remove(d);
}

static void deferred_run(struct loop *l)
{
    struct loop_deferred now;
    for (int round = 0; round < LOOP_DEFER_ROUNDS && l->deferred.next != &l->deferred; round++) {
        ring_move(&l->deferred, &now);
        while (now.next != &now) {
            struct loop_deferred *d = now.next;
            ring_remove(d);
            d->fn(d->arg);
        }
    }
    if (l->deferred.next != &l->deferred)
        uv_async_send(&l->async);
}

/* ---- looking for a while before sleeping ---- */

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

void loop_event(struct loop *l)
{
    l->event = true;
}

void loop_busy_poll(struct loop *l, uint64_t max_us)
{
    busy_poll_init(&l->busy_poll, max_us * 1000);
}

static void on_idle(uv_idle_t *handle)
{
    (void) handle;
}

/* Another thread that wants this CPU gets it between two looks. */
static void loop_rest(struct loop *l)
{
    bool event = l->event;
    l->event = false;
    if (busy_poll_again(&l->busy_poll, event, clock_ns())) {
        if (!event)
            sched_yield();
        uv_idle_start(&l->idle, on_idle);
    } else {
        uv_idle_stop(&l->idle);
    }
}

static void on_prepare(uv_prepare_t *handle)
{
    struct loop *l = handle->data;
    deferred_run(l);
    if (l->busy_poll.max_ns > 0)
        loop_rest(l);
}

/* ---- mailbox ---- */

int loop_post(struct loop *l, loop_fn fn, void *arg)
{
    struct loop_post *post = malloc(sizeof *post);
    if (!post)
        return GRID_ENOMEM;
    *post = (struct loop_post){.fn = fn, .arg = arg};
    pthread_mutex_lock(&l->mailbox.lock);
    bool wake = l->mailbox.first == NULL;
    *l->mailbox.last = post;
    l->mailbox.last = &post->next;
    if (wake)
        uv_async_send(&l->async);
    pthread_mutex_unlock(&l->mailbox.lock);
    return 0;
}

static struct loop_post *mailbox_take(struct loop_mailbox *m)
{
    pthread_mutex_lock(&m->lock);
    struct loop_post *first = m->first;
    m->first = NULL;
    m->last = &m->first;
    pthread_mutex_unlock(&m->lock);
    return first;
}

/* Runs what was posted; true when there was something. */
static bool mailbox_run(struct loop *l)
{
    struct loop_post *post = mailbox_take(&l->mailbox);
    bool any = post != NULL;
    while (post) {
        struct loop_post *next = post->next;
        post->fn(post->arg);
        free(post);
        post = next;
    }
    return any;
}

static void on_async(uv_async_t *handle)
{
    struct loop *l = handle->data;
    l->event = true;
    mailbox_run(l);
    if (atomic_exchange(&l->stopping, false))
        uv_stop(&l->uv);
}

/* ---- timers ---- */

static bool timer_before(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->sequence < b->sequence;
}

static void heap_put(struct loop_heap *h, size_t index, struct loop_timer *t)
{
    h->at[index] = t;
    t->heap_index = index;
}

static void heap_up(struct loop_heap *h, size_t index, struct loop_timer *t)
{
    while (index > 1 && timer_before(t, h->at[index / 2])) {
        heap_put(h, index, h->at[index / 2]);
        index /= 2;
    }
    heap_put(h, index, t);
}

static void heap_down(struct loop_heap *h, size_t index, struct loop_timer *t)
{
    for (;;) {
        size_t child = index * 2;
        if (child > h->count)
            break;
        if (child < h->count && timer_before(h->at[child + 1], h->at[child]))
            child++;
        if (!timer_before(h->at[child], t))
            break;
        heap_put(h, index, h->at[child]);
        index = child;
    }
    heap_put(h, index, t);
}

/* A timer that cannot be started would be a call without a deadline: with no memory for eight bytes the process ends instead. */
static void heap_make_room(struct loop_heap *h)
{
    if (h->count + 1 < h->capacity)
        return;
    size_t capacity = h->capacity ? h->capacity * 2 : LOOP_HEAP_FIRST;
    struct loop_timer **at = realloc(h->at, capacity * sizeof(struct loop_timer *));
    if (!at)
        abort();
    h->at = at;
    h->capacity = capacity;
}

static void heap_insert(struct loop_heap *h, struct loop_timer *t)
{
    heap_make_room(h);
    h->count++;
    heap_up(h, h->count, t);
}

static void heap_remove(struct loop_heap *h, struct loop_timer *t)
{
    size_t index = t->heap_index;
    struct loop_timer *last = h->at[h->count];
    t->heap_index = 0;
    h->count--;
    if (last == t)
        return;
    if (index > 1 && timer_before(last, h->at[index / 2]))
        heap_up(h, index, last);
    else
        heap_down(h, index, last);
}

static void on_timer(uv_timer_t *handle);

/* The uv_timer is only ever moved earlier here; a stop leaves it, and it finds nothing due. */
static void timer_arm(struct loop *l)
{
    if (l->heap.count == 0)
        return;
    uint64_t due = l->heap.at[1]->due_ms, now = uv_now(&l->uv);
    uv_timer_start(&l->timer, on_timer, due > now ? due - now : 0, 0);
}

static void on_timer(uv_timer_t *handle)
{
    struct loop *l = handle->data;
    uint64_t now = uv_now(&l->uv), sequence = l->heap.sequence;
    /* One that was started while these run waits for the next round, even with no delay. */
    while (l->heap.count > 0 && l->heap.at[1]->due_ms <= now && l->heap.at[1]->sequence <= sequence) {
        struct loop_timer *t = l->heap.at[1];
        heap_remove(&l->heap, t);
        t->fn(t->arg);
    }
    timer_arm(l);
}

void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t delay_ms, loop_fn fn, void *arg)
{
    loop_timer_stop(t);
    t->fn = fn;
    t->arg = arg;
    t->loop = l;
    t->due_ms = uv_now(&l->uv) + delay_ms;
    t->sequence = ++l->heap.sequence;
    heap_insert(&l->heap, t);
    if (t->heap_index == 1)
        timer_arm(l);
}

void loop_timer_stop(struct loop_timer *t)
{
    if (t->heap_index != 0)
        heap_remove(&t->loop->heap, t);
}

/* ---- the loop ---- */

static int loop_start_handles(struct loop *l)
{
    if (uv_async_init(&l->uv, &l->async, on_async) != 0)
        return GRID_EIO;
    uv_prepare_init(&l->uv, &l->prepare);
    uv_idle_init(&l->uv, &l->idle);
    uv_timer_init(&l->uv, &l->timer);
    l->async.data = l->prepare.data = l->timer.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_unref((uv_handle_t *) &l->prepare);
    uv_unref((uv_handle_t *) &l->idle);
    return 0;
}

int loop_create(struct loop **out)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return GRID_ENOMEM;
    ring_init(&l->deferred);
    l->mailbox.last = &l->mailbox.first;
    l->scratch = malloc(LOOP_SCRATCH_BYTES);
    int err = l->scratch ? 0 : GRID_ENOMEM;
    if (err == 0 && uv_loop_init(&l->uv) != 0)
        err = GRID_EIO;
    if (err == 0 && (err = loop_start_handles(l)) != 0)
        uv_loop_close(&l->uv);
    if (err != 0) {
        free(l->scratch);
        free(l);
        return err;
    }
    pthread_mutex_init(&l->mailbox.lock, NULL);
    *out = l;
    return 0;
}

/* Close callbacks may post and defer, and what they ask for may close more: until nothing is left. */
static void loop_settle(struct loop *l)
{
    do {
        uv_run(&l->uv, UV_RUN_DEFAULT);
        deferred_run(l);
    } while (mailbox_run(l) || l->deferred.next != &l->deferred || uv_loop_alive(&l->uv));
}

void loop_destroy(struct loop *l)
{
    uv_unref((uv_handle_t *) &l->async);
    uv_unref((uv_handle_t *) &l->timer);
    loop_settle(l);
    uv_close((uv_handle_t *) &l->async, NULL);
    uv_close((uv_handle_t *) &l->prepare, NULL);
    uv_close((uv_handle_t *) &l->idle, NULL);
    uv_close((uv_handle_t *) &l->timer, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    uv_loop_close(&l->uv);
    pthread_mutex_destroy(&l->mailbox.lock);
    free(l->heap.at);
    free(l->scratch);
    free(l);
}

void loop_run(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_DEFAULT);
    deferred_run(l);
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stopping, true);
    uv_async_send(&l->async);
}

void loop_set_carrier(struct loop *l, struct carrier *k)
{
    l->carrier = k;
}

struct carrier *loop_carrier(const struct loop *l)
{
    return l->carrier;
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

struct loop_scratch loop_scratch(struct loop *l)
{
    return (struct loop_scratch){l->scratch, LOOP_SCRATCH_BYTES};
}

uint64_t loop_now_ms(const struct loop *l)
{
    return uv_now(&l->uv);
}

uint64_t loop_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

uint64_t loop_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

int64_t loop_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the thread pool ---- */

struct loop_job {
    uv_work_t request;
    loop_fn work, done;
    void *arg;
};

static void on_job_work(uv_work_t *request)
{
    struct loop_job *job = request->data;
    job->work(job->arg);
}

static void on_job_done(uv_work_t *request, int status)
{
    struct loop_job *job = request->data;
    (void) status; /* nobody cancels them */
    job->done(job->arg);
    free(job);
}

int loop_work(struct loop *l, loop_fn work, loop_fn done, void *arg)
{
    struct loop_job *job = malloc(sizeof *job);
    if (!job)
        return GRID_ENOMEM;
    *job = (struct loop_job){.work = work, .done = done, .arg = arg};
    job->request.data = job;
    if (uv_queue_work(&l->uv, &job->request, on_job_work, on_job_done) != 0) {
        free(job);
        return GRID_ENOMEM;
    }
    return 0;
}
