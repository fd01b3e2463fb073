/* How busy members are and what is ready there: whose word about it counts, and telling this node's own. */
#include <string.h>

#include "base/err.h"
#include "discovery/members_internal.h"

void members_load_drop(struct members_entry *e)
{
    arena_destroy(e->load_arena);
    e->load_arena = NULL;
    e->load = slice_of(NULL, 0);
    e->load_revision = 0;
    e->member.tasks = NULL;
    e->member.task_count = 0;
    e->member.tasks_sequence = 0;
}

static int keep(struct members_entry *e, struct slice packed)
{
    struct arena *arena = arena_create(512, 0);
    struct slice bytes = arena ? arena_copy(arena, packed) : slice_of(NULL, 0);
    struct member_load load;
    int err = bytes.data ? member_load_unpack(bytes, arena, &load) : GRID_ENOMEM;
    if (err != 0) {
        arena_destroy(arena);
        return err;
    }
    members_load_drop(e);
    e->load_arena = arena;
    e->load = bytes;
    e->load_revision = load.revision;
    e->member.tasks = load.tasks;
    e->member.task_count = load.task_count;
    e->member.tasks_sequence = load.tasks_sequence;
    e->member.in_flight = load.in_flight;
    e->member.queued = load.queued;
    e->member.cpu_percent = load.cpu_percent;
    return 0;
}

static bool same_task(const struct member_task *a, const struct member_task *b)
{
    return a->instances == b->instances && a->renewing == b->renewing && strcmp(a->name, b->name) == 0 && strcmp(a->fault, b->fault) == 0;
}

static bool same_tasks(const struct member *known, const struct member_task *tasks, size_t count, uint64_t sequence)
{
    if (known->task_count != count || known->tasks_sequence != sequence)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!same_task(&known->tasks[i], &tasks[i]))
            return false;
    return true;
}

/* Whether this node has a link to everybody, and so, as far as it can tell, has everybody else. */
static bool is_meshed(const struct members *m)
{
    return m->link_count + 1 >= m->living;
}

/* ---- others' ---- */

/* The owner's own link is believed whatever others have said before; another's word while there is none, or when it comes with a record that is new here,
 * so that a release is never seen with the tasks of the one before. */
static bool is_believed(const struct members_link *from, const struct members_entry *e, struct slice packed, uint64_t revision, bool with_news)
{
    bool newer = e->load.size == 0 || revision > e->load_revision;
    if (strcmp(from->peer, e->member.id) == 0)
        return newer || (from == e->link && !slice_equal(packed, e->load));
    return newer && (!e->link || with_news);
}

void members_load_hear(struct members *m, struct members_link *from, struct members_entry *e, struct slice packed, const struct member_load *load, bool with_news)
{
    if (e == m->self || e->member.state == MEMBER_EVICTED || load->started_at_ms != e->member.started_at_ms || !is_believed(from, e, packed, load->revision, with_news))
        return;
    bool changed = !same_tasks(&e->member, load->tasks, load->task_count, load->tasks_sequence);
    if (keep(e, packed) != 0)
        return;
    if (changed)
        members_note(m, MEMBERS_UPDATED, e->member.id);
    members_changed(m, e);
    members_known_there(from, e);
    if (!is_meshed(m))
        members_pass_on(m, e);
}

void members_receive_load(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    struct members_entry *e = members_entry_find(m, f->target);
    if (e)
        members_load_hear(m, l, e, f->load, &f->loaded, false);
}

/* ---- this node's ---- */

bool members_load_changes(const struct members *m, const struct member *self)
{
    return !same_tasks(&m->self->member, self->tasks, self->task_count, self->tasks_sequence);
}

int members_load_own(struct members *m, const struct member *self)
{
    const struct member *now = &m->self->member;
    struct member_load load = {.started_at_ms = now->started_at_ms, .revision = m->self->load_revision + 1, .in_flight = now->in_flight, .queued = now->queued,
                               .cpu_percent = now->cpu_percent, .tasks = self->tasks, .task_count = self->task_count,
                               .tasks_sequence = self->tasks_sequence};
    struct buf packed;
    buf_init(&packed, MEMBER_LOAD_MAX);
    int err = member_load_pack(&load, &packed);
    if (err == 0)
        err = keep(m->self, buf_slice(&packed)); /* what others would refuse is refused here */
    buf_dispose(&packed);
    return err == GRID_EPROTO ? GRID_EINVAL : err;
}

struct member_load members_load_numbers(const struct members *m)
{
    const struct member *self = &m->self->member;
    return (struct member_load){.in_flight = self->in_flight, .queued = self->queued, .cpu_percent = self->cpu_percent};
}

void members_load_tell(struct members *m)
{
    struct gossip_frame frame = {.kind = GOSSIP_LOAD, .load = m->self->load};
    memcpy(frame.target, m->self->member.id, sizeof frame.target);
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->paused)
            members_link_mark(m, l, m->self); /* once, in its last form */
        else if (l->ready)
            members_queue(m, l, &frame);
}

void members_set_load(struct members *m, uint32_t in_flight, uint32_t queued, uint32_t cpu_percent)
{
    m->self->member.in_flight = member_load_quantized(in_flight);
    m->self->member.queued = member_load_quantized(queued);
    m->self->member.cpu_percent = (cpu_percent + 2) / 5 * 5;
}
