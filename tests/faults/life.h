/* tests/faults/life.h: a node's life as far as fs/ goes, in the order in which gridd does it: deploys, rollbacks, letting go of old releases,
 * collection. And the judgement on what a life left behind. One thread. */
#ifndef GRID_TESTS_FAULTS_LIFE_H
#define GRID_TESTS_FAULTS_LIFE_H

#include "fs/release_log.h"
#include "fs/store.h"

enum { LIFE_VERSIONS = 7, LIFE_ERROR_MAX = 600 };

/* What is promised to be on disk for good: that the release of sequence `run` or a later one runs; that the log goes up to `logged`; that a version is stored,
 * or built too. One number, as marks are: 8 bits of each sequence, 4 of the version, 4 of the stage. */
enum life_stage { LIFE_NOTHING, LIFE_STORED, LIFE_BUILT };
typedef uint32_t life_claim;
static inline life_claim life_claim_of(uint32_t run, uint32_t logged, uint32_t version, enum life_stage stage)
{
    return run << 16 | logged << 8 | version << 4 | (uint32_t) stage;
}

/* What all lives share: a folder, the projects that are deployed in it, and the roots they have, by version from 1. */
struct life_world {
    char *folder;
    struct object_id roots[LIFE_VERSIONS + 1];
    struct store *scratch; /* in which the root of any tree is found again */
};
/* On an error the program ends. */
void life_world_create(struct life_world *w);
void life_world_dispose(struct life_world *w);

/* A path of the world, in one of four static buffers. */
const char *life_path(const struct life_world *w, const char *name);
/* An empty folder of that name, and one with the files of another. */
void life_clear(const struct life_world *w, const char *name);
void life_copy(const struct life_world *w, const char *from, const char *to);

enum life_course {
    LIFE_FIRST,    /* a first deploy into an empty folder */
    LIFE_DEPLOY,   /* another deploy, most of it known */
    LIFE_PATCH,    /* the same, out of an older tree */
    LIFE_ROLLBACK, /* back to an older one, whose tree is gone */
    LIFE_COLLECT,  /* the oldest is let go, its tree and its objects go, what is left is moved together */
    LIFE_REFILL,   /* a collection, then a deploy that takes the place of what was cut */
    LIFE_ALL,      /* all of that, one after the other */
    LIFE_COURSES,
};
const char *life_name(enum life_course course);
/* The state folder that a course begins with, and what holds there. */
const char *life_start(enum life_course course, life_claim *claim);

/* Runs it in the state folder `name`. What is promised is told by calls_mark and kept in *claim. Returns what the first failing step returned, with its sentence
 * in `why` ("" when it has none). */
int life_run(const struct life_world *w, const char *name, enum life_course course, volatile life_claim *claim, char why[LIFE_ERROR_MAX]);
/* Another life: one deploy of that version. */
int life_deploy(const struct life_world *w, const char *name, unsigned version, volatile life_claim *claim, char why[LIFE_ERROR_MAX]);

/* Whether the folder is what it must be once `claim` holds and at most `last` was begun: log and store open; the log's newest is one of these; its releases
 * are whole in the store; the tree that runs, and every other that has a release's name, is whole; another deploy and a collection go well. NULL, or
 * what is wrong (a static buffer). Changes the folder. */
const char *life_judge(const struct life_world *w, const char *name, life_claim claim, uint32_t last);

#endif
