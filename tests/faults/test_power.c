/* When the power fails, what was not synced is there or is not. A life is written down once; then it is judged at every sync and every promise what a disk
 * may hold at that moment: nothing of what hangs in the air, all of it, each operation alone, all but one, and subsets by chance. */
#include "tests/faults/faults.h"

#include <sys/stat.h>

#include "tests/faults/disk.h"

enum { ALONE_MAX = 14, CHANCES = 6, STEP_OF_SECOND_LIVES = 4, SEEN_SLOTS = 1 << 15, SOURCE_BYTES = 1 << 20 };

static struct tape *tape;

/* A course as it went. */
struct film {
    struct disk *before;
    struct disk_course *course;
    life_claim claim; /* when it began */
};

/* One moment of it. */
struct moment {
    const struct film *film;
    uint32_t end; /* operations up to here have been begun */
    life_claim claim;
    uint8_t *fates;
    uint32_t *calls; /* that hang in the air */
    uint32_t call_count;
};

static uint64_t seen[SEEN_SLOTS];
static unsigned judged;
static unsigned sound; /* tests that found nothing wrong with all syncs in place: without them, what is found with one left out says nothing */

static bool is_new(uint64_t hash)
{
    uint32_t slot = (uint32_t) (hash % SEEN_SLOTS);
    for (unsigned probes = 0; probes < SEEN_SLOTS; probes++, slot = (slot + 1) % SEEN_SLOTS) {
        if (seen[slot] == hash)
            return false;
        if (seen[slot] == 0) {
            seen[slot] = hash;
            return true;
        }
    }
    return true;
}

/* ---- films ---- */

static void film_begin(struct film *f, const char *start, life_claim claim)
{
    life_copy(&world, start, "state");
    tape_clear(tape);
    *f = (struct film){.before = disk_load(life_path(&world, "state")), .claim = claim};
}

static void film_end(struct film *f)
{
    calls_pass();
    f->course = disk_course_create(f->before, tape);
}

static void film_dispose(struct film *f)
{
    disk_course_destroy(f->course);
    disk_destroy(f->before);
}

static void film_course(struct film *f, enum life_course course, const void *skipped)
{
    char why[LIFE_ERROR_MAX];
    life_claim begun;
    const char *start = life_start(course, &begun);
    volatile life_claim claim = begun;
    film_begin(f, start, begun);
    calls_record(tape, skipped);
    int err = life_run(&world, "state", course, &claim, why);
    film_end(f);
    if (err != 0)
        fail_msg("%s: %s", life_name(course), why);
}

/* ---- moments ---- */

static const char *judge_fates(const struct moment *m)
{
    struct disk *d = disk_after(m->film->course, m->end, m->fates);
    const char *wrong = NULL;
    if (is_new(disk_hash(d) * 31 + m->claim)) {
        life_clear(&world, "after");
        disk_write(d, life_path(&world, "after"));
        judged++;
        wrong = life_judge(&world, "after", m->claim, faults_last(m->claim));
    }
    disk_destroy(d);
    return wrong;
}

static void set_all(struct moment *m, enum disk_fate fate)
{
    memset(m->fates, (int) fate, m->end);
}

static void set_call(struct moment *m, uint32_t call, enum disk_fate fate)
{
    for (uint32_t i = 0; i < m->end; i++)
        if (tape->ops[i].call == call)
            m->fates[i] = (uint8_t) fate;
}

/* Each call that hangs in the air alone, and all but it; some of them when they are many. */
static const char *judge_alone(struct moment *m, enum disk_fate one, enum disk_fate others)
{
    const char *wrong = NULL;
    uint32_t steps = m->call_count < ALONE_MAX ? m->call_count : ALONE_MAX;
    for (uint32_t i = 0; !wrong && i < steps; i++) {
        set_all(m, others);
        set_call(m, m->calls[steps == m->call_count ? i : faults_chance() % m->call_count], one);
        wrong = judge_fates(m);
    }
    return wrong;
}

static const char *judge_chances(struct moment *m)
{
    const char *wrong = NULL;
    for (unsigned round = 0; !wrong && m->call_count > 1 && round < CHANCES; round++) {
        uint64_t kept = faults_chance() % 100;
        for (uint32_t i = 0; i < m->end; i++)
            m->fates[i] = (uint8_t) (faults_chance() % 100 < kept ? DISK_KEPT : faults_chance() % 3 == 0 ? DISK_ZEROS : DISK_LOST);
        for (uint32_t i = 0; i < m->end; i++) /* only bytes may be zeros */
            if (m->fates[i] == DISK_ZEROS && tape->ops[i].kind != TAPE_WRITE)
                m->fates[i] = DISK_LOST;
        wrong = judge_fates(m);
    }
    return wrong;
}

