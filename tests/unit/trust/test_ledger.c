/* The ledger: merges in any order, whose signature counts, and what cannot be undone. */
// cost: 14
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hex.h"
#include "trust/ledger_internal.h"

static const int64_t NOW = 1900000000;

struct rig {
    struct authority *first, *second, *third;
};

static struct authority *mint(const char *name)
{
    struct authority *a;
    assert_int_equal(authority_mint(name, NOW, &a), 0);
    return a;
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    r->first = mint("demo"), r->second = mint("demo"), r->third = mint("demo");
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    authority_destroy(r->first), authority_destroy(r->second), authority_destroy(r->third);
    free(r);
    return 0;
}

static struct ledger *fresh(const struct authority *a)
{
    struct ledger *l;
    assert_int_equal(ledger_create(authority_certificate_der(a), &l), 0);
    return l;
}

static const char *id_of(unsigned i)
{
    static char id[TRUST_ID_SIZE];
    snprintf(id, sizeof id, "%064x", i * 2654435761u);
    return id;
}

static struct buf packed(const struct ledger *l)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(ledger_pack(l, &b), 0);
    return b;
}

/* Tells `to` all that `from` holds. */
static struct ledger_news tell(struct ledger *to, const struct ledger *from)
{
    struct ledger_news news;
    struct buf b = packed(from);
    assert_int_equal(ledger_merge(to, buf_slice(&b), &news), 0);
    buf_dispose(&b);
    return news;
}

static bool same(const struct ledger *a, const struct ledger *b)
{
    uint8_t x[LEDGER_DIGEST_SIZE], y[LEDGER_DIGEST_SIZE];
    ledger_digest(a, x);
    ledger_digest(b, y);
    return memcmp(x, y, sizeof x) == 0;
}

static void assert_door(const struct ledger *l, uint64_t epoch, bool open)
{
    uint64_t has_epoch;
    bool is_open;
    ledger_door(l, &has_epoch, &is_open);
    assert_int_equal(has_epoch, epoch);
    assert_int_equal(is_open, open);
}

static void test_ledger__is_empty_and_open_at_first(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first);
    assert_string_equal(ledger_root(l)->id, authority_id(r->first));
    assert_null(ledger_next(l));
    assert_int_equal(ledger_tombstone_count(l), 0);
    assert_door(l, 0, true);
    ledger_destroy(l);
}

static void test_ledger__evicting_closes_the_door(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first);
    assert_int_equal(ledger_evict(l, r->first, id_of(1), "one", NOW), 0);
    assert_true(ledger_is_evicted(l, id_of(1)));
    assert_false(ledger_is_evicted(l, id_of(2)));
    assert_door(l, 1, false);
    assert_int_equal(ledger_evict(l, r->first, id_of(2), "two", NOW), 0);
    assert_door(l, 1, false);
    assert_int_equal(ledger_set_door(l, r->first, true, NOW), 0);
    assert_door(l, 2, true);
    assert_string_equal(ledger_tombstone_at(l, 0)->name, strcmp(id_of(1), ledger_tombstone_at(l, 0)->id) == 0 ? "one" : "two");
    ledger_destroy(l);
}

static void test_ledger__a_tombstone_cannot_be_undone(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *empty = fresh(r->first);
    assert_int_equal(ledger_evict(l, r->first, id_of(1), "one", NOW), 0);
    assert_false(tell(l, empty).changed);
    assert_int_equal(ledger_set_door(empty, r->first, true, NOW), 0);
    assert_int_equal(ledger_set_door(empty, r->first, true, NOW), 0);
    assert_true(tell(l, empty).changed);
    assert_true(ledger_is_evicted(l, id_of(1)));
    ledger_destroy(l), ledger_destroy(empty);
}

static void test_ledger__replay_is_harmless(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first);
    assert_int_equal(ledger_evict(l, r->first, id_of(1), "one", NOW), 0);
    struct buf early = packed(l);
    struct ledger_news news;
    assert_int_equal(ledger_set_door(l, r->first, true, NOW), 0);
    assert_int_equal(ledger_merge(l, buf_slice(&early), &news), 0);
    assert_false(news.changed);
    assert_door(l, 2, true); /* the closed door of before does not come back */
    buf_dispose(&early);
    ledger_destroy(l);
}

