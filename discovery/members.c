/* The membership core's frame: its life, its events, and what arrives handed to the part that knows. */
#include "discovery/members_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

enum { REFUSED_FAILURES = 5, SCRATCH_BLOCK = 16 * 1024, SCRATCH_MAX = 64 << 20 };

/* ---- events ---- */

void members_note_bytes(struct members *m, struct members_note note, struct slice bytes)
{
    if (bytes.size > 0) {
        note.bytes = slice_to_str(bytes);
        note.size = note.bytes ? bytes.size : 0;
    }
    if (m->note_count == m->note_capacity) {
        size_t capacity = m->note_capacity ? 2 * m->note_capacity : 64;
        struct members_note *notes = realloc(m->notes, capacity * sizeof *notes);
        if (!notes) {
            free(note.bytes);
            return;
        }
        m->notes = notes;
        m->note_capacity = capacity;
    }
    m->notes[m->note_count++] = note;
}

void members_note(struct members *m, enum members_event_kind kind, const char *id)
{
    struct members_note note = {.kind = kind};
    memcpy(note.id, id, sizeof note.id);
    members_note_bytes(m, note, slice_of(NULL, 0));
}

bool members_next_event(struct members *m, struct members_event *out)
{
    if (m->note_count == 0)
        return false;
    free(m->given.bytes);
    m->given = (struct members_note){0};
    const struct members_entry *e = NULL;
    while (m->note_at < m->note_count && !e) {
        free(m->given.bytes);
        m->given = m->notes[m->note_at++];
        e = members_entry_find(m, m->given.id);
        if (!e && m->given.kind == MEMBERS_REFUSED)
            break;
    }
    if (m->given.id[0] == '\0' || (!e && m->given.kind != MEMBERS_REFUSED)) {
        m->note_at = m->note_count = 0;
        return false;
    }
    *out = (struct members_event){m->given.kind, e ? &e->member : NULL, slice_of(m->given.bytes, m->given.size), m->given.refusal,
                                  m->given.by_peer};
    return true;
}

const char *members_event_name(enum members_event_kind kind)
{
    static const char *const names[] = {"joined",  "left",      "failed", "stalled", "resumed",
                                        "updated", "restarted", "linked", "release", "evicted", "ledger", "refused"};
    return (unsigned) kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}

/* ---- what comes in ---- */

static void receive_ping(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    struct gossip_frame ack = {.kind = GOSSIP_ACK,
                               .sequence = f->sequence,
                               .sent_at_ms = f->sent_at_ms,
                               .loaded = members_load_numbers(m)};
    members_queue(m, l, &ack);
    if (!l->closing)
        members_piggyback(m, l);
}

static void receive_table(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    for (size_t i = 0; i < f->entry_count; i++)
        members_claim(m, l, &f->entries[i]);
}

static void receive_release(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    struct members_note note = {.kind = MEMBERS_RELEASE};
    memcpy(note.id, l->peer, sizeof note.id);
    members_note_bytes(m, note, f->release);
}

static void receive_probe(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    members_probe_asked(m, l, f->target);
}

static void receive_witness(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    members_witness(m, l->peer, f);
}

static void receive_refusal(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    struct members_note note = {.kind = MEMBERS_REFUSED, .refusal = f->refusal, .by_peer = true};
    struct members_entry *e = l->entry;
    memcpy(note.id, l->peer, sizeof note.id);
    members_link_close(m, l);
    if (f->refusal != GOSSIP_REFUSAL_NAME || !members_link_stands(m)) /* a name that is taken is taken everywhere: those that take this node for a member know better */
        members_note_bytes(m, note, f->reason);
    if (e) /* asking again at once would change nothing */
        e->dial_at_ms = m->now_ms + members_backoff(m, REFUSED_FAILURES, m->times->redial_slow_ms);
}

static void receive_nothing(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    (void) m, (void) l, (void) f;
}

