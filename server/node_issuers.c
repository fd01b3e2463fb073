/* Who of the members can let others in, as they say of themselves; certificates of the newest authority; keys and password handed on to those who shall have them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/pb.h"
#include "base/err.h"
#include "base/log.h"
#include "grid/v1/trust.pb-c.h"
#include "net/grpc.h"
#include "server/heir.h"
#include "server/node_ask.h"
#include "server/node_certificate.h"
#include "server/node_join.h"
#include "server/node_ledger_internal.h"
#include "server/node_standing.h"
#include "trust/stretch.h"

enum { HAND_BYTES = 4096, SEEN_MAX = 4096, PROVEN_MAX = 64 /* heirs in the ledger: beyond so many nobody adds himself */ };

#define CAPABILITY_TRUST "trust="
#define CAPABILITY_ISSUER "issuer="
#define CAPABILITY_KEYLESS "keyless" /* is not to have the authority's key */

/* ---- what members say of themselves: "trust=ROOT.NEXT.PHASE.CERTIFICATE", "issuer=KEY.PASSWORD" ---- */

void node_issuers_read(const struct member *m, struct member_trust *out)
{
    *out = (struct member_trust){.certificate = -1};
    for (size_t i = 0; i < m->capability_count; i++) {
        const char *text = m->capabilities[i];
        if (sscanf(text, CAPABILITY_TRUST "%" SCNu64 ".%" SCNu64 ".%" SCNu64 ".%" SCNd64, &out->root, &out->next, &out->phase, &out->certificate) == 4)
            out->told = true;
        else if (sscanf(text, CAPABILITY_ISSUER "%" SCNu64 ".%" SCNu64, &out->key, &out->password) == 2)
            out->issuer = true;
        else if (strcmp(text, CAPABILITY_KEYLESS) == 0)
            out->keyless = true;
    }
}

static uint64_t own_key_sequence(const struct node *n)
{
    return n->next && authority_can_issue(n->next) ? ledger_next(n->ledger)->sequence : ledger_root(n->ledger)->sequence;
}

/* The stretched password that this node knows, by which joining is open while the door's epoch is `epoch`; NULL when it knows none. That of --open is everybody's. */
static const uint8_t *known_password(const struct node *n, size_t *size, uint64_t *epoch)
{
    *size = n->standing.has_password ? n->standing.password_size : STRETCH_SIZE;
    *epoch = n->standing.has_password ? n->standing.password_epoch : 0;
    if (n->standing.has_password)
        return n->standing.password;
    return n->join && !n->options->open ? node_join_password(n) : NULL;
}

/* 0 too for one of an epoch that was never: nobody opens by it. */
static uint64_t own_password(const struct node *n)
{
    size_t size;
    uint64_t epoch, now;
    bool open, known = known_password(n, &size, &epoch) != NULL;
    ledger_door(n->ledger, &now, &open);
    return known && epoch <= now ? epoch + 1 : 0;
}

size_t node_ledger_capabilities(struct node *n, const char *out[NODE_LEDGER_CAPABILITIES])
{
    struct node_trust_work *w = node_ledger_work_of(n);
    const struct ledger_authority *next = n->ledger ? ledger_next(n->ledger) : NULL;
    size_t count = 0;
    if (!n->ledger)
        return 0;
    snprintf(w->trust, sizeof w->trust, CAPABILITY_TRUST "%" PRIu64 ".%" PRIu64 ".%d.%" PRId64, ledger_root(n->ledger)->sequence, next ? next->sequence : 0, next ? (int) next->phase : 0,
             node_certificate_sequence(n));
    out[count++] = w->trust;
    if (authority_can_issue(n->authority)) {
        snprintf(w->issuer, sizeof w->issuer, CAPABILITY_ISSUER "%" PRIu64 ".%" PRIu64, own_key_sequence(n), own_password(n));
        out[count++] = w->issuer;
    } else if (n->keyless)
        out[count++] = CAPABILITY_KEYLESS;
    return count;
}

bool node_issuers_lives(const struct member *m)
{
    return m->state == MEMBER_ALIVE || m->state == MEMBER_STALLED;
}

bool node_issuers_is(const struct member *m)
{
    struct member_trust t;
    node_issuers_read(m, &t);
    return t.issuer;
}

