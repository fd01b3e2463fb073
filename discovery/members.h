/* discovery/members.h: who is in the grid and who can be reached: the pure core of membership. No sockets, no clock, no threads, no
 * randomness but its seed: the same inputs give the same outputs. Any one thread at a time.
 *
 * It is given links (authenticated two-way streams to other nodes), what arrives on them and the time, and gives back, through queues that
 * the driver drains after every input, what to send, whom to dial, which links to close, and events.
 *
 *            any word on its link, or a             suspicion that nobody ended, witnesses
 *            link that comes up again               of its end, or a claim (times: MEMBERS_LAN)
 *          +----------------------+                          |
 *          v                      |                          |
 *        ALIVE --silent 1 s--> STALLED --+-- suspected ------+--> DEAD --24 h--> forgotten
 *          ^      or link lost           |                        |
 *          +------- refuted by a higher incarnation --------------+        LEFT: said by itself
 *
 * It is SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips, Currey 2017), over links whose state is one more detector:
 *
 *  Probing. Members are probed in turn (SWIM 3.1, 4.3); besides, each node owes a sign of life to its predecessor on the ring of ids, who pings when
 *  it stays away. Whoever gets no acknowledgement tells all at once, and asks k others to look (SWIM 3.1); everybody pings for itself and
 *  believes its own eyes: a silent process is unroutable everywhere within about 1.3 s, and no single liar can make a healthy one so.
 *  How long a node waits for others grows with what hints at its own slowness (Lifeguard IV-A, swim_health.h).
 *  STALLED is therefore each node's own observation. It ends with the first word that comes.
 *
 *  Suspicion (SWIM 4.2) begins with what a node has seen itself: nothing acknowledged (the kernel gave the link up, a dial found nobody), or 15 s of
 *  silence on a link that stands, since then the kernel answers and the process may yet. All are told: who hears the suspect vouches for it, which keeps
 *  it alive; the suspect, told by whoever has a link to it (Lifeguard IV-C), refutes; who has seen the same confirms, which shortens the
 *  time (Lifeguard IV-B, swim_suspicion.h). Nobody is convicted on hearsay, nor, when nothing is acknowledged, before 5 s after it was last heard.
 *
 *  A process that died while its kernel lives refuses a redial: that is a witness, and min(2, others alive) of them convict at once.
 *
 *  DEAD and LEFT are claims about an incarnation and are spread (SWIM 4.1), as records are: by who has them first to all its links, then passed on a
 *  limited number of times. A claim that somebody is dead does not beat a link to him that stands: he is told, and refutes it.
 *  The dead are redialled, often at first, so that a split heals; whoever finds one again tells all.
 *
 *  Views are compared by digest when a link is made and now and then, and only what differs travels. */
#ifndef GRID_DISCOVERY_MEMBERS_H
#define GRID_DISCOVERY_MEMBERS_H

#include "discovery/gossip_frame.h"

enum {
    MEMBERS_MAX = 1024,
    MEMBERS_SEEDS_MAX = 256,
    MEMBERS_LINKS_MAX = 64, /* a grid of at most so many is linked each with each; in a greater one each has an active view */
    MEMBERS_ACTIVE_LINKS = 16,
};

