/* discovery/members_internal.h: what the parts of the membership core share: members.c (its life, events, what comes in), members_entry.c (what is
 * known of each), members_name.c (who is meant by a name), members_link.c (links and their queues), members_self.c (this node's record),
 * members_merge.c (claims and greetings), members_sync.c (news passed on, views compared), members_load.c (what is ready where), members_hear.c (who is
 * heard, who is silent), members_ask.c (what is said of a third), members_suspect.c (suspicion, witnesses, conviction), members_judge.c (what time
 * brings to a member), members_tick.c (what this node does by the clock), members_dial.c (whom to connect to) and members_trust.c (what the grid has
 * decided). */
#ifndef GRID_DISCOVERY_MEMBERS_INTERNAL_H
#define GRID_DISCOVERY_MEMBERS_INTERNAL_H

#include "base/map.h"
#include "base/token_bucket.h"
#include "discovery/members.h"
#include "discovery/swim_health.h"
#include "discovery/swim_probe.h"
#include "discovery/swim_random.h"
#include "discovery/swim_spread.h"
#include "discovery/swim_suspicion.h"
#include "discovery/swim_timers.h"

#define MEMBERS_NEVER UINT64_MAX

enum {
    MEMBERS_QUEUE_MAX = 256, /* frames that wait on one link */
    MEMBERS_HEARSAY_MAX = 64, /* or so many, and one more is what a third says of him */
    MEMBERS_FOUND = 256,
    MEMBERS_TABLE_BYTES = 256 * 1024,
    MEMBERS_TABLE_ENTRIES = 256,
    MEMBERS_WITNESSES_MAX = 4,
    MEMBERS_ASKERS_MAX = 4,   /* of one member's acknowledgement */
    MEMBERS_INDIRECT = 3,     /* k of SWIM's indirect probes (section 3.1) */
    MEMBERS_CONFIRMATIONS = SWIM_ACCUSERS_MAX - 1, /* k of Lifeguard's: a suspicion is short only when nobody is left to vouch */
    MEMBERS_SPREAD_LAMBDA = 2, /* links lose nothing; the comparison of views mends the rest */
    MEMBERS_SPREAD_FANOUT = 3, /* links of one round of passing on */
    MEMBERS_TICK_MAX_MS = 500,
    MEMBERS_PAUSE_MS = 150,    /* run so much too late, and the time does not count */
    MEMBERS_ASK_MS = 1000,     /* between two askings of others about one member */
    MEMBERS_MEETINGS_MAX = 4,  /* first dials at a time, as long as they are not late: each costs both sides a handshake, and on a busy machine more at once only take longer */
};

struct members_frame {
    struct members_frame *next;
    size_t size;
    uint8_t data[];
};

struct members_link {
    struct members_link *next; /* what every walk over all links looks at stands first */
    struct members_frame *head, **tail;
    struct members_entry *entry; /* once ready */
    bool dialled, ready, closing, paused, any_dirty;
    bool relayed; /* its bytes go by way of a third */
    uint16_t place;
    uint64_t id, heard_ms, sent_ms, opened_ms;
    char peer[MEMBER_ID_SIZE];
    uint64_t greeted_incarnation, greeted_revision, greeted_load; /* of this node, as the Hello told it */
    uint64_t summed_ms; /* when it was last sent a summary */
    uint64_t pinged_ms, pinged_us; /* when it was last sent a ping */
    uint64_t sequence;
    size_t queued;
    uint64_t dirty[MEMBERS_MAX / 64]; /* by slot: members to be sent */
    uint64_t has[MEMBERS_MAX / 64];   /* by slot: whose record in its present version and state was sent or came here */
    uint64_t disputes[MEMBERS_MAX / 64]; /* by slot: whose name is another member's to the one at its end */
};