/* Some living issuer that has the key wanted, another one each time; not `except` (NULL: anybody). */
const struct member *node_issuers_pick(const struct node *n, uint64_t sequence, const struct member *except)
{
    size_t count = node_member_count(n), start = count > 1 ? (size_t) loop_now_ms(n->loop) / NODE_LEDGER_LOOK_MS % count : 0;
    for (size_t i = 0; i < count; i++) {
        const struct member *m = node_member(n, (start + i) % count);
        struct member_trust t;
        node_issuers_read(m, &t);
        if (!m->local && m != except && node_issuers_lives(m) && t.issuer && t.key >= sequence)
            return m;
    }
    return NULL;
}

const struct member *node_ledger_issuer(const struct node *n, const struct member *except)
{
    return node_issuers_pick(n, 0, except);
}

static int by_number(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *) a, right = *(const uint64_t *) b;
    return left < right ? -1 : left > right;
}

/* One alone may lie. */
uint64_t node_issuers_root_sequence(const struct node *n)
{
    uint64_t said[MEMBERS_MAX], most = 0;
    size_t count = 0, run = 0, longest = 0;
    for (size_t i = 1; i < node_member_count(n) && count < MEMBERS_MAX; i++) {
        struct member_trust t;
        node_issuers_read(node_member(n, i), &t);
        if (t.told && t.root > 0)
            said[count++] = t.root;
    }
    qsort(said, count, sizeof *said, by_number);
    for (size_t i = 0; i < count; i++) {
        run = i > 0 && said[i] == said[i - 1] ? run + 1 : 1;
        if (run >= longest) {
            longest = run;
            most = said[i];
        }
    }
    return most;
}

static bool may_have_key(const struct member *m)
{
    struct member_trust t;
    node_issuers_read(m, &t);
    return !m->local && node_issuers_lives(m) && t.told && !t.keyless;
}

bool node_ledger_key_is_here_alone(const struct node *n)
{
    bool others = false;
    if (!n->ledger || !authority_can_issue(n->authority) || node_issuers_pick(n, own_key_sequence(n), NULL))
        return false;
    for (size_t i = 1; i < node_member_count(n) && !others; i++)
        others = may_have_key(node_member(n, i));
    return others;
}

/* ---- certificates ---- */

void node_ledger_renewed(struct node *n, struct slice certificate_der)
{
    char clause[TRUST_WHY_MAX];
    if (!node_certificate_is_newest(n, certificate_der, clause)) {
        if (token_bucket_take(&node_ledger_work_of(n)->lines, 1, loop_now_ms(n->loop)))
            log_line(LOG_WARN, "a member that says it is an issuer has given this node a certificate that does not hold: the next one is asked", LOGF_STR("why", clause));
        return;
    }
    if (standing_set(&n->standing.certificate, certificate_der) != 0)
        return;
    log_line(LOG_INFO, "this node's certificate was made anew", LOGF_INT("authority_sequence", node_certificate_sequence(n)));
    node_ledger_changed(n);
}

static void on_certificate(struct node *n, void *arg, int status, struct slice answer, const char *message)
{
    struct arena *a = arena_create(4096, 1024 * 1024);
    (void) arg;
    node_ledger_work_of(n)->asking = false;
    const Grid__V1__RenewResponse *got = a && status == GRPC_OK ? pb_unpack(&grid__v1__renew_response__descriptor, a, answer) : NULL;
    if (got)
        node_ledger_renewed(n, slice_of(got->certificate.data, got->certificate.len));
    else
        log_line(LOG_DEBUG, "no new certificate yet", LOGF_STR("why", message));
    arena_destroy(a);
}

static int pack_renewal(const struct node *n, struct buf *out)
{
    Grid__V1__RenewRequest request = GRID__V1__RENEW_REQUEST__INIT;
    ProtobufCBinaryData addresses[NODE_CERTIFICATE_NAMES_MAX];
    const char *names[NODE_CERTIFICATE_NAMES_MAX];
    size_t count = node_certificate_names(n, names);
    struct slice key = key_public_der(n->key);
    request.public_key = (ProtobufCBinaryData){key.size, (uint8_t *) (uintptr_t) key.data};
    request.name = pb_str(n->name);
    request.addresses = addresses;
    for (; request.n_addresses < count; request.n_addresses++)
        addresses[request.n_addresses] = pb_str(names[request.n_addresses]);
    return pb_append(out, &request.base);
}