/* All times of the protocol, in milliseconds: a profile. */
struct members_times {
    uint32_t beat_ms;         /* a node says something to the one that watches it at least this often */
    uint32_t late_ms;         /* whom we watch and have not heard for so long is pinged */
    uint32_t ack_ms;          /* for an acknowledgement, times 1 + the local health; then the member is stalled */
    uint32_t probe_ms;        /* between two probes of members taken in turn */
    uint32_t stalled_ping_ms; /* between two pings of a stalled one */
    uint32_t silent_ms;       /* a link that stands but says nothing for so long: suspected */
    uint32_t gone_ms;         /* nothing acknowledged at all: dead, this long after it was last heard */
    uint32_t suspect_min_ms, suspect_max_ms; /* a suspicion with all the confirmations it can get, and with none */
    uint32_t hello_ms;        /* for the Hello of a fresh link */
    uint32_t redial_min_ms, redial_max_ms; /* of the living: doubled per failure */
    uint32_t redial_dead_ms;  /* of each of a few dead ones; the more are dead the longer */
    uint32_t redial_slow_ms, redial_slow_after_ms; /* of those that have been dead for so long */
    uint32_t mesh_ms;         /* in a grid of more than 8 a newcomer's neighbours are dialled after it, the others after twice it, spread over it */
    uint32_t spread_ms;       /* between two rounds of passing news on */
    uint32_t sync_ms;         /* between two comparisons of views with somebody at random */
    uint32_t denied_ms;       /* before somebody who refused our handshake is dialled again; at most, where he refused us at its end */
    uint32_t reap_ms;         /* after which the dead and those that left are forgotten */
    uint32_t connect_ms;      /* TCP's part of a dial. A SYN into a cut is lost, a fresh dial sends a fresh one */
    uint32_t handshake_ms;    /* for the driver: the rest of it; only then the process is silent */
    uint32_t unacknowledged_ms; /* TCP_USER_TIMEOUT of control links: one that stands longer with a ping unanswered has a kernel at its end */
};
extern const struct members_times MEMBERS_LAN, MEMBERS_WAN, MEMBERS_LOCAL;

/* "lan", "wan" or "local"; NULL for any other name. */
const struct members_times *members_times_named(const char *profile);

struct members;

struct members_config {
    const char *authority; /* hex id of the grid's authority; "" for an open grid */
    const char *grid;
    const struct member *self; /* id, name and all the rest; incarnation is Unix milliseconds at start */
    const char *const *seeds;  /* "host:port" to dial until somebody is found there; copied */
    size_t seed_count;
    uint64_t seed; /* for all that is random */
    const struct members_times *times; /* kept; NULL: MEMBERS_LAN */
    /* True when a record that is newer than what is known is its owner's own: asked before it counts, also of what is said to be this node's. False: it is dropped with what
     * is said with it; a Hello is refused. NULL: all are admitted. Must not call members_*. */
    bool (*admit)(void *ctx, const struct gossip_entry *entry);
    /* Appends this node's record as it travels (member_seal_pack) after `record` was packed. NULL: signed by nobody. 0 or a GRID_E*. */
    int (*seal)(void *ctx, struct slice record, struct buf *out);
    void *ctx; /* of both */
};

/* 0, GRID_EINVAL (an id, name or incarnation that member_unpack would refuse), GRID_ENOMEM. */
int members_create(const struct members_config *config, uint64_t now_ms, struct members **out);
void members_destroy(struct members *m);

/* ---- inputs; now_ms is monotonic ---- */

/* What the clock of now_ms shows in microseconds, for the next input at that very now_ms: round trips are measured by it, nothing else is. Not told, they are of
 * whole milliseconds. */
void members_set_precise(struct members *m, uint64_t now_ms, uint64_t now_us);

/* Runs what is due. Returns milliseconds until it must be called again; call it after inputs too (once for several that come together), since they may
 * bring that forward. Cheap when nothing is due. */
uint64_t members_tick(struct members *m, uint64_t now_ms);

/* A link is open. `link` is a number of the driver's choice, not used before; `peer_id` is the certificate's; `token` is the dial's that made
 * it, 0 for one that was accepted. 0 or GRID_ENOMEM (close it). */
int members_link_up(struct members *m, uint64_t link, const char *peer_id, uint64_t token, uint64_t now_ms);

/* Its bytes go by way of a third: a link to the same member that needs none takes its place. Before anything is received on it; both ends are to be told. */
void members_link_relayed(struct members *m, uint64_t link);

/* A link is gone: reset or ended by the other side, given up by the kernel since nothing was acknowledged, or DENIED: the other side has refused this node's
 * certificate, and is dialled ever more rarely until it takes a link. Links that members_next_close
 * named need not be reported. */
enum members_loss { MEMBERS_LOST_RESET, MEMBERS_LOST_TIMEOUT, MEMBERS_LOST_DENIED };
void members_link_down(struct members *m, uint64_t link, enum members_loss loss, uint64_t now_ms);