static const char *judge_moment(struct moment *m)
{
    m->call_count = 0;
    for (uint32_t i = 0; i < m->end; i++)
        if (disk_is_pending(m->film->course, i, m->end) && (m->call_count == 0 || m->calls[m->call_count - 1] != tape->ops[i].call))
            m->calls[m->call_count++] = tape->ops[i].call;
    set_all(m, DISK_LOST);
    const char *wrong = judge_fates(m);
    set_all(m, DISK_KEPT);
    if (!wrong)
        wrong = judge_fates(m);
    if (!wrong)
        wrong = judge_alone(m, DISK_KEPT, DISK_LOST);
    if (!wrong)
        wrong = judge_alone(m, DISK_LOST, DISK_KEPT);
    return wrong ? wrong : judge_chances(m);
}

static bool is_moment(uint32_t end)
{
    return end == tape->count || tape->ops[end].kind >= TAPE_SYNC || (end > 0 && tape->ops[end - 1].kind == TAPE_MARK);
}

/* From operation `from` on. NULL, or what is wrong at which moment. */
static const char *judge_film(const struct film *f, uint32_t from)
{
    static char sentence[1024];
    struct moment m = {.film = f, .claim = f->claim, .fates = calloc(tape->count + 1, 1), .calls = calloc(tape->count + 1, sizeof *m.calls)};
    const char *wrong = NULL;
    memset(seen, 0, sizeof seen);
    for (m.end = 0; !wrong && m.end <= tape->count; m.end++) {
        if (m.end > 0 && tape->ops[m.end - 1].kind == TAPE_MARK)
            m.claim = tape->ops[m.end - 1].mode;
        if (m.end >= from && is_moment(m.end) && (wrong = judge_moment(&m))) {
            snprintf(sentence, sizeof sentence, "the power fails before operation %u of %u, when %x was promised: %s", m.end, tape->count, m.claim, wrong);
            wrong = sentence;
        }
    }
    free(m.fates);
    free(m.calls);
    return wrong;
}

/* ---- claims ---- */

static void test_power__failing_at_any_moment_leaves_the_old_release_or_the_new(void **state)
{
    (void) state;
    struct film film;
    faults_seed();
    for (enum life_course course = LIFE_FIRST; course < LIFE_COURSES; course++) {
        judged = 0;
        film_course(&film, course, NULL);
        const char *wrong = judge_film(&film, 0);
        film_dispose(&film);
        if (wrong)
            fail_msg("%s: %s", life_name(course), wrong);
        print_message("%s: %u operations, %u disks judged\n", life_name(course), tape->count, judged);
        assert_true(judged > 20);
    }
    sound++;
}