/* The sequence of the newest authority in use when the own certificate is not of it, else -1. */
static int64_t wanted_sequence(const struct node *n)
{
    const struct ledger_authority *next = ledger_next(n->ledger);
    uint64_t newest = next && next->phase == LEDGER_USE ? next->sequence : ledger_root(n->ledger)->sequence;
    int64_t own = node_certificate_sequence(n);
    return own >= (int64_t) newest ? -1 : (int64_t) newest;
}

void node_issuers_certificate_look(struct node *n)
{
    struct node_trust_work *w = node_ledger_work_of(n);
    int64_t wanted = wanted_sequence(n);
    const struct member *issuer = wanted >= 0 ? node_issuers_pick(n, (uint64_t) wanted, NULL) : NULL;
    struct buf request;
    if (wanted < 0 || w->asking)
        return;
    if (authority_can_issue(node_certificate_issuer(n)) && node_certificate_sign_own(n)) {
        node_ledger_changed(n);
        return;
    }
    if (!issuer)
        return;
    buf_init(&request, 0);
    w->asking = pack_renewal(n, &request) == 0 && node_ask(n, issuer, "Renew", buf_slice(&request), on_certificate, NULL) == 0;
    buf_dispose(&request);
}

/* ---- handing keys and password on ---- */

/* Where a key is kept so that it does not take the place of the other authority's. */
struct buf *node_issuers_key_slot(struct node *n, const struct authority *other)
{
    struct buf *first = &n->standing.keys[0];
    bool taken = other && authority_can_issue(other) && slice_equal(buf_slice(first), key_private_der(authority_key(other)));
    return taken ? &n->standing.keys[1] : first;
}

void node_issuers_take_password(struct node *n, const uint8_t *stretched, size_t size, uint64_t epoch)
{
    n->standing.has_password = true;
    n->standing.password_epoch = epoch;
    n->standing.password_size = size;
    memcpy(n->standing.password, stretched, size);
    if (n->join && size == STRETCH_SIZE)
        node_join_set_password(n, stretched);
}

/* Keeps a key of one of the two authorities, unless it is here. *proven: it is one. */
static bool take_key(struct node *n, struct slice der, bool *proven)
{
    char why[NODE_WHY_MAX];
    struct key *k;
    if (key_parse_der(der, &k) != 0)
        return false;
    const struct authority *of = strcmp(key_id(k), authority_id(n->authority)) == 0 ? n->authority : n->next && strcmp(key_id(k), authority_id(n->next)) == 0 ? n->next : NULL;
    bool news = of && !authority_can_issue(of);
    *proven |= of != NULL;
    news = news && standing_set(node_issuers_key_slot(n, of == n->next ? n->authority : n->next), key_private_der(k)) == 0 && node_standing_load_authorities(n, why) == 0;
    key_destroy(k);
    return news;
}

/* One of a time to come would shut the door for ever: it opens for the ledger's epoch alone. */
static bool is_newer_password(const struct node *n, size_t size, uint64_t epoch)
{
    uint64_t now;
    bool open;
    ledger_door(n->ledger, &now, &open);
    return size > 0 && size <= STANDING_PASSWORD_SIZE && epoch <= now && epoch + 1 > own_password(n);
}

int node_ledger_take(struct node *n, const struct slice *keys, size_t key_count, const uint8_t *password, size_t password_size, uint64_t epoch)
{
    bool proven = false, news = false;
    if (!n->ledger || n->keyless)
        return GRID_EPERM;
    for (size_t i = 0; i < key_count && i < STANDING_KEYS_MAX; i++)
        news |= take_key(n, keys[i], &proven);
    if (!proven)
        return GRID_EPERM;
    if (is_newer_password(n, password_size, epoch)) {
        node_issuers_take_password(n, password, password_size, epoch);
        news = true;
    }
    if (news) {
        log_line(LOG_INFO, "this node is an issuer of the grid now, or has its newest key and password");
        node_ledger_changed(n);
    }
    return 0;
}

static void on_handed(struct node *n, void *arg, int status, struct slice answer, const char *message)
{
    (void) arg, (void) answer;
    node_ledger_work_of(n)->handing = false;
    if (status != GRPC_OK)
        log_line(LOG_DEBUG, "the authority's key could not be handed on", LOGF_STR("why", message));
}

