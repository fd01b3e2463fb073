/* A process's lines up to the remark that it failed are a run. Of a line only its shape is compared, where one number is as good as another: ports, pids and
 * addresses differ from run to run. Lines are held while they are the beginning of a known run:
 *
 *     holding --a line that is not, or half a second--> showing --remark: the run is known from now on--> holding
 *        |                                                                                                   ^
 *        '------------------remark that ends a known run: counted, its lines are dropped---------------------'
 */
#include "cli/dev_repeat.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum { RUN_LINES = 64, KNOWN_RUNS = 32, HOLD_MS = 500, ARENA_BLOCK = 4096 };

/* Shapes of its lines; one of more than RUN_LINES lines is like no other. */
struct run {
    uint64_t shapes[RUN_LINES];
    unsigned count;
};

struct process {
    struct process *next;
    unsigned source;
    char *task;
    uint32_t instance;
    struct run now;
    bool is_showing;
    struct arena *arena; /* of what is held */
    struct dev_line held[RUN_LINES];
    unsigned held_count;
    uint64_t held_ms; /* since when */
    const struct run *last; /* how it failed last, of the known */
    unsigned times;         /* in a row */
};

struct dev_repeat {
    dev_line_fn show;
    void *ctx;
    struct process *processes;
    struct run known[KNOWN_RUNS]; /* the oldest makes room */
    unsigned known_count;         /* ever */
};

struct dev_repeat *dev_repeat_create(dev_line_fn show, void *ctx)
{
    struct dev_repeat *r = calloc(1, sizeof *r);
    if (r) {
        r->show = show;
        r->ctx = ctx;
    }
    return r;
}

void dev_repeat_destroy(struct dev_repeat *r)
{
    for (struct process *p; r && (p = r->processes);) {
        r->processes = p->next;
        arena_destroy(p->arena);
        free(p->task);
        free(p);
    }
    free(r);
}

/* ---- shapes ---- */

static uint64_t mix(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * UINT64_C(1099511628211); /* FNV-1a */
}

/* Of a task's line: a number, hexadecimal ones too, counts as one digit. */
static uint64_t shape_of(const struct dev_line *line)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < line->task.size; i++)
        hash = mix(hash, line->task.data[i]);
    hash = mix(hash, 0);
    for (size_t i = 0; i < line->text.size; i++) {
        bool is_number = isdigit(line->text.data[i]);
        hash = mix(hash, is_number ? '0' : line->text.data[i]);
        while (is_number && i + 1 < line->text.size && isxdigit(line->text.data[i + 1]))
            i++;
    }
    return hash;
}

/* The known run that this one is (`whole`) or begins like; NULL when there is none. */
static const struct run *find_known(const struct dev_repeat *r, const struct run *now, bool whole)
{
    for (unsigned i = 0; i < r->known_count && i < KNOWN_RUNS; i++) {
        const struct run *known = &r->known[i];
        bool fits = now->count <= known->count && (!whole || now->count == known->count);
        if (fits && memcmp(known->shapes, now->shapes, now->count * sizeof *now->shapes) == 0)
            return known;
    }
    return NULL;
}

/* Whoever failed like the run that makes room has failed like none that is known. */
static const struct run *learn(struct dev_repeat *r, const struct run *now)
{
    struct run *room = &r->known[r->known_count++ % KNOWN_RUNS];
    for (struct process *p = r->processes; p; p = p->next)
        if (p->last == room)
            p->last = NULL;
    *room = *now;
    return room;
}

/* ---- processes ---- */

static bool is_its(const struct process *p, const struct dev_line *line)
{
    return p->source == line->source && p->instance == line->instance && slice_equal_str(line->task, p->task);
}

/* NULL when memory lacks. */
static struct process *find_process(struct dev_repeat *r, const struct dev_line *line)
{
    for (struct process *p = r->processes; p; p = p->next)
        if (is_its(p, line))
            return p;
    struct process *p = calloc(1, sizeof *p);
    char *task = slice_to_str(line->task);
    struct arena *arena = arena_create(ARENA_BLOCK, 0);
    if (!p || !task || !arena) {
        arena_destroy(arena);
        free(task);
        free(p);
        return NULL;
    }
    *p = (struct process){.next = r->processes, .source = line->source, .task = task, .instance = line->instance, .arena = arena};
    r->processes = p;
    return p;
}