static int dispatch(struct members *m, struct members_link *l, const struct gossip_frame *f)
{
    static void (*const receivers[])(struct members *, struct members_link *, const struct gossip_frame *) = {
        [GOSSIP_HELLO] = members_hello,     [GOSSIP_PING] = receive_ping,       [GOSSIP_ACK] = members_receive_ack,
        [GOSSIP_TABLE] = receive_table,     [GOSSIP_RELEASE] = receive_release, [GOSSIP_PROBE] = receive_probe,
        [GOSSIP_WITNESS] = receive_witness, [GOSSIP_REFUSAL] = receive_refusal, [GOSSIP_LEDGER] = members_receive_ledger,
        [GOSSIP_NEWS] = members_receive_news, [GOSSIP_DIGEST] = members_receive_digest, [GOSSIP_SUMMARY] = members_receive_summary,
        [GOSSIP_LOAD] = members_receive_load, [GOSSIP_UNKNOWN] = receive_nothing};
    bool opening = f->kind == GOSSIP_HELLO;
    if (f->kind != GOSSIP_REFUSAL && opening == l->ready) /* Hello is the first frame, and only the first */
        return GRID_EPROTO;
    if (l->ready)
        members_heard(m, l);
    receivers[f->kind](m, l, f);
    return 0;
}

static const struct member *find_known(void *ctx, struct slice record, struct slice *load)
{
    const struct members *m = ctx;
    struct slice id = member_seal_peek_id(record);
    const struct members_entry *e = id.size > 0 ? members_entry_find(m, (const char *) id.data) : NULL;
    if (!e || !slice_equal(e->record, record))
        return NULL;
    *load = e->load;
    return &e->member;
}

int members_receive(struct members *m, uint64_t link, struct slice frame, uint64_t now_ms)
{
    const struct gossip_known known = {find_known, m};
    struct members_link *l = members_link_find(m, link);
    struct gossip_frame f;
    m->now_ms = members_later(m->now_ms, now_ms);
    if (!l || l->closing)
        return 0;
    m->counters.frames_in++;
    m->counters.bytes_in += frame.size;
    int err = gossip_frame_unpack(frame, m->scratch, &known, &f);
    if (err == 0)
        err = dispatch(m, l, &f);
    arena_reset(m->scratch);
    members_settle(m);
    return err;
}

/* ---- the view ---- */

size_t members_count(const struct members *m)
{
    return m->count;
}

const struct member *members_at(const struct members *m, size_t index)
{
    return &m->order[index]->member;
}

const struct member *members_find(const struct members *m, const char *id)
{
    if (!member_id_valid(slice_of_str(id)))
        return NULL;
    const struct members_entry *e = members_entry_find(m, id);
    return e ? &e->member : NULL;
}

const struct members_counters *members_counters(const struct members *m)
{
    return &m->counters;
}

unsigned members_health(const struct members *m)
{
    return m->health.score;
}

/* ---- life ---- */

static int append_seed(struct members *m, const char *address)
{
    struct members_seed *grown = realloc(m->seeds, (m->seed_count + 1) * sizeof *grown);
    if (!grown)
        return GRID_ENOMEM;
    m->seeds = grown;
    grown[m->seed_count] = (struct members_seed){.address = slice_to_str(slice_of_str(address))};
    if (!grown[m->seed_count].address)
        return GRID_ENOMEM;
    m->seed_count++;
    return 0;
}

static size_t find_seed(const struct members *m, const char *address)
{
    size_t i = 0;
    while (i < m->seed_count && strcmp(m->seeds[i].address, address) != 0)
        i++;
    return i;
}

void members_remove_seed(struct members *m, const char *address)
{
    size_t i = find_seed(m, address);
    if (i == m->seed_count)
        return;
    free(m->seeds[i].address);
    m->seeds[i] = m->seeds[--m->seed_count];
}

enum members_seed_state members_seed_look(const struct members *m, const char *address, unsigned *failures)
{
    size_t i = find_seed(m, address);
    if (failures)
        *failures = i < m->seed_count ? m->seeds[i].failures : 0;
    if (i == m->seed_count)
        return MEMBERS_SEED_NONE;
    if (m->seeds[i].id[0] == '\0')
        return MEMBERS_SEED_TRIED;
    return strcmp(m->seeds[i].id, m->self->member.id) == 0 ? MEMBERS_SEED_SELF : MEMBERS_SEED_FOUND;
}

