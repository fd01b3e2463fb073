/* tests/faults/faults.h: what the tests of this folder share. */
#ifndef GRID_TESTS_FAULTS_FAULTS_H
#define GRID_TESTS_FAULTS_FAULTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/faults/calls.h"
#include "tests/faults/life.h"

static struct life_world world;

static inline int faults_setup(void **state)
{
    (void) state;
    life_world_create(&world);
    return 0;
}

static inline int faults_teardown(void **state)
{
    (void) state;
    life_world_dispose(&world);
    return 0;
}

/* Chance, from a seed that is told: GRID_FAULTS_SEED=N makes the same of it again. */
static uint64_t faults_state;

static inline void faults_seed(void)
{
    const char *given = getenv("GRID_FAULTS_SEED");
    faults_state = given ? strtoul(given, NULL, 0) : (unsigned) getpid();
    print_message("GRID_FAULTS_SEED=%llu\n", (unsigned long long) faults_state);
}

static inline uint64_t faults_chance(void)
{
    faults_state += 0x9e3779b97f4a7c15u;
    uint64_t x = faults_state;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* GRID_FAULTS_ALL=1: no point is passed over. */
static inline bool faults_all(void)
{
    return getenv("GRID_FAULTS_ALL") != NULL;
}

/* A word that children share. */
static inline volatile life_claim *faults_shared_claim(void)
{
    void *page = mmap(NULL, sizeof(life_claim), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    return page;
}

/* The newest sequence that may have been begun when `claim` holds. */
static inline uint32_t faults_last(life_claim claim)
{
    return (claim >> 8 & 255) + 1;
}

#endif