static void drop_held(struct process *p)
{
    p->held_count = 0;
    arena_reset(p->arena);
}

static void show_held(struct dev_repeat *r, struct process *p)
{
    for (unsigned i = 0; i < p->held_count; i++)
        r->show(r->ctx, &p->held[i]);
    drop_held(p);
    p->is_showing = true;
}

/* False when memory lacks. */
static bool hold(struct process *p, const struct dev_line *line, uint64_t now_ms)
{
    struct slice text = arena_copy(p->arena, line->text), stream = arena_copy(p->arena, line->stream);
    if ((!text.data && line->text.size > 0) || (!stream.data && line->stream.size > 0) || p->held_count == RUN_LINES)
        return false;
    if (p->held_count == 0)
        p->held_ms = now_ms;
    struct dev_line *held = &p->held[p->held_count++];
    *held = *line;
    held->task = slice_of_str(p->task);
    held->text = text;
    held->stream = stream;
    return true;
}

/* ---- runs ---- */

static void tell_repeat(struct dev_repeat *r, const struct process *p, const struct dev_line *line)
{
    char text[64];
    struct dev_line told = *line;
    if ((p->times & (p->times - 1)) != 0)
        return;
    if (p->times == 1)
        snprintf(text, sizeof text, "it failed in the way that is shown above");
    else
        snprintf(text, sizeof text, "it has failed %u times in the same way", p->times);
    told.text = slice_of_str(text);
    r->show(r->ctx, &told);
}

/* `line` is the remark, the run's last line, not shown yet. */
static void conclude(struct dev_repeat *r, struct process *p, const struct dev_line *line)
{
    const struct run *known = find_known(r, &p->now, true);
    bool is_new = !known || p->is_showing;
    if (is_new) {
        show_held(r, p);
        r->show(r->ctx, line);
    }
    if (!known && p->now.count <= RUN_LINES)
        known = learn(r, &p->now);
    p->times = known && known == p->last ? p->times + 1 : 1;
    p->last = known;
    if (!is_new)
        tell_repeat(r, p, line);
    drop_held(p);
    p->now.count = 0;
    p->is_showing = false;
}

void dev_repeat_take(struct dev_repeat *r, const struct dev_line *line, uint64_t now_ms)
{
    struct process *p = find_process(r, line);
    if (!p) {
        r->show(r->ctx, line);
        return;
    }
    if (p->now.count < RUN_LINES)
        p->now.shapes[p->now.count++] = shape_of(line);
    else
        p->now.count = RUN_LINES + 1;
    if (slice_equal_str(line->stream, "grid")) {
        conclude(r, p, line);
        return;
    }
    bool may_be_known = !p->is_showing && find_known(r, &p->now, false);
    if (may_be_known && hold(p, line, now_ms))
        return;
    show_held(r, p);
    r->show(r->ctx, line);
}

/* ---- time ---- */

static uint64_t held_until(const struct process *p)
{
    return p->held_ms + HOLD_MS;
}

int dev_repeat_wait(const struct dev_repeat *r, uint64_t now_ms)
{
    int wait = -1;
    for (const struct process *p = r->processes; p; p = p->next) {
        int own = held_until(p) > now_ms ? (int) (held_until(p) - now_ms) : 0;
        if (p->held_count > 0 && (wait < 0 || own < wait))
            wait = own;
    }
    return wait;
}

void dev_repeat_release(struct dev_repeat *r, uint64_t now_ms)
{
    for (struct process *p = r->processes; p; p = p->next)
        if (p->held_count > 0 && held_until(p) <= now_ms)
            show_held(r, p);
}

void dev_repeat_forget(struct dev_repeat *r)
{
    r->known_count = 0;
    for (struct process *p = r->processes; p; p = p->next) {
        if (p->held_count > 0)
            show_held(r, p);
        p->last = NULL;
        p->times = 0;
    }
}