/* Whatever it says of itself from then on, it counts as an issuer when it is evicted. */
static bool note_heir(struct node *n, const char *id)
{
    if (ledger_is_heir(n->ledger, id))
        return true;
    int err = ledger_add_heir(n->ledger, n->authority, id, node_ledger_now_s());
    if (err != 0)
        log_line(LOG_WARN, "the authority's key is handed to nobody more: it could not be noted to whom", LOGF_STR("id", id), LOGF_ERR(err));
    else
        node_ledger_changed(n);
    return err == 0;
}

static void hand_to(struct node *n, const struct member *m)
{
    Grid__V1__HandRequest request = GRID__V1__HAND_REQUEST__INIT;
    ProtobufCBinaryData keys[STANDING_KEYS_MAX];
    struct buf packed;
    request.keys = keys;
    for (size_t i = 0; i < STANDING_KEYS_MAX; i++)
        if (n->standing.keys[i].size > 0)
            keys[request.n_keys++] = (ProtobufCBinaryData){n->standing.keys[i].size, n->standing.keys[i].data};
    size_t size;
    uint64_t epoch;
    const uint8_t *password = known_password(n, &size, &epoch);
    if (password) {
        request.password = pb_bytes(slice_of(password, size));
        request.password_epoch = epoch;
    }
    buf_init(&packed, 0);
    node_ledger_work_of(n)->handing = buf_reserve(&packed, HAND_BYTES) == 0 && pb_append(&packed, &request.base) == 0 && node_ask(n, m, "Hand", buf_slice(&packed), on_handed, NULL) == 0;
    buf_dispose_wiped(&packed);
}

/* Who came when, as this node saw it: a member may say that it has run for ever. */
static void note_seen(struct node *n)
{
    struct node_trust_work *w = node_ledger_work_of(n);
    if (!w->seen && !(w->seen = map_create(NULL)))
        return;
    for (size_t i = 1; i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        struct slice id = slice_of_str(m->id);
        if (m->linked && w->seen_count < SEEN_MAX && !map_get(w->seen, id) && map_set(w->seen, id, (void *) (w->seen_count + 1)) == 0)
            w->seen_count++;
    }
}

/* Of those that have not been noted none was before any other. */
static uintptr_t seen_as(const struct node *n, const struct member *m)
{
    void *number = n->trust_work->seen ? map_get(n->trust_work->seen, slice_of_str(m->id)) : NULL;
    return number ? (uintptr_t) number : UINTPTR_MAX;
}

static bool lacks(const struct node *n, const struct member_trust *t)
{
    return t->key < own_key_sequence(n) || t->password < own_password(n);
}

static const struct member *pick_heir(const struct node *n)
{
    struct heir_choice choice = {0};
    for (size_t i = 1; i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        struct member_trust t;
        node_issuers_read(m, &t);
        if (!node_issuers_lives(m) || !m->linked || !t.told || t.keyless)
            continue;
        const struct heir_candidate candidate = {.says_issuer = t.issuer, .lacks = t.issuer && lacks(n, &t), .proven = ledger_is_heir(n->ledger, m->id),
                                                 .before = strcmp(m->id, node_id(n)) < 0, .seen = seen_as(n, m)};
        heir_consider(&choice, &candidate, m);
    }
    return heir_chosen(&choice);
}

/* Whether another one says that it has what this one has not. */
static bool lacks_something(const struct node *n)
{
    for (size_t i = 1; i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        struct member_trust t;
        node_issuers_read(m, &t);
        if (node_issuers_lives(m) && m->linked && t.issuer && (t.key > own_key_sequence(n) || t.password > own_password(n)))
            return true;
    }
    return false;
}

/* One that has the key from its Gridfile, or founded the grid, was handed it by nobody: so that others see that it holds it, it signs by it that it does. */
static void prove_key(struct node *n)
{
    if (!ledger_is_heir(n->ledger, node_id(n)) && ledger_heir_count(n->ledger) < PROVEN_MAX && lacks_something(n))
        (void) note_heir(n, node_id(n));
}

void node_issuers_heirs_look(struct node *n)
{
    note_seen(n);
    if (node_ledger_work_of(n)->handing || !node_ledger_has_heard(n) || !authority_can_issue(n->authority))
        return;
    prove_key(n);
    const struct member *heir = pick_heir(n);
    if (heir && note_heir(n, heir->id))
        hand_to(n, heir);
}