static void test_ledger__refuses_the_statements_of_an_unknown_authority(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *strange = fresh(r->second);
    assert_int_equal(ledger_evict(strange, r->second, id_of(1), "one", NOW), 0);
    struct ledger_news news = tell(l, strange);
    assert_false(news.changed);
    assert_int_equal(news.refused, 2);
    assert_false(ledger_is_evicted(l, id_of(1)));
    assert_int_equal(ledger_evict(l, r->second, id_of(1), "one", NOW), GRID_EPERM);
    ledger_destroy(l), ledger_destroy(strange);
}

static void test_ledger__refuses_a_forged_signature(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *from = fresh(r->first);
    struct ledger_news news;
    assert_int_equal(ledger_evict(from, r->first, id_of(1), "one", NOW), 0);
    struct buf b = packed(from);
    size_t root = 18 + authority_certificate_der(r->first).size; /* the door, then the tombstone */
    b.data[root + 3 + 7] ^= 1; /* epoch of the door */
    assert_int_equal(ledger_merge(l, buf_slice(&b), &news), 0);
    assert_int_equal(news.refused, 1);
    assert_door(l, 0, true);
    assert_false(ledger_is_evicted(l, id_of(1))); /* it came behind the forged one */
    struct ledger *loaded = NULL;
    assert_int_equal(ledger_load(buf_slice(&b), &loaded), GRID_EPERM);
    buf_dispose(&b);
    ledger_destroy(l), ledger_destroy(from);
}

static void test_ledger__changes_its_root_in_three_phases(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *other = fresh(r->first);
    assert_int_equal(ledger_evict(l, r->first, id_of(1), "one", NOW), 0);
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_INSTALL, NOW, NOW + 86400), 0);
    assert_string_equal(ledger_next(l)->id, authority_id(r->second));
    assert_true(tell(other, l).changed);
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_USE, NOW, NOW + 86400), 0);
    assert_int_equal(ledger_next(l)->phase, LEDGER_USE);
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    assert_null(ledger_next(l));
    assert_string_equal(ledger_root(l)->id, authority_id(r->second));
    assert_int_equal(ledger_root(l)->sequence, 1);
    assert_true(ledger_root(l)->cross_der.size > 0);
    assert_true(ledger_is_evicted(l, id_of(1)));
    assert_door(l, 1, false);
    assert_true(tell(other, l).root_changed); /* it missed the phase in between */
    assert_true(same(l, other));
    assert_int_equal(ledger_evict(other, r->first, id_of(2), "two", NOW), GRID_EPERM);
    ledger_destroy(l), ledger_destroy(other);
}

/* A server that is added by a certificate of the second authority knows neither what made it the root nor its number: it becomes of one mind with the others, and follows them
 * to the third. */
static void test_ledger__begun_with_a_later_authority_follows_the_next(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *added = fresh(r->second);
    assert_int_equal(ledger_evict(l, r->first, id_of(1), "one", NOW), 0);
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    struct ledger_news news = tell(added, l);
    assert_true(news.changed && !news.root_changed);
    assert_int_equal(news.refused, 0);
    assert_true(ledger_is_evicted(added, id_of(1)));
    assert_true(same(added, l));
    assert_int_equal(tell(l, added).refused, 0);
    assert_int_equal(ledger_announce(l, r->second, r->third, LEDGER_INSTALL, NOW, NOW + 60), 0);
    assert_true(tell(added, l).changed);
    assert_non_null(ledger_next(added));
    assert_int_equal(ledger_announce(l, r->second, r->third, LEDGER_REMOVE, NOW, 0), 0);
    assert_true(tell(added, l).root_changed);
    assert_string_equal(ledger_root(added)->id, authority_id(r->third));
    assert_int_equal(ledger_root(added)->sequence, ledger_root(l)->sequence);
    assert_true(same(added, l));
    ledger_destroy(l), ledger_destroy(added);
}

