/* server/release/releases_internal.h: what releases.c (what to do next) and release_job.c, _scan.c, _mend.c, _rollback.c, _spare.c, _history.c, _scrub.c (how one thing is done) share. Control thread,
 * but for what is said to be the pool's. */
#ifndef GRID_SERVER_RELEASE_RELEASES_INTERNAL_H
#define GRID_SERVER_RELEASE_RELEASES_INTERNAL_H

#include <limits.h>

#include "base/token_bucket.h"
#include "server/release/history_turns.h"
#include "server/release/release_plan.h"
#include "server/release/releases.h"
#include "server/release/scrub_pass.h"
#include "server/release/spare_trees.h"

#define RELEASES_APP SLICE("default")
#define RELEASES_LINK "current" /* in the folder of trees: what ran last */

enum { RELEASES_TROUBLE_MAX = TASK_ERROR_MAX + 160 };

struct spare_work;
struct history_ask;

struct job {
    struct job *next;
    struct releases *releases;
    /* What was asked for. */
    bool scans;       /* begins with a folder */
    bool makes_entry; /* ends with a new entry; otherwise it puts an entry of the log in place */
    bool mends;       /* neither: the entry that runs is made whole in the store */
    bool resumes;     /* puts in place what ran before the restart, if it is whole */
    char *folder;     /* to scan, NULL otherwise */
    bool has_rights, groups_unknown;
    struct rights rights; /* to scan it with, where has_rights */
    struct buf config; /* packed ReleaseConfig */
    struct buf certificate; /* the entry's: the node's own may be made anew while the entry is written */
    struct object_id root;
    struct entry_key key; /* of the entry put in place */
    uint64_t files, bytes;
    const struct release_events *events;
    void *events_ctx; /* NULL once forgotten */
    /* How it goes. */
    struct fetch *fetch;
    uint64_t fetched_bytes, fetched_before; /* contents: in all, and before this fetch */
    /* Where it mends. */
    uint64_t lacking; /* objects of `root`; 0: it is whole */
    uint64_t dropped; /* as whole_dropped, when the reading of what runs began */
    struct object_id formers[RELEASE_KEPT]; /* the other kept roots */
    size_t former_count, former_next;
    bool is_former; /* `root` is one of them */
    bool missed;    /* one of them could not be made whole */
    struct store_hold hold;
    unsigned attempts;
    bool made_room; /* what no kept release needs was taken away for it */
    bool awaits_spare; /* its tree is made when the one that is made ahead is done: out of that one */
    bool stuck_said; /* the fetch has stood still and the log tells of it */
    int err;
    struct fs_report report;
    struct release_plan plan;
    char why[TASK_ERROR_MAX];
    char previous[OBJECT_ID_HEX + 1]; /* the tree that runs, to take unchanged files from */
    struct spare_trees spares;        /* trees to make the new one of */
    struct release_entry entry;       /* a new one, pointing into this job */
    uint8_t signature[ENTRY_SIGNATURE_BYTES];
    bool committing; /* waits for the log to be on disk */
    /* From the pool's thread while it scans. */
    uv_mutex_t lock;
    bool cancelled; /* nothing comes of it any more */
    bool stored;    /* it may have put something into the store */
    struct publish_progress progress;
    struct loop_timer progress_timer;
};

struct releases {
    struct releases_options options;
    struct store *store;
    struct release_log *log;
    struct sync_service *sync_service;
    struct pacer fetch_pacer; /* of what is fetched */
    int state_fd;
    int trees_fd;
    char trees_path[PATH_MAX];
    struct job *running;
    struct job *queue, **queue_tail;
    bool on_pool; /* the running job's work, or a tidy */
    bool mend_due;   /* something in the store has turned out damaged */
    bool mend_waits; /* for other nodes */
    struct loop_timer mend_timer; /* until former releases that could not be made whole are tried again */
    uint64_t mend_wait_ms;        /* how long that takes: longer each time */
    char lost[OBJECT_ID_HEX + 1]; /* one of them; "": none */
    bool tidy_due;
    bool tidy_is_far; /* `tidy` runs for the sake of releases' age alone */
    struct token_bucket dropped_lines;
    struct loop_deferred step, change;
    struct loop_timer retry, tidy, stuck, spare;
    struct spare_work *spare_work; /* a tree that is made ahead, on the pool beside everything else; NULL: none is */
    bool spare_patient; /* the processes of the release before have had time to leave its tree */
    char spare_tried[OBJECT_ID_HEX + 1]; /* the root that this was tried for last */
    char current[OBJECT_ID_HEX + 1];
    char last[OBJECT_ID_HEX + 1];      /* what ran before the restart; "" once looked at */
    char whole[OBJECT_ID_HEX + 1];     /* a root of which every object was in the store when it was applied; "": not known */
    uint64_t whole_dropped;            /* objects that the store had found to be damaged by then */
    struct entry_key runs;             /* applied since the start */
    uint64_t fetched_bytes;            /* contents that others gave for it */
    struct task_elsewhere *elsewhere;  /* tasks of it that this node's platform does not run */
    size_t elsewhere_count;
    struct entry_key refused;          /* cannot run here (no tasks in it, say): not tried again */
    struct entry_key delayed;          /* tried again when `retry` is over */
    uint64_t retry_ms;                 /* how long that takes: longer each time that there is no room */
    char trouble[RELEASES_TROUBLE_MAX]; /* why `refused` or `delayed` does not run */
    /* The log's way to the disk: one write at a time. */
    bool save_due; /* the log has changed since the last write began */
    bool saving;
    int save_err;  /* of the write, from the pool */
    struct buf save_bytes;
    struct job *save_job; /* whose entry and link that write makes last */
    bool sign_due; /* the certificate was replaced while an entry was being made: is it by the new one? */
    /* Entries of the log that others know and this node does not. */
    bool history_due; /* a member has announced an entry: what the grid has decided is known */
    struct history_ask *history_ask; /* who is being asked; NULL: nobody */
    struct loop_timer history_timer;
    struct history_turns history_turns;
    struct entry_key history_of; /* the newest when they began */
    bool history_said; /* that some of them do not count here */
    /* The store is read through in the background. */
    struct loop_timer scrub_timer;
    struct scrub_pass scrub; /* the pool's while `scrubbing`, as the next two */
    struct store_scrubbed scrubbed;
    int scrub_err;
    bool scrubbing;
    bool closing;
    loop_fn closed;
    void *closed_arg;
};