/* Back-pressure: nothing is given out for a paused link; member records that change meanwhile are sent once, in their last form. */
void members_link_pause(struct members *m, uint64_t link, bool paused);

/* Whether some link has stood for a while: others take this node for a member. */
bool members_link_stands(const struct members *m);

/* A dial came to nothing. TIMEOUT: nothing was acknowledged. DENIED: somebody is there but the handshake was refused, which says nothing about the
 * member. SILENT: the connection was made, but the handshake is not answered: the kernel lives, the process does not move. */
enum members_dial_fault { MEMBERS_DIAL_REFUSED, MEMBERS_DIAL_TIMEOUT, MEMBERS_DIAL_DENIED, MEMBERS_DIAL_SILENT };
void members_dial_failed(struct members *m, uint64_t token, enum members_dial_fault fault, uint64_t now_ms);

/* TCP's part of a dial is done, the handshake is not: there is a kernel. To be told once per dial, soon; a dial that goes on to succeed or to fail needs it not. */
void members_dial_connected(struct members *m, uint64_t token, uint64_t now_ms);

/* A packed GossipFrame came in on a link; borrowed for the call. 0, or GRID_EPROTO or GRID_ELIMIT with nothing of it applied: close the link. */
int members_receive(struct members *m, uint64_t link, struct slice frame, uint64_t now_ms);

/* The authorities (hex ids) that this node goes by from now on, its own first; at most 1 + GOSSIP_ALSO_MAX. When it has none in common with before, it has changed sides: all
 * links are closed, all members forgotten, and the seeds are dialled anew. */
void members_set_authorities(struct members *m, const char *const *authorities, size_t count, const char *grid, uint64_t now_ms);

/* What this node's ledger is now: its digest (GOSSIP_DIGEST_SIZE bytes) is told on every link, the pack to who has another digest. Both are copied. 0, GRID_ELIMIT, GRID_ENOMEM. */
int members_set_ledger(struct members *m, struct slice digest, struct slice packed, uint64_t now_ms);

/* For ever: its link is closed, nothing that is said of it counts, and it is shown as evicted. 0 or GRID_ENOMEM. */
int members_evict(struct members *m, const char *id, uint64_t now_ms);

/* One more seed (copied), dialled in delay_ms; one that is known already is dialled anew then, unless somebody was found there. 0, GRID_ELIMIT,
 * GRID_ENOMEM. */
int members_add_seed(struct members *m, const char *address, uint64_t delay_ms, uint64_t now_ms);
/* Nobody is dialled for this one any more; a link that it has made stays. */
void members_remove_seed(struct members *m, const char *address);
/* What has become of a seed: it is none; nobody has been found there in so many dials (may be NULL); a member was; this node was. */
enum members_seed_state { MEMBERS_SEED_NONE, MEMBERS_SEED_TRIED, MEMBERS_SEED_FOUND, MEMBERS_SEED_SELF };
enum members_seed_state members_seed_look(const struct members *m, const char *address, unsigned *failures);
/* Whether a dial to one of the seeds has found this member there. */
bool members_is_seed(const struct members *m, const char *id);
/* The next of the places to dial at which this member answered, from *at (0 at first) on; NULL: there is no further one. Until the seeds change. */
const char *members_next_seed(const struct members *m, const char *id, size_t *at);

/* This node's own record or its tasks changed: everything but id, incarnation and numbers of load is taken over, `revision` is counted here; tasks alone do not change
 * the record, and are told at once on all links. 0, GRID_EINVAL, GRID_ELIMIT,
 * GRID_ENOMEM. */
int members_set_self(struct members *m, const struct member *self, uint64_t now_ms);
/* What `seal` gives has changed: the record is sealed anew, with the next revision, and spread. 0, GRID_E* of seal, GRID_ENOMEM. */
int members_reseal(struct members *m, uint64_t now_ms);
/* The numbers that acknowledgements carry, quantized here; cheap. */
void members_set_load(struct members *m, uint32_t in_flight, uint32_t queued, uint32_t cpu_percent);

