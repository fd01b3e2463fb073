/* This node's own record: sealed, told when it changes, and its last word. */
#include "discovery/members_internal.h"

#include <string.h>

#include "base/err.h"

static int seal(const struct members *m, struct slice record, struct buf *sealed)
{
    const struct member_seal by_nobody = {.record = record};
    return m->seal ? m->seal(m->ctx, record, sealed) : member_seal_pack(&by_nobody, sealed);
}

int members_self_repack(struct members *m, const struct member *self)
{
    struct buf record, sealed;
    struct member copy = *self;
    struct arena *arena = arena_create(1024, 0);
    buf_init(&record, 0);
    buf_init(&sealed, MEMBER_SEALED_MAX);
    int err = arena ? member_pack(self, &record) : GRID_ENOMEM;
    if (err == 0)
        err = member_unpack(buf_slice(&record), arena, &copy); /* what others would refuse is refused here */
    if (err == 0)
        err = seal(m, buf_slice(&record), &sealed);
    if (err == 0)
        err = members_entry_set(m, m->self, &copy, buf_slice(&sealed));
    buf_dispose(&record);
    buf_dispose(&sealed);
    arena_destroy(arena);
    return err == GRID_EPROTO ? GRID_EINVAL : err;
}

static bool same_text(const char *const *a, size_t a_count, const char *const *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

static bool same_record(const struct member *a, const struct member *b)
{
    const char *a_texts[] = {a->name, a->release, a->hostname, a->platform, a->user, a->version};
    const char *b_texts[] = {b->name, b->release, b->hostname, b->platform, b->user, b->version};
    return same_text(a_texts, 6, b_texts, 6) && same_text(a->addresses, a->address_count, b->addresses, b->address_count) &&
           same_text(a->capabilities, a->capability_count, b->capabilities, b->capability_count) &&
           a->release_sequence == b->release_sequence && strcmp(a->release_publisher, b->release_publisher) == 0 &&
           a->api_port == b->api_port && a->synchronized == b->synchronized && a->started_at_ms == b->started_at_ms;
}

static int change_record(struct members *m, const struct member *self)
{
    struct member next = *self;
    memcpy(next.id, m->self->member.id, sizeof next.id);
    next.incarnation = m->self->member.incarnation;
    next.revision = m->self->member.revision + 1;
    return members_self_repack(m, &next);
}

/* A record that changed together with the tasks goes out with them, in one frame. */
int members_set_self(struct members *m, const struct member *self, uint64_t now_ms)
{
    bool other_record = !same_record(self, &m->self->member), other_tasks = members_load_changes(m, self);
    m->now_ms = members_later(m->now_ms, now_ms);
    int err = other_record ? change_record(m, self) : 0;
    if (err == 0 && other_tasks)
        err = members_load_own(m, self);
    if (other_record) {
        members_spread(m, m->self, NULL);
        members_pass_on(m, m->self);
    } else if (err == 0 && other_tasks)
        members_load_tell(m);
    return err;
}

int members_reseal(struct members *m, uint64_t now_ms)
{
    struct member next = m->self->member;
    m->now_ms = members_later(m->now_ms, now_ms);
    next.revision++;
    int err = members_self_repack(m, &next);
    if (err != 0)
        return err;
    members_spread(m, m->self, NULL);
    members_pass_on(m, m->self);
    return 0;
}

int members_announce_release(struct members *m, struct slice packed, uint64_t now_ms)
{
    struct gossip_frame frame = {.kind = GOSSIP_RELEASE, .release = packed};
    m->now_ms = members_later(m->now_ms, now_ms);
    if (packed.size > GOSSIP_FRAME_MAX - 64)
        return GRID_ELIMIT;
    int err = buf_reserve(&m->release, packed.size);
    if (err != 0)
        return err;
    buf_clear(&m->release);
    buf_append(&m->release, packed);
    for (struct members_link *l = m->links; l; l = l->next)
        if (l->ready)
            members_queue(m, l, &frame);
    return 0;
}

void members_leave(struct members *m, uint64_t now_ms)
{
    m->now_ms = members_later(m->now_ms, now_ms);
    m->leaving = true;
    struct member last = m->self->member;
    last.leaving = true;
    last.revision++;
    if (members_self_repack(m, &last) != 0)
        return;
    members_state_set(m, m->self, MEMBER_LEFT);
    members_spread(m, m->self, NULL);
}