/* releases.c */
void releases_step_later(struct releases *r);
/* on_change comes at the end of this turn. */
void releases_tell_change(struct releases *r);
void releases_announce(struct releases *r, const struct release_entry *e);
/* An entry has come into the log: says so when another of its sequence is there. Returns that other one, NULL when there is none. */
const struct release_entry *releases_find_conflict(struct releases *r, const struct release_entry *e);
void releases_tell_conflict(struct releases *r, const struct release_entry *winner, const struct release_entry *loser);
/* What the set says of tasks elsewhere holds from now on. */
void releases_keep_elsewhere(struct releases *r, struct task_set *set);
/* Trees that nobody runs in. */
void releases_find_spares(struct releases *r, struct spare_trees *out);
/* Looks soon whether a tree is to be made ahead of the next release. */
void releases_spare_later(struct releases *r);
/* Ends the making of one, which is gone then; releases_step follows when it is. */
void releases_spare_cancel(struct releases *r);
/* Takes rubbish away when half a minute has passed and no job is on. */
void releases_tidy_later(struct releases *r);
/* Takes rubbish away now, on the pool, for the job that runs; trees that the next one might be made of too. 0 or GRID_ENOMEM (then done is not called). */
int releases_make_room(struct releases *r, loop_fn done, void *arg);
/* Writes the log when that is due or a job waits for it. */
void releases_save(struct releases *r);
/* It comes when those before it are over. */
void releases_enqueue(struct releases *r, struct job *job);
/* The job is over: the next one begins. Frees it. */
void releases_job_over(struct releases *r, struct job *job);

/* A packed entry came that this node has asked for: it is judged as one that is announced, and taken into the log. 0 with *taken false when it is known; GRID_E* with
 * `why` when it does not hold. */
int releases_take_former(struct releases *r, struct slice packed, bool *taken, char why[TASK_ERROR_MAX]);

/* Something in the store has turned out damaged, and is gone: what runs here is made whole. */
void releases_damaged(struct releases *r);

/* release_scrub.c: reads the store through, from some minutes after the start on; the next piece of it soon. */
void releases_scrub_start(struct releases *r);
void releases_scrub_now(struct releases *r);

/* release_history.c: asks others, soon, for the entries that are lacking here; for what comes of it see its head. */
void releases_history_soon(struct releases *r);
/* Ends that, before the releases are gone. */
void releases_history_stop(struct releases *r);
void releases_history_close_some(struct releases *r, bool (*whom)(const void *arg, const struct tls_peer *peer), const void *arg);
/* A sync_history_fn of struct releases. */
bool releases_history_next(void *ctx, const struct entry_key *known, size_t count, struct entry_key *told, struct buf *packed);

/* release_job.c: how a job goes. Each of these may end it: it is not to be touched after them. */
struct job *job_create(struct releases *r, const struct release_events *events, void *ctx);
void job_free(struct job *job);
void job_start(struct job *job);
/* Nothing shall come of it; it ends as soon as the pool and the peers are out of it. */
void job_cancel(struct job *job);
/* Makes it fail as soon as it is started. */
void job_refuse(struct job *job, int err, const char *sentence);
void job_tell_done(struct job *job, int err, const char *sentence, const struct release_entry *entry);
void job_warn(struct job *job, const char *sentence);
/* It ends with job->err, job->why or job->report; or since it was cancelled. */
void job_fail(struct job *job);
void job_given_up(struct job *job);
/* `work` on the pool, then `done`, which clears on_pool. False when it has failed for want of memory. */
bool job_work(struct job *job, loop_fn work, loop_fn done);
/* Once, when job->err is that there is no room for it: what no kept release needs goes, what it has stored so far stays, and it begins anew. False when it does not. */
bool job_makes_room(struct job *job);
void job_build(struct job *job);
void job_fetch(struct job *job);
/* What runs here is whole in the store, unless it was resumed; `dropped` objects had been found to be damaged when that was so. */
void job_note_whole(struct job *job, uint64_t dropped);
/* The log with its entry (or only its link) is on disk, or could not be written. */
void job_committed(struct job *job, int err);

/* release_scan.c: reads the folder, then goes on to build. */
void job_scan(struct job *job);

/* Something in the store was damaged, and what runs here may lack it. */
bool releases_may_lack(const struct releases *r);

/* release_mend.c: reads what runs here whole, then fetches what was damaged, of other kept releases too; goes on when that has come, or has not; a failure. */
void job_mend(struct job *job);
void job_mend_again(struct job *job);
void job_mend_missed(struct job *job, int err, const char *sentence);
void job_could_not_mend(struct job *job);

#endif