int members_add_seed(struct members *m, const char *address, uint64_t delay_ms, uint64_t now_ms)
{
    size_t i = find_seed(m, address);
    m->now_ms = members_later(m->now_ms, now_ms);
    if (i == MEMBERS_SEEDS_MAX)
        return GRID_ELIMIT;
    int err = i == m->seed_count ? append_seed(m, address) : 0;
    if (err != 0)
        return err;
    m->seeds[i].failures = 0;
    m->seeds[i].dial_at_ms = m->now_ms + delay_ms;
    m->seed_due_ms = members_earlier(m->seed_due_ms, m->seeds[i].dial_at_ms);
    return 0;
}

static int add_seeds(struct members *m, const char *const *seeds, size_t count)
{
    m->seeds = calloc(count + 1, sizeof *m->seeds);
    if (!m->seeds)
        return GRID_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        m->seeds[i].address = slice_to_str(slice_of_str(seeds[i]));
        if (!m->seeds[i].address)
            return GRID_ENOMEM;
        m->seed_count++;
    }
    return 0;
}

static int add_self(struct members *m, const struct member *self)
{
    if (!member_id_valid(slice_of_str(self->id)) || self->name[0] == '\0')
        return GRID_EINVAL;
    m->self = members_entry_add(m, self->id, self->id);
    if (!m->self)
        return GRID_ENOMEM;
    m->self->member.local = true;
    int err = members_self_repack(m, self);
    return err == 0 ? members_load_own(m, self) : err;
}

int members_create(const struct members_config *config, uint64_t now_ms, struct members **out)
{
    struct members *m = calloc(1, sizeof *m);
    if (!m)
        return GRID_ENOMEM;
    m->now_ms = now_ms;
    m->random = config->seed ? config->seed : 1;
    m->times = config->times ? config->times : &MEMBERS_LAN;
    m->admit = config->admit;
    m->seal = config->seal;
    m->ctx = config->ctx;
    m->probe_at_ms = now_ms + swim_random_below(&m->random, m->times->probe_ms + 1);
    m->sync_at_ms = now_ms + swim_random_below(&m->random, m->times->sync_ms + 1);
    buf_init(&m->out, GOSSIP_FRAME_MAX);
    buf_init(&m->packed, GOSSIP_FRAME_MAX);
    buf_init(&m->release, GOSSIP_FRAME_MAX);
    buf_init(&m->digest, GOSSIP_DIGEST_SIZE);
    buf_init(&m->ledger, GOSSIP_FRAME_MAX);
    snprintf(m->authority, sizeof m->authority, "%s", config->authority);
    snprintf(m->grid, sizeof m->grid, "%s", config->grid);
    m->order = calloc(MEMBERS_MAX, sizeof(struct members_entry *));
    m->scratch = arena_create(SCRATCH_BLOCK, SCRATCH_MAX);
    int err = m->order && m->scratch ? add_self(m, config->self) : GRID_ENOMEM;
    if (err == 0)
        err = add_seeds(m, config->seeds, config->seed_count);
    if (err == 0)
        *out = m;
    else
        members_destroy(m);
    return err;
}

void members_destroy(struct members *m)
{
    if (!m)
        return;
    while (m->links)
        members_link_free(m, m->links);
    members_frames_free(m);
    free(m->index);
    free(m->places);
    free(m->sends);
    map_destroy(m->names);
    for (size_t i = 0; i < m->count; i++)
        members_entry_free(m->order[i]);
    for (size_t i = 0; i < m->seed_count; i++)
        free(m->seeds[i].address);
    while (m->note_at < m->note_count)
        free(m->notes[m->note_at++].bytes);
    free(m->given.bytes);
    free(m->notes);
    free(m->seeds);
    free(m->order);
    buf_dispose(&m->out);
    buf_dispose(&m->packed);
    arena_destroy(m->scratch);
    buf_dispose(&m->release);
    buf_dispose(&m->digest);
    buf_dispose(&m->ledger);
    map_destroy(m->evicted);
    free(m);
}
