/* tests/unit/discovery/members_rig.h: one membership core, the frames that others would send it, and what it gave back for the last of them. */
#ifndef GRID_TESTS_MEMBERS_RIG_H
#define GRID_TESTS_MEMBERS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "discovery/members.h"

#define ID_OF(c) c c c c c c c c c c c c c c c c
#define SELF ID_OF("1111")
#define PEER ID_OF("2222")
#define THIRD ID_OF("3333")
#define FOURTH ID_OF("0000")
#define FIFTH ID_OF("4444")

enum { LINK = 7, START = 1000 };

struct rig {
    struct members *m;
    uint64_t now;
    struct gossip_frame sent[64]; /* kinds and plain fields of what was sent last */
    uint64_t sent_on[64];
    struct arena *arena;
    size_t sent_count;
    enum members_event_kind events[64];
    char who[64][65];
    size_t event_count;
    uint64_t closed[8];
    size_t closed_count;
    struct members_dial dials[8];
    char dialled[8][65];
    size_t dial_count;
    unsigned *asked; /* records that were judged */
};

static inline struct member record_of(const char *id, const char *name, uint64_t incarnation, uint64_t revision)
{
    static const char *const addresses[] = {"10.0.0.1:7900"};
    struct member m = {.incarnation = incarnation, .revision = revision, .started_at_ms = 5, .addresses = addresses, .address_count = 1,
                       .hostname = "", .platform = "", .user = "", .version = ""};
    snprintf(m.id, sizeof m.id, "%s", id);
    snprintf(m.name, sizeof m.name, "%s", name);
    return m;
}

static inline void drain(struct rig *r)
{
    struct members_event event;
    struct slice bytes;
    arena_reset(r->arena);
    r->sent_count = r->event_count = r->closed_count = r->dial_count = 0;
    while (r->sent_count < 64 && members_next_send(r->m, &r->sent_on[r->sent_count], &bytes))
        assert_int_equal(gossip_frame_unpack(arena_copy(r->arena, bytes), r->arena, NULL, &r->sent[r->sent_count++]), 0);
    while (r->closed_count < 8 && members_next_close(r->m, &r->closed[r->closed_count]))
        r->closed_count++;
    while (r->dial_count < 8 && members_next_dial(r->m, &r->dials[r->dial_count])) {
        snprintf(r->dialled[r->dial_count], 65, "%s", r->dials[r->dial_count].id);
        r->dial_count++;
    }
    while (r->event_count < 64 && members_next_event(r->m, &event)) {
        r->events[r->event_count] = event.kind;
        snprintf(r->who[r->event_count++], 65, "%s", event.member ? event.member->id : "");
    }
}

static inline void tick(struct rig *r, uint64_t by_ms)
{
    for (uint64_t end = r->now + by_ms; r->now < end;) {
        r->now = r->now + 100 < end ? r->now + 100 : end;
        members_tick(r->m, r->now);
    }
    drain(r);
}

static inline int set_up(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    struct member self = record_of(SELF, "self", 100, 0);
    struct members_config config = {.authority = "authority", .grid = "demo", .self = &self, .seed = 1};
    r->now = START;
    r->arena = arena_create(4096, 0);
    assert_int_equal(members_create(&config, r->now, &r->m), 0);
    *state = r;
    return 0;
}

static inline int tear_down(void **state)
{
    struct rig *r = *state;
    members_destroy(r->m);
    arena_destroy(r->arena);
    free(r);
    return 0;
}

static inline int deliver(struct rig *r, uint64_t link, const struct gossip_frame *frame)
{
    struct buf bytes;
    buf_init(&bytes, 0);
    assert_int_equal(gossip_frame_pack(frame, &bytes), 0);
    int err = members_receive(r->m, link, buf_slice(&bytes), r->now);
    buf_dispose(&bytes);
    drain(r);
    return err;
}

static inline void seal(const struct member *m, const char *signature, struct buf *sealed)
{
    struct buf record;
    buf_init(&record, 0);
    assert_int_equal(member_pack(m, &record), 0);
    assert_int_equal(member_seal_pack(&(struct member_seal){.record = buf_slice(&record), .signature = slice_of_str(signature)}, sealed), 0);
    buf_dispose(&record);
}

static inline int say_entry(struct rig *r, uint64_t link, struct member member, struct gossip_entry entry, enum gossip_kind kind)
{
    struct buf record;
    buf_init(&record, 0);
    member.leaving = entry.state == MEMBER_LEFT;
    seal(&member, "", &record);
    entry.record = buf_slice(&record);
    struct gossip_frame frame = {.kind = kind, .entries = &entry, .entry_count = 1, .authority = SLICE("authority"), .grid = SLICE("demo"),
                                 .protocol = GOSSIP_PROTOCOL};
    int err = deliver(r, link, &frame);
    buf_dispose(&record);
    return err;
}

static inline int say_of(struct rig *r, uint64_t link, struct member member, enum member_state state, enum gossip_kind kind)
{
    return say_entry(r, link, member, (struct gossip_entry){.state = state}, kind);
}

static inline int claim(struct rig *r, const char *id, uint64_t incarnation, enum member_state state)
{
    return say_of(r, LINK, record_of(id, id[0] == '3' ? "third" : "somebody", incarnation, 0), state, GOSSIP_TABLE);
}

static inline void link_peer(struct rig *r, uint64_t link, const char *id, const char *name)
{
    assert_int_equal(members_link_up(r->m, link, id, 0, r->now), 0);
    assert_int_equal(say_of(r, link, record_of(id, name, 200, 0), MEMBER_ALIVE, GOSSIP_HELLO), 0);
}

static inline void expect_state(const struct rig *r, const char *id, enum member_state state)
{
    const struct member *m = members_find(r->m, id);
    assert_non_null(m);
    assert_string_equal(member_state_name(m->state), member_state_name(state));
}

static inline void expect_event(const struct rig *r, enum members_event_kind kind, const char *id)
{
    for (size_t i = 0; i < r->event_count; i++)
        if (r->events[i] == kind && strcmp(r->who[i], id) == 0)
            return;
    fail_msg("no event %s of %.4s", members_event_name(kind), id);
}

static inline const struct gossip_frame *find_sent(const struct rig *r, enum gossip_kind kind)
{
    for (size_t i = 0; i < r->sent_count; i++)
        if (r->sent[i].kind == kind)
            return &r->sent[i];
    return NULL;
}

static inline const struct gossip_entry *find_entry(const struct gossip_frame *table, const char *id)
{
    for (size_t i = 0; table && table->kind == GOSSIP_TABLE && i < table->entry_count; i++)
        if (strcmp(table->entries[i].member->id, id) == 0)
            return &table->entries[i];
    return NULL;
}

static inline void acknowledge(struct rig *r, uint64_t link)
{
    deliver(r, link, &(struct gossip_frame){.kind = GOSSIP_ACK, .sequence = 1, .sent_at_ms = r->now - 3});
}

static inline void keep_alive(struct rig *r, uint64_t link, uint64_t for_ms)
{
    for (uint64_t passed = 0; passed < for_ms; passed += 100) {
        tick(r, 100);
        acknowledge(r, link);
    }
}

#endif
