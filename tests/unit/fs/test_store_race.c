/* Collection beside publishers that build their trees: what is held or kept is never taken, however they meet. Run by the thread sanitizer too. */
#include "tests/unit/fs/release.h"

#include <pthread.h>
#include <stdatomic.h>

#include "fs/reach.h"

enum { PUBLISHERS = 2, ROUNDS = 25, KEPT_MAX = PUBLISHERS };

struct race {
    struct release_fixture *f;
    pthread_mutex_t lock;
    struct object_id kept[KEPT_MAX]; /* the newest of each publisher */
    bool is_kept[KEPT_MAX];
    atomic_int running;
};

struct publisher {
    struct race *race;
    size_t number;
    const char *wrong; /* what went wrong, NULL: nothing */
};

/* Files of which some come again with each round, some are new. */
static bool change_project(struct publisher *p, int round)
{
    char path[4200];
    uint8_t bytes[20000];
    bool written = true;
    for (uint64_t i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "%s/p%zu/f%u", p->race->f->folder, p->number, (unsigned) i);
        tree_noise(bytes, sizeof bytes, i < 3 ? i : (uint64_t) round * 10 + i);
        FILE *file = fopen(path, "wb");
        written = file && fwrite(bytes, 1, sizeof bytes, file) == sizeof bytes && written;
        written = file && fclose(file) == 0 && written;
    }
    return written;
}

static void keep(struct race *r, size_t number, const struct object_id *root)
{
    pthread_mutex_lock(&r->lock);
    r->kept[number] = *root;
    r->is_kept[number] = true;
    pthread_mutex_unlock(&r->lock);
}

/* As a job does it: all under one hold, until the root is kept. */
static const char *publish_and_build(struct publisher *p, int folder_fd, int round)
{
    struct release_fixture *f = p->race->f;
    struct publish_result published;
    struct materialize_result built;
    struct store_hold hold;
    char name[32];
    uint64_t missing = 0;
    if (!change_project(p, round))
        return "writing the project";
    snprintf(name, sizeof name, "t%zu-%d", p->number, round);
    store_hold_begin(f->store, &hold);
    const char *wrong = release_publish(f->store, folder_fd, NULL, NULL, &published) != 0 ? "publishing" : NULL;
    if (!wrong && materialize_tree(f->store, &published.root, f->releases, name, NULL, NULL, &built) != 0)
        wrong = "building the tree";
    if (!wrong)
        keep(p->race, p->number, &published.root);
    store_hold_end(f->store, &hold);
    if (!wrong && (release_check(f->store, &published.root, &missing) != 0 || missing > 0))
        wrong = "a kept release lacks something";
    return wrong;
}

static void *publish_all(void *arg)
{
    struct publisher *p = arg;
    char path[4200];
    snprintf(path, sizeof path, "%s/p%zu", p->race->f->folder, p->number);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int round = 0; !p->wrong && round < ROUNDS; round++)
        p->wrong = publish_and_build(p, fd, round);
    close(fd);
    atomic_fetch_sub(&p->race->running, 1);
    return NULL;
}

/* As server/release/tidy.c: the roots are listed after begin. */
static int collect(struct race *r, bool thorough, struct store_collected *out)
{
    struct store_collection c;
    struct id_map live;
    int err = store_collect_begin(r->f->store, &c);
    if (err != 0)
        return err;
    c.thorough = thorough;
    id_map_init(&live);
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; err == 0 && i < KEPT_MAX; i++)
        if (r->is_kept[i])
            err = release_mark(r->f->store, &r->kept[i], &live, NULL);
    pthread_mutex_unlock(&r->lock);
    if (err == 0)
        err = store_collect_sweep(r->f->store, &c, &live, out);
    else
        store_collect_abort(r->f->store, &c);
    id_map_dispose(&live);
    return err;
}

static void test_store__collection_races_neither_publish_nor_materialize(void **state)
{
    struct race r = {.f = *state, .running = PUBLISHERS};
    struct publisher publishers[PUBLISHERS];
    struct store_collected collected;
    pthread_t threads[PUBLISHERS];
    uint64_t freed = 0;
    char name[16];
    pthread_mutex_init(&r.lock, NULL);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        snprintf(name, sizeof name, "p%zu", i);
        tree_dir(r.f->folder, name);
        publishers[i] = (struct publisher){.race = &r, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, publish_all, &publishers[i]), 0);
    }
    for (unsigned turn = 0; atomic_load(&r.running) > 0; turn++) {
        assert_int_equal(collect(&r, turn % 2, &collected), 0);
        freed += collected.freed_bytes;
    }
    for (size_t i = 0; i < PUBLISHERS; i++) {
        pthread_join(threads[i], NULL);
        if (publishers[i].wrong)
            fail_msg("publisher %zu: %s", i, publishers[i].wrong);
    }
    assert_int_equal(collect(&r, true, &collected), 0);
    assert_true(freed + collected.freed_bytes > 0);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        uint64_t missing = 0;
        assert_int_equal(release_check(r.f->store, &r.kept[i], &missing), 0);
        assert_int_equal(missing, 0);
    }
    pthread_mutex_destroy(&r.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_store__collection_races_neither_publish_nor_materialize, release_setup, release_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