/* What every frame from a member and every look at it touches stands first. */
struct members_entry {
    uint16_t slot;
    bool living; /* counted as such */
    bool told;   /* that it is stalled, by somebody or by us */
    bool blamed; /* our own health has suffered for its silence */
    unsigned asker_count;
    struct members_link *link;
    uint64_t heard_ms;
    uint64_t pinged_ms, repinged_ms; /* the first ping that nothing came after, 0: none; the latest */
    uint64_t accused_ms, accused_incarnation; /* since when, and which: others hold this one for dead, and we do not yet; 0: none */
    uint64_t token, dial_at_ms; /* token of the dial under way, 0: none; when the next may be */
    struct member member;
    struct slice record; /* sealed by its owner; in the arena. Empty: it has lost its name to another, and nothing that it says counts (members_name.c) */
    struct slice load; /* packed by its owner; in load_arena, as the member's tasks; empty: none is known of this process */
    uint64_t load_revision;
    struct arena *arena, *load_arena;
    uint64_t key, pair; /* the id's first half; a hash of both this id and our own */
    uint8_t id_bytes[MEMBER_ID_BYTES]; /* the id again */
    uint64_t hash; /* its share of the view's */
    uint64_t known_ms, vouched_ms, ended_ms;
    uint64_t returned_ms; /* when it was last found to live after it had been dead here; 0: never */
    uint64_t first_ms, named_ms; /* since when there is word of this id here, whatever became of it; and since when it is meant by its name */
    uint64_t told_by;            /* half the id of who told of it first, or of who had met it; 0: itself */
    bool told_met;               /* by one that has had a link with it */
    bool met, met_early;         /* a link of its own has stood here; while the grid was a small one */
    struct token_bucket tells, meets; /* newcomers that it may tell of: by others' word; that it has met */
    /* probing */
    uint64_t unanswered_ms; /* like pinged_ms, of the link that was lost last */
    uint64_t asked_ms;
    uint64_t askers[MEMBERS_ASKERS_MAX]; /* links on which somebody waits for word of it */
    /* conviction */
    bool gone;    /* nothing was acknowledged: a link given up by the kernel, or a dial without an answer */
    uint64_t silent_since_ms; /* a dial found its kernel alive and its process silent, or not yet answering; 0: none did */
    struct swim_suspicion suspicion;
    char witnesses[MEMBERS_WITNESSES_MAX][MEMBER_ID_SIZE];
    unsigned witness_count;
    /* dialling */
    uint64_t dialled_ms;        /* when the dial under way began */
    uint64_t keep_until_ms;     /* beyond the active view: for a probe */
    bool unplanned;             /* when its first dial is due is said at the end of the input that told of it */
    bool meeting;               /* counted among the dials to those that nothing is held against */
    bool near;                  /* in the active view */
    unsigned failures, refusals; /* of our dials in a row, and those of them that were refused */
    unsigned denials;            /* links in a row that he took for none of his grid's */
    uint64_t denied_until_ms;    /* is not dialled before */
};

struct members_seed {
    char *address;
    uint64_t token, dial_at_ms;
    unsigned failures;
    char id[MEMBER_ID_SIZE]; /* who answered there */
};

struct members_note { /* an event that waits */
    enum members_event_kind kind;
    char id[MEMBER_ID_SIZE];
    char *bytes;
    size_t size;
    enum gossip_refusal refusal;
    bool by_peer;
};