/* A life is killed, another one deploys the same on what it finds: what that one promises holds without what the first one never synced. */
static const char *judge_second_life(unsigned kinds, uint64_t at, const void *skipped, bool *ended)
{
    volatile life_claim *claim = faults_shared_claim();
    static char why[LIFE_ERROR_MAX];
    struct film film;
    life_claim begun;
    int status;
    film_begin(&film, life_start(LIFE_DEPLOY, &begun), begun);
    *claim = film.claim = begun;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        calls_kill_at(kinds, at, false);
        calls_record(tape, skipped);
        _exit(life_run(&world, "state", LIFE_DEPLOY, claim, why) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    *ended = !WIFSIGNALED(status);
    calls_record(tape, skipped);
    uint32_t from = tape->count;
    int err = life_deploy(&world, "state", 4, claim, why);
    film_end(&film);
    struct moment m = {.film = &film, .end = tape->count, .claim = *claim, .fates = calloc(tape->count + 1, 1)};
    memset(seen, 0, sizeof seen);
    const char *wrong = err != 0 ? why : judge_fates(&m); /* all lost */
    for (m.end = from; !wrong && m.end < tape->count; m.end++)
        if (m.end > from && tape->ops[m.end - 1].kind == TAPE_MARK) {
            m.claim = tape->ops[m.end - 1].mode;
            wrong = judge_fates(&m);
        }
    free(m.fates);
    film_dispose(&film);
    munmap((void *) claim, sizeof *claim);
    return wrong;
}

/* Second lives after a first one that ended before calls of these kinds, one in `step` on average. Adds how many there were to *lives. */
static const char *judge_second_lives(unsigned kinds, uint64_t step, const void *skipped, unsigned *lives)
{
    const char *wrong = NULL;
    bool ended = false;
    for (uint64_t at = 0; !ended && !wrong; at += 1 + faults_chance() % (2 * step - 1)) {
        wrong = judge_second_life(kinds, at, skipped, &ended);
        (*lives)++;
    }
    return wrong;
}

/* Before every sync, and before some calls of all kinds. */
static const char *judge_all_second_lives(const void *skipped, unsigned *lives)
{
    *lives = 0;
    const char *wrong = judge_second_lives(CALLS_SYNC, 1, skipped, lives);
    return wrong ? wrong : judge_second_lives(CALLS_CHANGING, faults_all() ? 1 : STEP_OF_SECOND_LIVES, skipped, lives);
}

static void test_power__failing_in_a_second_life_takes_nothing_that_was_found_and_promised_again(void **state)
{
    (void) state;
    unsigned lives;
    faults_seed();
    const char *wrong = judge_all_second_lives(NULL, &lives);
    if (wrong)
        fail_msg("killed, deployed again, then without power (life %u): %s", lives, wrong);
    print_message("%u second lives\n", lives);
    assert_true(lives > 30);
    sound++;
}

/* ---- each sync ---- */

/* Calls of the three functions in the sources of fs/. */
static unsigned count_syncs_in_sources(void)
{
    char *text = malloc(SOURCE_BYTES);
    FILE *all = popen("cat fs/*.c", "r");
    unsigned count = 0;
    assert_non_null(all);
    size_t size = fread(text, 1, SOURCE_BYTES - 1, all);
    pclose(all);
    assert_in_range(size, 1, SOURCE_BYTES - 2);
    text[size] = '\0';
    static const char *const names[] = {" fsync(", "(fsync(", "!fsync(", " fdatasync(", "(fdatasync(", " syncfs(", "(syncfs("};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (const char *at = text; (at = strstr(at, names[i])); at++)
            count++;
    free(text);
    return count;
}

static void print_site(const void *site)
{
    extern const char __executable_start;
    char command[256];
    snprintf(command, sizeof command, "addr2line -e /proc/%d/exe -fs 0x%lx | paste -sd' '", getpid(), (unsigned long) ((const char *) site - 1 - &__executable_start));
    if (system(command) != 0)
        print_message("%p\n", site);
}

static bool is_needed(const void *site)
{
    struct film film;
    unsigned lives;
    const char *wrong = NULL;
    for (enum life_course course = LIFE_FIRST; !wrong && course < LIFE_COURSES; course++) {
        film_course(&film, course, site);
        wrong = judge_film(&film, 0);
        film_dispose(&film);
    }
    if (!wrong)
        wrong = judge_all_second_lives(site, &lives);
    if (wrong)
        print_message("without it %s\n", wrong);
    return wrong != NULL;
}

static void test_power__not_one_sync_can_be_left_out(void **state)
{
    (void) state;
    const void *sites[TAPE_SITES_MAX];
    uint32_t count = 0;
    unsigned useless = 0;
    struct film film;
    assert_int_equal(sound, 2);
    faults_seed();
    for (enum life_course course = LIFE_FIRST; course < LIFE_COURSES; course++) {
        film_course(&film, course, NULL);
        for (uint32_t i = 0, known; i < tape->site_count; i++) {
            for (known = 0; known < count && sites[known] != tape->sites[i]; known++) {}
            if (known == count)
                sites[count++] = tape->sites[i];
        }
        film_dispose(&film);
    }
    for (uint32_t i = 0; i < count; i++) {
        fflush(stdout);
        print_site(sites[i]);
        if (!is_needed(sites[i])) {
            useless++;
            print_message("FAIL nothing notices that it is left out\n");
        }
    }
    print_message("%u syncs in fs/, %u called here\n", count_syncs_in_sources(), count);
    assert_int_equal(useless, 0);
    assert_true(count >= count_syncs_in_sources());
}

static int setup(void **state)
{
    tape = tape_create();
    return faults_setup(state);
}

static int teardown(void **state)
{
    tape_destroy(tape);
    return faults_teardown(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power__failing_at_any_moment_leaves_the_old_release_or_the_new),
        cmocka_unit_test(test_power__failing_in_a_second_life_takes_nothing_that_was_found_and_promised_again),
    };
    const struct CMUnitTest syncs[] = {
        tests[0],
        tests[1],
        cmocka_unit_test(test_power__not_one_sync_can_be_left_out),
    };
    bool all = argc > 1 && strcmp(argv[1], "--syncs") == 0; /* tests/faults/planted */
    return all ? cmocka_run_group_tests(syncs, setup, teardown) : cmocka_run_group_tests(tests, setup, teardown);
}