/* Who does not know the number of his root announces the next one by what others say it is, or by what the root has signed already, and is followed. */
static void test_ledger__begun_with_a_later_authority_leads_to_the_next(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *added = fresh(r->second);
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    ledger_hear_sequence(added, UINT64_MAX); /* a liar's */
    ledger_hear_sequence(added, 1);
    assert_int_equal(ledger_announce(added, r->second, r->third, LEDGER_INSTALL, NOW, NOW + 60), 0);
    assert_true(tell(l, added).changed);
    assert_int_equal(ledger_next(added)->sequence, 2);
    ledger_hear_sequence(added, 7);
    assert_int_equal(ledger_announce(added, r->second, r->third, LEDGER_REMOVE, NOW, 0), 0);
    assert_true(tell(l, added).root_changed);
    assert_int_equal(ledger_root(added)->sequence, 2);
    assert_int_equal(ledger_root(l)->sequence, 2);
    assert_true(same(added, l));
    ledger_destroy(l), ledger_destroy(added);
}

/* An issuer that has gone bad would count to where no further authority can follow. */
static void test_ledger__no_sequence_ends_the_counting(void **state)
{
    const struct rig *r = *state;
    const uint64_t last = (uint64_t) INT64_MAX / 2;
    struct ledger *bad = fresh(r->first), *l = fresh(r->first);
    bad->heard_sequence = UINT64_MAX - 1;
    assert_int_equal(ledger_announce(bad, r->first, r->second, LEDGER_REMOVE, NOW, 0), GRID_EINVAL);
    ledger_hear_sequence(bad, last - 1);
    assert_int_equal(ledger_announce(bad, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    assert_int_equal(ledger_root(bad)->sequence, last);
    assert_true(tell(l, bad).root_changed);
    assert_int_equal(ledger_announce(l, r->second, r->third, LEDGER_REMOVE, NOW, 0), 0);
    assert_int_equal(ledger_root(l)->sequence, last + 1);
    assert_true(tell(bad, l).root_changed);
    ledger_destroy(bad), ledger_destroy(l);
}

static void test_ledger__refuses_the_statements_of_a_removed_authority(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *behind = fresh(r->first);
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    assert_int_equal(ledger_evict(behind, r->first, id_of(7), "seven", NOW), 0);
    assert_int_equal(ledger_announce(behind, r->first, r->third, LEDGER_REMOVE, NOW, 0), 0);
    struct ledger_news news = tell(l, behind);
    assert_false(news.changed);
    assert_int_equal(news.stale, 1);
    assert_string_equal(ledger_root(l)->id, authority_id(r->second));
    ledger_destroy(l), ledger_destroy(behind);
}

static void test_ledger__an_eviction_that_crosses_a_new_authority_holds_until_it_is_signed_again(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *other = fresh(r->first), *again = NULL;
    struct buf owed;
    assert_int_equal(ledger_evict(l, r->first, id_of(1), "one", NOW), 0);
    tell(other, l);
    assert_int_equal(ledger_set_door(l, r->first, true, NOW), 0);
    assert_int_equal(ledger_set_door(other, r->first, true, NOW), 0);
    assert_int_equal(ledger_evict(l, r->first, id_of(2), "two", NOW), 0);
    assert_int_equal(ledger_announce(other, r->first, r->second, LEDGER_REMOVE, NOW, NOW + 60), 0);
    assert_true(tell(l, other).root_changed);
    assert_int_equal(ledger_owed_count(l), 1);
    assert_true(ledger_is_evicted(l, id_of(1)) && ledger_is_evicted(l, id_of(2)));
    assert_int_equal(ledger_tombstone_count(l), 2);
    assert_string_equal(ledger_owed_at(l, 0)->name, "two");
    assert_door(l, 2, false);
    assert_true(same(l, other)); /* nobody else can know, or is asked to take the old root's word */
    assert_int_equal(tell(other, l).refused, 0);
    assert_false(ledger_is_evicted(other, id_of(2)));

    buf_init(&owed, 0);
    assert_int_equal(ledger_pack_owed(l, &owed), 0);
    struct buf kept = packed(l);
    assert_int_equal(ledger_load(buf_slice(&kept), &again), 0);
    assert_int_equal(ledger_load_owed(again, buf_slice(&owed)), 0);
    assert_int_equal(ledger_owed_count(again), 1);
    assert_int_equal(ledger_load_owed(again, slice_first(buf_slice(&owed), owed.size - 1)), GRID_EPROTO);

    assert_int_equal(ledger_pay(again, r->first, NOW), GRID_EPERM);
    assert_int_equal(ledger_pay(again, r->second, NOW), 0);
    assert_int_equal(ledger_owed_count(again), 0);
    assert_door(again, 3, false);
    tell(other, again), tell(l, again);
    assert_true(ledger_is_evicted(other, id_of(2)));
    assert_int_equal(ledger_owed_count(l), 0);
    assert_int_equal(ledger_tombstone_count(l), 2);
    assert_true(same(l, other));
    buf_dispose(&owed), buf_dispose(&kept);
    ledger_destroy(l), ledger_destroy(other), ledger_destroy(again);
}

static void test_ledger__what_is_owed_goes_on_with_the_next_authority(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *other = fresh(r->first);
    assert_int_equal(ledger_evict(l, r->first, id_of(2), "two", NOW), 0);
    assert_int_equal(ledger_announce(other, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    tell(l, other);
    assert_int_equal(ledger_owed_count(l), 1);
    assert_int_equal(ledger_announce(l, r->second, r->third, LEDGER_REMOVE, NOW, 0), 0);
    assert_int_equal(ledger_owed_count(l), 0);
    tell(other, l);
    assert_true(ledger_is_evicted(other, id_of(2)));
    ledger_destroy(l), ledger_destroy(other);
}

/* After each rotation some members tell what they know before they have heard of it. */
static void test_ledger__takes_who_is_behind_for_no_liar(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *behind = fresh(r->first);
    assert_int_equal(ledger_evict(l, r->first, id_of(1), "one", NOW), 0);
    assert_int_equal(ledger_add_heir(l, r->first, id_of(2), NOW), 0);
    tell(behind, l);
    for (int rotations = 1; rotations <= 2; rotations++) {
        const struct authority *root = rotations == 1 ? r->first : r->second, *next = rotations == 1 ? r->second : r->third;
        assert_int_equal(ledger_announce(l, root, next, LEDGER_REMOVE, NOW, 0), 0);
        struct ledger_news news = tell(l, behind);
        assert_false(news.changed);
        assert_int_equal(news.refused, 0);
        assert_int_equal(news.stale, 3); /* tombstone, door, heir */
    }
    ledger_destroy(l), ledger_destroy(behind);
}

static void test_ledger__refuses_an_authority_of_another_grid_or_out_of_turn(void **state)
{
    const struct rig *r = *state;
    struct authority *foreign = mint("other");
    struct ledger *l = fresh(r->first), *ahead = fresh(r->first);
    assert_int_equal(ledger_announce(l, r->first, foreign, LEDGER_INSTALL, NOW, 0), GRID_EINVAL);
    assert_int_equal(ledger_announce(l, r->first, r->first, LEDGER_INSTALL, NOW, 0), GRID_EINVAL);
    assert_int_equal(ledger_announce(ahead, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    assert_int_equal(ledger_announce(ahead, r->second, r->third, LEDGER_REMOVE, NOW, 0), 0);
    struct ledger_news news = tell(l, ahead); /* by a root that it has never heard of */
    assert_false(news.changed);
    assert_true(news.refused > 0);
    authority_destroy(foreign);
    ledger_destroy(l), ledger_destroy(ahead);
}

static void test_ledger__of_two_rotations_at_once_one_wins_everywhere(void **state)
{
    const struct rig *r = *state;
    struct ledger *a = fresh(r->first), *b = fresh(r->first);
    assert_int_equal(ledger_announce(a, r->first, r->second, LEDGER_INSTALL, NOW, 0), 0);
    assert_int_equal(ledger_announce(b, r->first, r->third, LEDGER_INSTALL, NOW, 0), 0);
    tell(a, b), tell(b, a);
    assert_true(same(a, b));
    const char *smaller = strcmp(authority_id(r->second), authority_id(r->third)) < 0 ? authority_id(r->second) : authority_id(r->third);
    assert_string_equal(ledger_next(a)->id, smaller);
    ledger_destroy(a), ledger_destroy(b);
}

/* Spoils the signatures of a pack's statements of these kinds. */
static void spoil(struct buf *pack, enum ledger_kind one, enum ledger_kind other)
{
    struct ledger_statement *list[LEDGER_STATEMENTS_MAX];
    struct ledger_pack_view p;
    size_t count;
    assert_int_equal(ledger_pack_open(buf_slice(pack), &p), 0);
    size_t end = (size_t) (p.statements.rest.data - pack->data);
    assert_int_equal(ledger_pack_read(&p, list, &count), 0);
    for (size_t i = 0; i < count; i++) {
        end += list[i]->size;
        pack->data[end - 1] ^= list[i]->kind == one || list[i]->kind == other;
        free(list[i]);
    }
}

/* A member that has no key can say again what it has heard, as often as it likes: each signature that is looked at takes the control thread a tenth of a millisecond. */
static void test_ledger__looks_at_no_signature_of_what_changes_nothing(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *early = fresh(r->first);
    struct ledger_news news;
    assert_int_equal(ledger_evict(early, r->first, id_of(1), "one", NOW), 0);
    assert_int_equal(ledger_announce(early, r->first, r->second, LEDGER_INSTALL, NOW, NOW + 86400), 0);
    tell(l, early);
    assert_int_equal(ledger_set_door(l, r->first, true, NOW), 0);
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_USE, NOW, NOW + 86400), 0);
    assert_int_equal(ledger_evict(early, r->first, id_of(2), "two", NOW), 0);
    struct buf pack = packed(early);
    spoil(&pack, LEDGER_DOOR, LEDGER_AUTHORITY);
    assert_int_equal(ledger_merge(l, buf_slice(&pack), &news), 0);
    assert_int_equal(news.refused, 0);
    assert_door(l, 2, true);
    assert_int_equal(ledger_next(l)->phase, LEDGER_USE);
    assert_true(ledger_is_evicted(l, id_of(2))); /* which is news, and behind them */
    buf_dispose(&pack);
    ledger_destroy(l), ledger_destroy(early);
}

static void test_ledger__is_loaded_as_it_was_packed(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *again = NULL;
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_REMOVE, NOW, NOW + 60), 0);
    assert_int_equal(ledger_evict(l, r->second, id_of(3), "three", NOW), 0);
    assert_int_equal(ledger_announce(l, r->second, r->third, LEDGER_USE, NOW, NOW + 60), 0);
    struct buf once = packed(l);
    assert_int_equal(ledger_load(buf_slice(&once), &again), 0);
    struct buf twice = packed(again);
    assert_true(slice_equal(buf_slice(&once), buf_slice(&twice)));
    assert_true(same(l, again));
    assert_int_equal(ledger_root(again)->until_s, NOW + 60);
    for (size_t size = 0; size < once.size; size += 7) {
        struct ledger *part = NULL;
        if (ledger_load(slice_of(once.data, size), &part) == 0)
            ledger_destroy(part);
    }
    buf_dispose(&once), buf_dispose(&twice);
    ledger_destroy(l), ledger_destroy(again);
}

/* ---- many replicas, any order ---- */

enum { REPLICAS = 5, STEPS = 40 };

static unsigned next_random(uint64_t *seed)
{
    *seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
    return (unsigned) (*seed >> 33);
}

/* One thing an issuer may do, on one replica, by what that replica knows. */
static void act(const struct rig *r, struct ledger *l, uint64_t *seed)
{
    const struct authority *const all[] = {r->first, r->second, r->third};
    const struct authority *root = all[ledger_root(l)->sequence];
    unsigned what = next_random(seed) % 8;
    if (what < 4)
        assert_int_equal(ledger_evict(l, root, id_of(next_random(seed) % 20), "x", NOW), 0);
    else if (what < 6)
        assert_int_equal(ledger_set_door(l, root, next_random(seed) % 2, NOW), 0);
    else if (ledger_root(l)->sequence == 0)
        (void) ledger_announce(l, root, all[1 + next_random(seed) % 2], next_random(seed) % 2 ? LEDGER_INSTALL : LEDGER_USE, NOW, 0);
}

static void gossip_until_equal(struct ledger **replicas, uint64_t *seed)
{
    for (int i = 0; i < 400; i++)
        tell(replicas[next_random(seed) % REPLICAS], replicas[next_random(seed) % REPLICAS]);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < REPLICAS; i++)
            tell(replicas[i], replicas[(i + 1) % REPLICAS]), tell(replicas[(i + 1) % REPLICAS], replicas[i]);
    for (int i = 1; i < REPLICAS; i++)
        assert_true(same(replicas[0], replicas[i]));
}

static void test_ledger__replicas_that_tell_each_other_in_any_order_end_equal(void **state)
{
    const struct rig *r = *state;
    for (uint64_t run = 1; run <= 12; run++) {
        uint64_t seed = run * 0x9e3779b97f4a7c15u;
        struct ledger *replicas[REPLICAS];
        for (int i = 0; i < REPLICAS; i++)
            replicas[i] = fresh(r->first);
        for (int i = 0; i < STEPS; i++) {
            if (next_random(&seed) % 3 == 0)
                act(r, replicas[next_random(&seed) % REPLICAS], &seed);
            else
                tell(replicas[next_random(&seed) % REPLICAS], replicas[next_random(&seed) % REPLICAS]);
        }
        gossip_until_equal(replicas, &seed);
        size_t evicted = ledger_tombstone_count(replicas[0]);
        assert_int_equal(ledger_announce(replicas[2], r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
        gossip_until_equal(replicas, &seed);
        assert_int_equal(ledger_tombstone_count(replicas[4]), evicted);
        for (int i = 0; i < REPLICAS; i++)
            ledger_destroy(replicas[i]);
    }
}

static void test_ledger__is_bounded(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first);
    struct ledger_news news;
    for (unsigned i = 0; i < LEDGER_TOMBSTONES_MAX; i++)
        assert_int_equal(ledger_evict(l, r->first, id_of(i), "a name of the length that names may have at the most, and not more", NOW) == 0 ||
                             ledger_evict(l, r->first, id_of(i), "a long name", NOW) == 0,
                         true);
    assert_int_equal(ledger_evict(l, r->first, id_of(LEDGER_TOMBSTONES_MAX), "x", NOW), GRID_ELIMIT);
    struct buf b = packed(l);
    assert_true(b.size <= LEDGER_BYTES_MAX);
    buf_dispose(&b);
    uint8_t *large = calloc(1, LEDGER_BYTES_MAX + 1);
    assert_int_equal(ledger_merge(l, slice_of(large, LEDGER_BYTES_MAX + 1), &news), GRID_ELIMIT);
    free(large);
    ledger_destroy(l);
}

static void test_ledger__knows_who_was_given_the_key(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first), *other = fresh(r->first);
    assert_int_equal(ledger_add_heir(l, r->second, id_of(1), NOW), GRID_EPERM);
    assert_int_equal(ledger_add_heir(l, r->first, "no id", NOW), GRID_EINVAL);
    assert_int_equal(ledger_add_heir(l, r->first, id_of(1), NOW), 0);
    assert_true(ledger_is_heir(l, id_of(1)) && !ledger_is_heir(l, id_of(2)));
    assert_false(same(l, other));
    assert_true(tell(other, l).changed && same(l, other));
    assert_false(tell(other, l).changed);
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_USE, NOW, NOW + 60), 0);
    assert_int_equal(ledger_add_heir(l, r->first, id_of(2), NOW), 0);
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    assert_true(ledger_is_heir(l, id_of(1)) && ledger_is_heir(l, id_of(2))); /* the second's key was handed on too */
    assert_int_equal(ledger_announce(l, r->second, r->third, LEDGER_REMOVE, NOW, 0), 0);
    assert_false(ledger_is_heir(l, id_of(1)) || ledger_is_heir(l, id_of(2))); /* nobody was given the third's */
    tell(other, l);
    ledger_destroy(l), ledger_destroy(other);
}