/* What every input and every tick touches stands first, what is great last. */
struct members {
    uint64_t now_ms, due_ms, random, next_token;
    const struct members_times *times;
    struct members_entry *self;
    uint32_t *index, index_mask; /* from ids to slots (members_entry.c) */
    struct members_link *links;  /* the newest first */
    struct members_link **places; /* the same, the oldest first; with a bit in `sends` for each that may have something to send */
    uint64_t *sends;
    size_t place_count, place_capacity;
    size_t link_count, pending_count, closing_count; /* not closing; of those not ready; closing */
    uint64_t woke_ms; /* when this node last ran again after it had left out pings that were due; 0: it never has */
    uint64_t pending_due_ms; /* the Hello of none that is not ready is late before */
    size_t count, living, met, stalled, dead; /* all; alive or stalled, this node included; of those the ones that had a link here; the stalled; dead */
    uint64_t seed_due_ms; /* not before: nothing is to be dialled */
    size_t dial_count; /* bits of dial_wanted */
    size_t note_count, note_at;
    struct arena *scratch; /* of the frame at hand */
    struct buf out, packed; /* the table that the caller holds; the frame being queued */
    struct members_frame *held, *spare; /* the frame that the caller holds; short ones to be used again */
    unsigned spare_count;
    bool leaving, any_denied, ring_changed, name_moved; /* the last: by the claim at hand */
    struct swim_health health;
    struct members_entry *watched, *watcher; /* the next living linked one on the ring, and the one before; NULL: none */
    uint64_t probe_at_ms, spread_at_ms, sync_at_ms, looked_ms; /* looked: when all were last pinged */
    uint64_t refuted_ms, refute_above; /* the latest refutation; a claim that waits to be refuted, 0: none */
    unsigned refuted_count;            /* within a second */
    uint64_t view;                /* sum of the living entries' hashes */
    uint64_t precise_ms, precise_us; /* the time in microseconds, when it was that of now_ms */
    size_t slot_end;
    struct members_entry **order; /* for members_at; MEMBERS_MAX of them */
    struct members_counters counters;
    bool (*admit)(void *ctx, const struct gossip_entry *entry);
    int (*seal)(void *ctx, struct slice record, struct buf *out);
    void *ctx;
    char authority[MEMBER_ID_SIZE];
    char grid[MEMBER_NAME_MAX + 1];
    char also[GOSSIP_ALSO_MAX][MEMBER_ID_SIZE]; /* further authorities */
    size_t also_count;
    struct members_seed *seeds;
    size_t seed_count;
    struct members_note *notes;
    size_t note_capacity;
    struct members_note given; /* the one the caller holds */
    struct buf release, digest, ledger;
    struct map *evicted; /* ids; NULL before the first */
    struct map *names;   /* to the entries that are meant by them (members_name.c); NULL before the first */
    size_t meetings;
    uint64_t dial_wanted[MEMBERS_MAX / 64], dialled[MEMBERS_MAX / 64]; /* by slot: who is to be dialled; whose dial is under way */
    struct members_link *found[MEMBERS_FOUND]; /* by id: where members_link_find found one last */
    struct swim_timers timers;
    struct swim_spread spread;
    struct swim_probe probe;
    struct members_entry *slots[MEMBERS_MAX];
};

/* members_entry.c */
struct members_entry *members_entry_find(const struct members *m, const char *id);
struct members_entry *members_entry_find_bytes(const struct members *m, const uint8_t id[MEMBER_ID_BYTES]);
/* A new, empty entry with an id, of whom `teller` told (an id; its own when it came itself). When the table is full the oldest of those that ended gives way, else one of those that
 * never had a link here, of the teller who told of most of these. NULL when nobody does, or out of memory. */
struct members_entry *members_entry_add(struct members *m, const char *id, const char *teller);
void members_entry_remove(struct members *m, struct members_entry *e);
/* The teller has had a link with it. */
void members_entry_vouch(struct members_entry *e, const struct members_entry *teller);
/* A link of its own stands here. */
void members_entry_meet(struct members *m, struct members_entry *e);
/* Nothing of it is to be sent any more, and no link says anything of it. */
void members_entry_unmark(struct members *m, size_t slot);
/* Its memory alone: with all others, at the end. */
void members_entry_free(struct members_entry *e);
/* Replaces record and public struct, keeping state and what only this node knows. 0 or GRID_ENOMEM. */
int members_entry_set(struct members *m, struct members_entry *e, const struct member *member, struct slice record);
/* The only way to change it: keeps what follows from it. */
void members_state_set(struct members *m, struct members_entry *e, enum member_state state);

/* members_name.c: names are one member's each */
/* Whoever is meant by a name: lives, or died a short while ago; NULL: nobody. */
struct members_entry *members_name_holder(const struct members *m, const char *name);
/* Of a claim (signed, and newer than what is known) that `id` lives by this name: true when it is another's, and stays it. Notes what the other end of the link goes by. */
bool members_name_contested(struct members *m, struct members_link *from, const char *id, const char *name);
/* It goes by the name of its record from now on, or by none. */
void members_name_take(struct members *m, struct members_entry *e);
void members_name_drop(struct members *m, struct members_entry *e);
static inline bool members_name_lost(const struct members_entry *e)
{
    return e->record.size == 0;
}