/* Tells every linked member of a release entry (packed), and each that links later. Replaces the one announced before. 0 or GRID_ENOMEM,
 * GRID_ELIMIT. */
int members_announce_release(struct members *m, struct slice packed, uint64_t now_ms);

/* Says goodbye: this node's state becomes LEFT and is spread; no dials from then on. Drain the sends, then close. */
void members_leave(struct members *m, uint64_t now_ms);

/* ---- outputs: drain each until it returns false, sends before closes ---- */

/* A packed frame for a link; `bytes` lives until the next members_* call. */
bool members_next_send(struct members *m, uint64_t *link, struct slice *bytes);

/* A link to close in order (what was sent on it before is still to arrive). The core has forgotten it. */
bool members_next_close(struct members *m, uint64_t *link);

/* Somebody to connect to now: try the addresses in order; then members_link_up or members_dial_failed (REFUSED only when all refused) with
 * the token. `id` is "" for a seed whose id is not known. Lives until the next members_* call. */
struct members_dial {
    uint64_t token;
    const char *id;
    const char *const *addresses;
    size_t address_count;
    uint32_t connect_ms; /* for TCP's part with each address */
};
bool members_next_dial(struct members *m, struct members_dial *out);

enum members_event_kind {
    MEMBERS_JOINED,    /* new here, or back with a new process after DEAD or LEFT */
    MEMBERS_LEFT,      /* said so itself */
    MEMBERS_FAILED,    /* is dead */
    MEMBERS_STALLED,   /* is silent: not to be routed to */
    MEMBERS_RESUMED,   /* is heard again, or has refuted its death */
    MEMBERS_UPDATED,   /* its record changed */
    MEMBERS_RESTARTED, /* a new process of the same id: what was in flight to the old one has failed */
    MEMBERS_LINKED,    /* a control link to it is up (member_table exchanged in both directions soon after) */
    MEMBERS_RELEASE,   /* `bytes` is a packed ReleaseEntry from `member`; unchecked */
    MEMBERS_EVICTED,   /* the grid has decided so */
    MEMBERS_LEDGER,    /* `bytes` is a pack from `member`, unchecked; empty: it holds the same as this node */
    MEMBERS_REFUSED,   /* a node refused this one, or this one refused it: `bytes` is the sentence, `refusal` why, `by_peer` whose doing */
};

struct members_event {
    enum members_event_kind kind;
    const struct member *member; /* as it is now; NULL when it is not known (REFUSED) */
    struct slice bytes;
    enum gossip_refusal refusal;
    bool by_peer;
};
/* Lives until the next members_* call. */
bool members_next_event(struct members *m, struct members_event *out);

/* ---- the view ---- */

/* Members by index, this node itself at 0, then in the order they became known; dead and left ones included until they are reaped. Lives
 * until the next input. */
size_t members_count(const struct members *m);
const struct member *members_at(const struct members *m, size_t index);
const struct member *members_find(const struct members *m, const char *id);

enum { MEMBERS_RTT_BOUNDS = 13 };
extern const uint32_t MEMBERS_RTT_BOUNDS_US[MEMBERS_RTT_BOUNDS];

struct members_counters {
    uint64_t probes, stalls, suspicions, deaths; /* deaths: found here or believed */
    uint64_t refutations;     /* of this node by itself */
    uint64_t false_positives; /* of others: whom this node held for dead and who refuted it in the same process */
    uint64_t rejected;        /* records that were not admitted */
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
    /* Round trips of probes: their sum; how many took at most MEMBERS_RTT_BOUNDS_US[i] and more than the bound before; the last ones took longer than all. */
    uint64_t probe_rtt_us, probe_rtts[MEMBERS_RTT_BOUNDS + 1];
};
const struct members_counters *members_counters(const struct members *m);

/* Lifeguard's local health, 0 (well) to 8: how much this node distrusts itself. */
unsigned members_health(const struct members *m);

const char *members_event_name(enum members_event_kind kind);

#endif