/* An issuer evicts a member while another one, cut off from it, hands that member the key. */
static void test_ledger__tells_of_an_evicted_heir_until_the_authority_is_replaced(void **state)
{
    const struct rig *r = *state;
    struct ledger *evicts = fresh(r->first), *hands = fresh(r->first);
    assert_int_equal(ledger_evict(evicts, r->first, id_of(1), "one", NOW), 0);
    assert_int_equal(ledger_evict(evicts, r->first, id_of(2), "two", NOW), 0);
    assert_int_equal(ledger_add_heir(hands, r->first, id_of(2), NOW), 0);
    assert_int_equal(ledger_add_heir(hands, r->first, id_of(3), NOW), 0);
    assert_null(ledger_evicted_heir(evicts));
    assert_null(ledger_evicted_heir(hands));
    tell(evicts, hands), tell(hands, evicts);
    assert_string_equal(ledger_evicted_heir(evicts)->id, id_of(2));
    assert_string_equal(ledger_evicted_heir(hands)->name, "two");
    assert_int_equal(ledger_announce(evicts, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    tell(hands, evicts);
    assert_null(ledger_evicted_heir(evicts));
    assert_null(ledger_evicted_heir(hands));
    assert_true(ledger_is_evicted(hands, id_of(2)));
    ledger_destroy(evicts), ledger_destroy(hands);
}

/* The one that the new authority has not signed (yet) counts too, and so does a key that was handed on before its authority came into force. */
static void test_ledger__tells_of_an_evicted_heir_of_a_new_authority(void **state)
{
    const struct rig *r = *state;
    struct ledger *evicts = fresh(r->first), *rotates = fresh(r->first);
    assert_int_equal(ledger_announce(rotates, r->first, r->second, LEDGER_USE, NOW, NOW + 60), 0);
    assert_int_equal(ledger_add_heir(rotates, r->first, id_of(1), NOW), 0);
    assert_int_equal(ledger_announce(rotates, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    assert_int_equal(ledger_evict(evicts, r->first, id_of(1), "one", NOW), 0);
    tell(evicts, rotates);
    assert_int_equal(ledger_owed_count(evicts), 1);
    assert_string_equal(ledger_evicted_heir(evicts)->id, id_of(1));
    assert_int_equal(ledger_pay(evicts, r->second, NOW), 0);
    tell(rotates, evicts);
    assert_string_equal(ledger_evicted_heir(rotates)->id, id_of(1));
    ledger_destroy(evicts), ledger_destroy(rotates);
}

static void test_ledger__begins_anew_where_a_false_issuer_has_used_all_up(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first);
    for (unsigned i = 1; i <= LEDGER_TOMBSTONES_MAX; i++)
        assert_int_equal(ledger_evict(l, r->first, id_of(i), "n", NOW + i), 0);
    assert_int_equal(ledger_evict(l, r->first, id_of(5000), "it", NOW), GRID_ELIMIT);
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    assert_int_equal(ledger_evict(l, r->second, id_of(5000), "it", NOW), 0);
    assert_true(ledger_is_evicted(l, id_of(5000)) && ledger_is_evicted(l, id_of(LEDGER_TOMBSTONES_MAX)));
    ledger_destroy(l);
}

/* A pack with one statement about the door, which the root itself has signed: what an issuer can make that has gone bad. */
static struct buf door_pack(const struct authority *root, uint64_t epoch, bool open)
{
    static const char context[] = "gridcontrol trust ledger 1";
    uint8_t signature[TRUST_SIGNATURE_MAX], signer[32];
    size_t size;
    struct slice der = authority_certificate_der(root);
    struct buf b, statement;
    buf_init(&b, 0), buf_init(&statement, 0);
    buf_append(&statement, slice_of(context, sizeof context));
    buf_append_byte(&statement, 3);
    buf_append_u16be(&statement, 17);
    buf_append_u64be(&statement, epoch);
    buf_append_byte(&statement, open);
    buf_append_u64be(&statement, (uint64_t) NOW);
    assert_int_equal(key_sign(authority_key(root), buf_slice(&statement), signature, &size), 0);
    buf_append_str(&b, "GRIDLDG1");
    buf_append_u64be(&b, 0);
    buf_append_u16be(&b, (uint16_t) der.size);
    buf_append(&b, der);
    buf_append(&b, slice_from(buf_slice(&statement), sizeof context));
    hex_decode(slice_of_str(authority_id(root)), signer, sizeof signer);
    buf_append(&b, slice_of(signer, sizeof signer));
    buf_append_byte(&b, (uint8_t) size);
    buf_append(&b, slice_of(signature, size));
    buf_dispose(&statement);
    return b;
}

static int merge_door(struct ledger *l, const struct authority *root, uint64_t epoch, bool open)
{
    struct ledger_news news;
    struct buf b = door_pack(root, epoch, open);
    int err = ledger_merge(l, buf_slice(&b), &news);
    buf_dispose(&b);
    return err;
}

static void test_ledger__no_epoch_shuts_the_door_for_ever(void **state)
{
    const struct rig *r = *state;
    struct ledger *l = fresh(r->first);
    assert_int_equal(merge_door(l, r->first, 7, false), 0);
    assert_door(l, 7, false);
    assert_int_equal(merge_door(l, r->first, UINT64_MAX, false), GRID_EPROTO);
    assert_int_equal(merge_door(l, r->first, (uint64_t) UINT32_MAX + 1, false), GRID_EPROTO);
    assert_door(l, 7, false);
    assert_int_equal(merge_door(l, r->first, UINT32_MAX, false), 0);
    assert_int_equal(ledger_set_door(l, r->first, true, NOW), GRID_ELIMIT); /* said, and not as if it were open */
    assert_door(l, UINT32_MAX, false);
    assert_int_equal(ledger_evict(l, r->first, id_of(1), "one", NOW), 0);
    assert_int_equal(ledger_announce(l, r->first, r->second, LEDGER_REMOVE, NOW, 0), 0);
    assert_door(l, 1, false); /* the authority that follows counts anew */
    assert_int_equal(ledger_set_door(l, r->second, true, NOW), 0);
    assert_door(l, 2, true);
    ledger_destroy(l);
}

static void test_ledger__packs_as_many_of_the_newest_tombstones_as_fit(void **state)
{
    struct rig *r = *state;
    enum { EVICTED = 200, ROOM = 8000 };
    struct ledger *l = fresh(r->first), *got;
    struct buf brief;
    for (unsigned i = 1; i <= EVICTED; i++)
        assert_int_equal(ledger_evict(l, r->first, id_of(i), "n", NOW + i), 0);
    buf_init(&brief, 0);
    assert_int_equal(ledger_pack_brief(l, ROOM, &brief), 0);
    assert_true(brief.size <= ROOM && brief.size > ROOM - 400);
    assert_int_equal(ledger_load(buf_slice(&brief), &got), 0);
    unsigned count = (unsigned) ledger_tombstone_count(got);
    assert_true(count > 30);
    for (unsigned i = 1; i <= EVICTED; i++)
        assert_int_equal(ledger_is_evicted(got, id_of(i)), i > EVICTED - count);
    tell(got, l); /* gossip brings the others */
    assert_true(same(got, l));
    ledger_destroy(got);
    buf_clear(&brief);
    assert_int_equal(ledger_pack_brief(l, 0, &brief), 0);
    assert_int_equal(ledger_load(buf_slice(&brief), &got), 0);
    assert_int_equal(ledger_tombstone_count(got), 0);
    ledger_destroy(got);
    buf_dispose(&brief);
    ledger_destroy(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ledger__is_empty_and_open_at_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__evicting_closes_the_door, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__a_tombstone_cannot_be_undone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__replay_is_harmless, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__refuses_the_statements_of_an_unknown_authority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__refuses_a_forged_signature, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__changes_its_root_in_three_phases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__begun_with_a_later_authority_follows_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__begun_with_a_later_authority_leads_to_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__no_sequence_ends_the_counting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__refuses_the_statements_of_a_removed_authority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__an_eviction_that_crosses_a_new_authority_holds_until_it_is_signed_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__what_is_owed_goes_on_with_the_next_authority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__takes_who_is_behind_for_no_liar, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__refuses_an_authority_of_another_grid_or_out_of_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__of_two_rotations_at_once_one_wins_everywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__looks_at_no_signature_of_what_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__is_loaded_as_it_was_packed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__replicas_that_tell_each_other_in_any_order_end_equal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__no_epoch_shuts_the_door_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__packs_as_many_of_the_newest_tombstones_as_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__knows_who_was_given_the_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__tells_of_an_evicted_heir_until_the_authority_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__tells_of_an_evicted_heir_of_a_new_authority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger__begins_anew_where_a_false_issuer_has_used_all_up, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