/* members_link.c */
struct members_link *members_link_find(struct members *m, uint64_t id);
void members_queue(struct members *m, struct members_link *l, const struct gossip_frame *frame);
/* What others say of him at its end. As often as they like to say it: where much waits already it is left out, or his link would be given up for it. */
void members_queue_hearsay(struct members *m, struct members_link *l, const struct gossip_frame *frame);
void members_queue_all(struct members *m, const struct gossip_frame *frame, const struct members_entry *but);
void members_link_mark(struct members *m, struct members_link *l, const struct members_entry *e);
/* What was queued before is still sent. */
void members_link_close(struct members *m, struct members_link *l);
/* Another ready link to the same member (members_merge.c, surplus_link). */
struct members_link *members_link_spare(const struct members *m, const struct members_entry *e);
void members_link_ready(struct members *m, struct members_link *l, struct members_entry *e);
/* Taken out of all lists and counts. */
void members_link_free(struct members *m, struct members_link *l);
/* Frames that are kept for use again, at the end. */
void members_frames_free(struct members *m);

/* members_self.c */
int members_self_repack(struct members *m, const struct member *self);

/* members.c */
void members_note(struct members *m, enum members_event_kind kind, const char *id);
void members_note_bytes(struct members *m, struct members_note note, struct slice bytes);

/* members_merge.c */
void members_claim(struct members *m, struct members_link *from, const struct gossip_entry *claim);
void members_hello(struct members *m, struct members_link *l, const struct gossip_frame *hello);
/* Tells why, notes it, closes the link. */
void members_refuse(struct members *m, struct members_link *l, enum gossip_refusal code, const char *reason);
/* Outdoes a claim that this node's incarnation is not alive. */
void members_refute(struct members *m, uint64_t incarnation);
/* He is linked: is told what is said of him, so that he can refute it. */
void members_accuse(struct members *m, struct members_entry *e, struct slice record, enum member_state state);

/* members_sync.c */
/* To be sent on every ready link but `but`: for news that is first known here. */
void members_spread(struct members *m, const struct members_entry *e, const struct members_link *but);
/* To be passed on now and then, a limited number of times: for news that others have too. */
void members_pass_on(struct members *m, const struct members_entry *e);
void members_flush_news(struct members *m);
/* The other side of the link has the member's record in its present version and state. */
void members_known_there(struct members_link *l, const struct members_entry *e);
/* As before, and had it before we could tell. */
void members_echoed(struct members *m, struct members_link *l, const struct members_entry *e);
/* Its version or state is another one than before. */
void members_changed(struct members *m, const struct members_entry *e);
/* A few queued pieces go along with what is sent on this link anyway. */
void members_piggyback(struct members *m, struct members_link *l);
void members_tell_view(struct members *m, struct members_link *l);
void members_mark_view(struct members *m, struct members_link *l);
void members_receive_digest(struct members *m, struct members_link *l, const struct gossip_frame *f);
void members_receive_summary(struct members *m, struct members_link *l, const struct gossip_frame *f);
void members_rehash(struct members *m, struct members_entry *e);
uint64_t members_mix(uint64_t a, uint64_t b);
/* One ready link at random that is heard; NULL when there is none. */
struct members_link *members_link_random(struct members *m);

/* members_load.c */
/* Forgets it, as of a process that has ended. */
void members_load_drop(struct members_entry *e);
/* Somebody's word about a member's load. `with_news`: with a record that was new here. */
void members_load_hear(struct members *m, struct members_link *from, struct members_entry *e, struct slice packed, const struct member_load *load, bool with_news);
void members_receive_load(struct members *m, struct members_link *l, const struct gossip_frame *f);
/* This node's: whether the tasks are others; taking them over (errors as members_set_self); telling them on all links. */
bool members_load_changes(const struct members *m, const struct member *self);
int members_load_own(struct members *m, const struct member *self);
void members_load_tell(struct members *m);
/* Its numbers alone, for acknowledgements. */
struct member_load members_load_numbers(const struct members *m);

/* members_trust.c */
bool members_is_evicted(const struct members *m, const char *id);
/* True when the Hello names an authority that this node goes by. */
bool members_shares_authority(const struct members *m, const struct gossip_frame *hello);
void members_tell_digest(struct members *m, struct members_link *l);
void members_receive_ledger(struct members *m, struct members_link *l, const struct gossip_frame *f);

/* members_hear.c */
bool members_link_fresh(const struct members *m, const struct members_link *l);
void members_kernel_found(struct members *m, struct members_entry *e);
void members_heard(struct members *m, struct members_link *l);
void members_ping(struct members *m, struct members_entry *e);
void members_receive_ack(struct members *m, struct members_link *l, const struct gossip_frame *f);
/* A silent one: others are told, and asked, unless they told us; then it is stalled. */
void members_tell_of_silence(struct members *m, struct members_entry *e);
void members_stall(struct members *m, struct members_entry *e);

/* members_ask.c */
void members_tell_news(struct members *m, const struct members_entry *e, enum gossip_news news);
/* That this one refused a dial of ours, or is heard by us. */
struct gossip_frame members_witness_frame(const struct members_entry *e, bool refused);
/* SWIM's indirect probe (section 3.1): k others, at most once a second, whether they hear from a member that we do not. */
void members_ask_others(struct members *m, struct members_entry *e);
/* It is heard: whoever waits for word of it hears that. */
void members_answer_askers(struct members *m, struct members_entry *e);
void members_probe_asked(struct members *m, struct members_link *l, const char *target);
/* Others doubt it. A newcomer has no link yet to most, and its first dial may be planned for seconds from now. */
void members_meet_now(struct members *m, struct members_entry *e);
void members_receive_news(struct members *m, struct members_link *l, const struct gossip_frame *f);

/* members_suspect.c */
/* Forgets what counted against it. */
void members_acquit(struct members_entry *e);
/* Ends our suspicion; who has counted it hears that it was none. */
void members_take_back(struct members *m, struct members_entry *e);
/* How many others could confirm a suspicion of it. */
unsigned members_others_living(const struct members *m, const struct members_entry *but);
void members_begin_suspicion(struct members *m, struct members_entry *e, uint16_t accuser);
/* By what this node has seen itself; told to all. */
void members_suspect(struct members *m, struct members_entry *e);
void members_convict(struct members *m, struct members_entry *e);
/* Others have convicted it of late, and we were not sure. */
bool members_is_accused(const struct members *m, const struct members_entry *e);
void members_refused(struct members *m, struct members_entry *e);
/* Others have seen of it what we have: its silence was not our fault. */
void members_corroborated(struct members *m, struct members_entry *e);
void members_witness(struct members *m, const char *witness, const struct gossip_frame *frame);

/* members_judge.c */
/* When it was last heard by anybody, or would have been: who is not watched by us is not expected to say anything before we ask. 0: never. */
uint64_t members_last_sign_ms(const struct members *m, const struct members_entry *e);
void members_lost(struct members *m, struct members_entry *e, enum members_loss loss);
/* How long this node has not run when it should have; 0: it has. */
uint64_t members_pause_ms(const struct members *m);
/* What an input brought about at once. */
void members_settle(struct members *m);

/* members_tick.c */
/* Beyond the active view: dialled now, and kept for a while. */
void members_seek(struct members *m, struct members_entry *e);

/* members_dial.c */
uint64_t members_backoff(struct members *m, unsigned failures, uint64_t max_ms);
bool members_link_pending(const struct members *m, const char *peer);
/* A link to it is to be kept: everybody's in a small grid, the active view's in a great one. */
bool members_wanted(const struct members *m, const struct members_entry *e);
/* It is new: its first dial is planned at the end of the input at hand. */
void members_schedule_first_dial(struct members *m, struct members_entry *e);
/* Marks it to be dialled when it is time; returns when to look again. */
uint64_t members_consider_dial(struct members *m, struct members_entry *e);
void members_dial_ended(struct members *m, struct members_entry *e);
void members_dial_settled(struct members *m, uint64_t token, const char *peer);
/* After a dead one's dial, or its death. */
/* He has refused a link of ours; and somebody has taken one, so that others may. */
void members_dial_denied(struct members *m, struct members_entry *e);
void members_dial_the_denied(struct members *m);
uint64_t members_redial_dead(struct members *m, const struct members_entry *e);
/* Its state, its link, or how many live, has changed: whether it matters to the ring. */
void members_ring_look(struct members *m, const struct members_entry *e);
void members_ring_update(struct members *m);

static inline uint64_t members_later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t members_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline bool members_lives(const struct members_entry *e)
{
    return e->member.state == MEMBER_ALIVE || e->member.state == MEMBER_STALLED;
}

/* It is to be looked at now, or at the end of the input at hand. */
static inline void members_touch(struct members *m, const struct members_entry *e)
{
    swim_timers_set(&m->timers, e->slot, m->now_ms);
}

#endif
