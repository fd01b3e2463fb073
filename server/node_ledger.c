/* What the grid has decided about trust, on this node. A timer looks twice a second at what is still to be done, by the state alone, so that whatever is lost on the way is
 * done again: get a certificate of the newest authority, hand keys and password to those who shall have them, go on with a rotation. */
#include "server/node_ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/pb.h"
#include "base/err.h"
#include "base/log.h"
#include "base/token_bucket.h"
#include "grid/v1/trust.pb-c.h"
#include "net/grpc.h"
#include "server/node_ask.h"
#include "server/node_join.h"
#include "trust/stretch.h"

enum { LOOK_MS = 500, SOON_MS = 20, LISTEN_MS = 5000, ISSUERS_WANTED = 3, OVERLAP_S = 86400, INSTALL_MAX_S = 60, HAND_BYTES = 4096, SEEN_MAX = 4096, TELL_MS = 2000, FIRST_LOOK_MS = 200,
       LINES_PER_S = 1, LINES_BURST = 10 };

#define CAPABILITY_TRUST "trust="
#define CAPABILITY_ISSUER "issuer="
#define CAPABILITY_KEYLESS "keyless" /* is not to have the authority's key */

struct node_trust_work {
    struct loop_timer timer, cut;
    bool asking;  /* for a certificate */
    bool unkept;  /* the disk has not taken what is in force */
    bool handing;
    char phase_of[TRUST_ID_SIZE]; /* the authority to come whose phase began here then */
    enum ledger_phase phase;
    uint64_t phase_since_ms;
    char calm[TRUST_ID_SIZE];      /* the authority that was seen here, as a member, with none to follow it */
    char witnessed[TRUST_ID_SIZE]; /* the one to follow, whose coming was seen here */
    bool telling; /* an issuer of an eviction */
    uint64_t tell_at_ms;
    struct map *seen; /* ids of members that were linked here, to the number in which they came; NULL before the first */
    uintptr_t seen_count;
    bool heard;   /* node_ledger_has_heard */
    uint64_t listens_until_ms;
    struct token_bucket lines; /* about packs that do not hold, which any member may send without end */
    char trust[96], issuer[64]; /* capabilities */
};

static int64_t now_s(void)
{
    return (int64_t) time(NULL);
}

static struct node_trust_work *work_of(struct node *n)
{
    if (n->trust_work)
        return n->trust_work;
    n->trust_work = calloc(1, sizeof *n->trust_work);
    if (!n->trust_work)
        abort(); /* without it a node could not say which authority it goes by */
    token_bucket_init(&n->trust_work->lines, LINES_PER_S, LINES_BURST, 0);
    return n->trust_work;
}

/* ---- what members say of themselves: "trust=ROOT.NEXT.PHASE.CERTIFICATE", "issuer=KEY.PASSWORD" ---- */

struct member_trust {
    bool told;
    uint64_t root, next, phase;
    int64_t certificate;
    bool issuer, keyless;
    uint64_t key, password; /* greatest sequence whose key it has; epoch of its password plus one, 0: none */
};

static void read_trust(const struct member *m, struct member_trust *out)
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
    struct node_trust_work *w = work_of(n);
    const struct ledger_authority *next = n->ledger ? ledger_next(n->ledger) : NULL;
    size_t count = 0;
    if (!n->ledger)
        return 0;
    snprintf(w->trust, sizeof w->trust, CAPABILITY_TRUST "%" PRIu64 ".%" PRIu64 ".%d.%" PRId64, ledger_root(n->ledger)->sequence, next ? next->sequence : 0, next ? (int) next->phase : 0,
             node_trust_certificate_sequence(n));
    out[count++] = w->trust;
    if (authority_can_issue(n->authority)) {
        snprintf(w->issuer, sizeof w->issuer, CAPABILITY_ISSUER "%" PRIu64 ".%" PRIu64, own_key_sequence(n), own_password(n));
        out[count++] = w->issuer;
    } else if (n->keyless)
        out[count++] = CAPABILITY_KEYLESS;
    return count;
}

static bool is_living(const struct member *m)
{
    return m->state == MEMBER_ALIVE || m->state == MEMBER_STALLED;
}

static bool is_issuer(const struct member *m)
{
    struct member_trust t;
    read_trust(m, &t);
    return t.issuer;
}

/* Some living issuer that has the key wanted, another one each time; not `except` (NULL: anybody). */
static const struct member *pick_issuer(const struct node *n, uint64_t sequence, const struct member *except)
{
    size_t count = node_member_count(n), start = count > 1 ? (size_t) loop_now_ms(n->loop) / LOOK_MS % count : 0;
    for (size_t i = 0; i < count; i++) {
        const struct member *m = node_member(n, (start + i) % count);
        struct member_trust t;
        read_trust(m, &t);
        if (!m->local && m != except && is_living(m) && t.issuer && t.key >= sequence)
            return m;
    }
    return NULL;
}

const struct member *node_ledger_issuer(const struct node *n, const struct member *except)
{
    return pick_issuer(n, 0, except);
}

/* ---- whether anybody has told ---- */

bool node_ledger_has_heard(const struct node *n)
{
    return !n->trust_work || n->trust_work->heard;
}

void node_ledger_listen(struct node *n)
{
    struct node_trust_work *w = work_of(n);
    w->heard = n->standing.provisional || n->options->join_count + n->options->seek_count == 0;
    w->listens_until_ms = loop_now_ms(n->loop) + LISTEN_MS;
}

static void heard(struct node *n)
{
    work_of(n)->heard = true;
    node_gossip_heard(n);
}

/* It goes on alone, as it does when nobody of --join is there. */
static void listen_look(struct node *n)
{
    struct node_trust_work *w = work_of(n);
    if (w->heard || loop_now_ms(n->loop) < w->listens_until_ms)
        return;
    log_line(LOG_WARN, "no node of --join has told this one what the grid has decided: it goes by what it knows");
    heard(n);
}

/* ---- pins: who may go on for a while with certificates of an authority that was replaced at once ---- */

/* All members known now, this one too. */
static void pin_members(struct node *n, struct slice der, int64_t until_s)
{
    struct standing *s = &n->standing;
    int err = until_s > now_s() && der.size > 0 ? standing_pin(s, der, until_s) : GRID_ENOENT;
    for (size_t i = 0; err == 0 && i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        if (m->state != MEMBER_LEFT && m->state != MEMBER_EVICTED)
            err = standing_pin_id(s, m->id);
    }
    if (err == GRID_ENOENT || err == GRID_ENOMEM)
        standing_unpin(s);
}

static void pins_look(struct node *n)
{
    if (n->standing.pins.count == 0 || now_s() < n->standing.pins.until_s)
        return;
    standing_unpin(&n->standing);
    node_ledger_changed(n);
}

/* ---- changes ---- */

static void on_cut(void *arg)
{
    struct node *n = arg;
    if (!n->releases || !n->verdict)
        return;
    if (n->control_server)
        http_server_close_some(n->control_server, verdict_refuses, n->verdict);
    if (n->gossip)
        gossip_cut(n->gossip, verdict_refuses, n->verdict);
    releases_close_some(n->releases, verdict_refuses, n->verdict);
}

/* The control loop's own connections; the workers cut theirs. */
static void cut_connections(struct node *n)
{
    if (n->control_server)
        http_server_close_some(n->control_server, verdict_evicts, n->verdict);
    if (n->gossip)
        gossip_cut(n->gossip, verdict_evicts, n->verdict);
    if (n->releases)
        releases_close_some(n->releases, verdict_evicts, n->verdict);
    loop_timer_start(n->loop, &work_of(n)->cut, WORKER_CUT_MS, on_cut, n);
}

static void note_root(struct node *n, const char *before, struct slice before_der)
{
    const struct ledger_authority *root = ledger_root(n->ledger);
    standing_add_former(&n->standing, before);
    n->standing.provisional = false;
    pin_members(n, before_der, root->until_s > root->when_s ? now_s() + (root->until_s - root->when_s) : 0); /* by this node's clock */
    log_line(LOG_WARN, "the grid's authority has been replaced", LOGF_STR("before", before), LOGF_STR("authority", root->id));
}

/* A restart would go by what was kept before, so it is tried until it is done. */
static void keep(struct node *n)
{
    struct node_trust_work *w = work_of(n);
    char why[NODE_WHY_MAX];
    int err = node_trust_keep(n, why);
    if (err != 0 && !w->unkept)
        log_line(LOG_ERROR, "what the grid has decided is in force here, but not kept on disk: it is tried again until it is", LOGF_STR("why", why));
    else if (err == 0 && w->unkept)
        log_line(LOG_INFO, "what the grid has decided is kept on disk now");
    w->unkept = err != 0;
}

/* Of an epoch that is over: nobody can open by it any more. */
static void forget_dead_password(struct node *n)
{
    struct node_standing now;
    node_trust_standing(n, &now);
    if (now.door_open)
        return;
    standing_forget_password(&n->standing);
    node_join_forget_password(n);
}

void node_ledger_changed(struct node *n)
{
    char why[NODE_WHY_MAX];
    char before[TRUST_ID_SIZE];
    struct buf before_der;
    memcpy(before, authority_id(n->authority), sizeof before);
    buf_init(&before_der, 0);
    buf_append(&before_der, authority_certificate_der(n->authority));
    int err = node_trust_load_authorities(n, why);
    if (err == 0 && strcmp(before, authority_id(n->authority)) != 0)
        note_root(n, before, buf_slice(&before_der));
    buf_dispose(&before_der);
    if (err == 0)
        err = node_trust_remake(n, why);
    if (err != 0) {
        log_line(LOG_ERROR, "what the grid has decided could not be put in force", LOGF_STR("why", why));
        return;
    }
    forget_dead_password(n);
    keep(n);
    node_trust_spread(n);
    if (n->loop && n->workers)
        cut_connections(n);
}

static void note_evictions(const struct node *n, size_t before)
{
    if (ledger_tombstone_count(n->ledger) > before && ledger_is_evicted(n->ledger, node_id(n)))
        log_line(LOG_ERROR, "this node has been evicted from the grid: no member speaks with it any more");
}

static void say_refused(struct node *n, const struct member *from, const struct ledger_news *news, int err)
{
    if ((err == 0 && news->refused == 0) || !token_bucket_take(&work_of(n)->lines, 1, loop_now_ms(n->loop)))
        return;
    if (err != 0)
        log_line(LOG_WARN, "a member's ledger cannot be taken in", LOGF_STR("member", from->name), LOGF_ERR(err));
    else
        log_line(LOG_WARN, "a member's ledger has statements that do not hold: they are refused", LOGF_STR("member", from->name), LOGF_INT("refused", (int64_t) news->refused));
}

void node_ledger_receive(struct node *n, struct slice packed, const struct member *from)
{
    struct ledger_news news;
    if (!n->ledger)
        return;
    if (packed.size == 0) {
        if (!work_of(n)->heard && gossip_is_seed(n->gossip, from->id))
            heard(n);
        return;
    }
    size_t before = ledger_tombstone_count(n->ledger);
    int err = ledger_merge(n->ledger, packed, &news);
    say_refused(n, from, &news, err);
    if (!news.changed)
        return;
    node_ledger_changed(n);
    note_evictions(n, before);
    log_line(LOG_INFO, "trust: the grid has decided", LOGF_STR("from", from->name), LOGF_STR("authority", ledger_root(n->ledger)->id),
             LOGF_INT("evicted", (int64_t) ledger_tombstone_count(n->ledger)));
}

/* ---- releases: what was signed by a key that counts no more is signed again, so that who joins later takes it ---- */

static void on_signed_again(void *ctx, int err, const char *sentence, const struct release_entry *entry)
{
    (void) ctx, (void) entry;
    if (err != 0)
        log_line(LOG_WARN, "the current release could not be signed again: nodes that join get it with the next deploy", LOGF_STR("why", sentence));
}

static void on_nothing(void *ctx, const char *phase, const struct publish_progress *progress)
{
    (void) ctx, (void) phase, (void) progress;
}

static void on_warning(void *ctx, const char *sentence)
{
    (void) ctx, (void) sentence;
}

static const struct release_events SIGNED_AGAIN = {.on_progress = on_nothing, .on_warning = on_warning, .on_done = on_signed_again};

static void sign_release_again(struct node *n)
{
    struct verify_holder holder;
    char why[TRUST_WHY_MAX], root[OBJECT_ID_HEX + 1];
    const struct release_entry *newest = releases_newest(n->releases);
    if (!newest || releases_is_publishing(n->releases) || !releases_is_of_grid(n->releases, newest) || verify_chain(verdict_verifier(n->verdict), &newest->certificate, 1, now_s(), &holder, why) == 0)
        return;
    object_id_to_hex(&newest->root, root);
    if (releases_rollback(n->releases, slice_of_str(root), &SIGNED_AGAIN, n) != 0)
        log_line(LOG_WARN, "the current release could not be signed again: nodes that join get it with the next deploy");
}

/* ---- evictions that the new authority has not signed: an issuer does, and others ask one ---- */

static void on_owed_told(struct node *n, void *arg, int status, struct slice answer, const char *message)
{
    (void) arg, (void) answer;
    work_of(n)->telling = false;
    if (status != GRPC_OK)
        log_line(LOG_DEBUG, "an eviction could not be told to an issuer", LOGF_STR("why", message));
}

static void tell_owed(struct node *n)
{
    struct node_trust_work *w = work_of(n);
    const struct ledger_tombstone *t = ledger_owed_at(n->ledger, 0);
    const struct member *issuer = pick_issuer(n, ledger_root(n->ledger)->sequence, NULL);
    Grid__V1__DecideRequest request = GRID__V1__DECIDE_REQUEST__INIT;
    Grid__V1__EvictRequest evict = GRID__V1__EVICT_REQUEST__INIT;
    struct buf packed;
    w->tell_at_ms = loop_now_ms(n->loop) + TELL_MS;
    if (!issuer)
        return;
    evict.node = pb_str(t->id);
    request.what_case = GRID__V1__DECIDE_REQUEST__WHAT_EVICT;
    request.evict = &evict;
    buf_init(&packed, 0);
    w->telling = pb_append(&packed, &request.base) == 0 && node_ask(n, issuer, "Decide", buf_slice(&packed), on_owed_told, NULL) == 0;
    buf_dispose(&packed);
}

static void owed_look(struct node *n)
{
    struct node_trust_work *w = work_of(n);
    if (ledger_owed_count(n->ledger) == 0) {
        w->tell_at_ms = loop_now_ms(n->loop) + TELL_MS;
        return;
    }
    if (!authority_can_issue(n->authority)) {
        if (!w->telling && loop_now_ms(n->loop) >= w->tell_at_ms)
            tell_owed(n);
        return;
    }
    int err = ledger_pay(n->ledger, n->authority, now_s());
    if (err != 0)
        log_line(LOG_ERROR, "evictions that crossed with a new authority cannot be signed by it: they hold on this node alone", LOGF_ERR(err));
    else
        log_line(LOG_INFO, "evictions that crossed with a new authority are signed by it now");
    if (err == 0) {
        node_ledger_changed(n);
        sign_release_again(n);
    }
}

/* ---- decisions ---- */

static void take_password(struct node *n, const uint8_t *stretched, size_t size, uint64_t epoch)
{
    n->standing.has_password = true;
    n->standing.password_epoch = epoch;
    n->standing.password_size = size;
    memcpy(n->standing.password, stretched, size);
    if (n->join && size == STRETCH_SIZE)
        node_join_set_password(n, stretched);
}

/* Who decides must be able to keep it: an authority's new key is nowhere else at first. */
static int need_disk(struct node *n, char why[NODE_WHY_MAX])
{
    char cause[NODE_WHY_MAX];
    if (node_trust_keep(n, cause) == 0)
        return GRPC_OK;
    snprintf(why, NODE_WHY_MAX, "nothing was decided, since it could not be kept: %.400s", cause);
    return GRPC_FAILED_PRECONDITION;
}

static int need_issuer(const struct node *n, char why[NODE_WHY_MAX])
{
    if (n->authority && authority_can_issue(n->authority))
        return GRPC_OK;
    snprintf(why, NODE_WHY_MAX, "%s", n->authority ? "this node holds no authority's key" : "this node is in no grid: there is nobody to decide for");
    return GRPC_FAILED_PRECONDITION;
}

static int of_ledger_err(int err, char why[NODE_WHY_MAX])
{
    if (err == 0)
        return GRPC_OK;
    snprintf(why, NODE_WHY_MAX, err == GRID_ELIMIT ? "the grid has evicted as many nodes as its ledger holds (%d): no more can be" : "it could not be signed (%d)",
             err == GRID_ELIMIT ? (int) LEDGER_TOMBSTONES_MAX : err);
    return err == GRID_ELIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL;
}

static bool is_id_prefix(struct slice who)
{
    if (who.size < 8 || who.size > TRUST_ID_SIZE - 1)
        return false;
    for (size_t i = 0; i < who.size; i++)
        if (!memchr("0123456789abcdef", who.data[i], 16))
            return false;
    return true;
}

/* Of several that had the name the living ones are meant. */
static bool lives_as(const struct node *n, struct slice name)
{
    for (size_t i = 0; i < node_member_count(n); i++)
        if (slice_equal_str(name, node_member(n, i)->name) && is_living(node_member(n, i)))
            return true;
    return false;
}

/* A member may call itself by the start of another's id, or as another is called. */
const struct member *node_ledger_member(const struct node *n, struct slice who, size_t *matches)
{
    const struct member *found = NULL;
    bool lives = lives_as(n, who);
    *matches = 0;
    for (size_t i = 0; i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        bool named = slice_equal_str(who, m->name) && (!lives || is_living(m));
        if (named || (is_id_prefix(who) && slice_has_prefix(slice_of_str(m->id), who))) {
            found = m;
            ++*matches;
        }
    }
    return found;
}

bool node_ledger_means_self(const struct node *n, struct slice who)
{
    size_t matches;
    return node_ledger_member(n, who, &matches) == node_member(n, 0) && matches == 1;
}

/* Who is to be evicted. */
struct evictee {
    char id[TRUST_ID_SIZE], name[NODE_NAME_MAX + 1];
    bool issuer;
};

/* A whole id will do of one who is not known here (any more). */
static int find_evictee(const struct node *n, struct slice who, struct evictee *out, char why[NODE_WHY_MAX])
{
    size_t matches;
    const struct member *m = node_ledger_member(n, who, &matches);
    bool whole = !m && who.size == TRUST_ID_SIZE - 1 && is_id_prefix(who);
    snprintf(out->id, sizeof out->id, "%.*s", whole ? (int) who.size : 0, (const char *) who.data);
    snprintf(out->name, sizeof out->name, "%.*s", whole ? 8 : 0, (const char *) who.data);
    if (m) {
        memcpy(out->id, m->id, sizeof out->id);
        snprintf(out->name, sizeof out->name, "%s", m->name);
    }
    out->issuer = (m && is_issuer(m)) || ledger_is_heir(n->ledger, out->id); /* its own word alone would not do */
    if (node_ledger_means_self(n, who)) {
        snprintf(why, NODE_WHY_MAX, NODE_EVICTS_ITSELF);
        return GRPC_INVALID_ARGUMENT;
    }
    if (matches == 1 || whole)
        return GRPC_OK;
    snprintf(why, NODE_WHY_MAX, matches == 0 ? "no member is called \"%.*s\": see \"grid list --all\", or give the whole id" : "several members are meant by \"%.*s\": give the whole id",
             (int) (who.size < 80 ? who.size : 80), (const char *) who.data);
    return matches == 0 ? GRPC_NOT_FOUND : GRPC_INVALID_ARGUMENT;
}

/* Where a key is kept so that it does not take the place of the other authority's. */
static struct buf *key_slot(struct node *n, const struct authority *other)
{
    struct buf *first = &n->standing.keys[0];
    bool taken = other && authority_can_issue(other) && slice_equal(buf_slice(first), key_private_der(authority_key(other)));
    return taken ? &n->standing.keys[1] : first;
}

/* Announces a fresh authority in a phase, and evicts somebody by it (NULL: nobody): what the one before holds may be full of false evictions. */
static int announce_fresh(struct node *n, enum ledger_phase phase, int64_t until_s, const char *evicted, const char *name)
{
    struct authority *fresh;
    int err = authority_mint(n->grid, now_s(), &fresh);
    if (err != 0)
        return err;
    err = standing_set(key_slot(n, n->authority), key_private_der(authority_key(fresh)));
    if (err == 0)
        err = ledger_announce(n->ledger, n->authority, fresh, phase, now_s(), until_s);
    if (err == 0 && evicted)
        err = ledger_evict(n->ledger, fresh, evicted, name, now_s());
    authority_destroy(fresh);
    return err;
}

int node_ledger_evict(struct node *n, struct slice who, bool replace, char why[NODE_WHY_MAX])
{
    struct evictee e;
    int status = need_issuer(n, why);
    if (status == GRPC_OK)
        status = find_evictee(n, who, &e, why);
    if (status == GRPC_OK && !replace && ledger_is_evicted(n->ledger, e.id) && ledger_owed_count(n->ledger) == 0) {
        snprintf(why, NODE_WHY_MAX, "%s is evicted", e.name);
        return GRPC_OK;
    }
    if (status == GRPC_OK)
        status = need_disk(n, why);
    if (status != GRPC_OK)
        return status;
    int err = e.issuer || replace ? announce_fresh(n, LEDGER_REMOVE, now_s() + OVERLAP_S, e.id, e.name) : ledger_evict(n->ledger, n->authority, e.id, e.name, now_s());
    if (err != 0)
        return of_ledger_err(err, why);
    log_line(LOG_WARN, "a node is evicted", LOGF_STR("member", e.name), LOGF_STR("id", e.id));
    node_ledger_changed(n);
    sign_release_again(n);
    snprintf(why, NODE_WHY_MAX, "%s is evicted; joining by password is closed until \"grid password\" sets a new one%s", e.name,
             e.issuer        ? "; it was an issuer, so the authority is replaced: Gridfiles and client certificates of before are worth nothing now"
             : replace ? "; the authority is replaced: Gridfiles and client certificates of before are worth nothing now"
                       : "");
    return GRPC_OK;
}

int node_ledger_set_password(struct node *n, const uint8_t *stretched, size_t size, char why[NODE_WHY_MAX])
{
    struct node_standing now;
    int status = need_issuer(n, why);
    if (status == GRPC_OK)
        status = need_disk(n, why);
    if (status != GRPC_OK)
        return status;
    int err = size > STANDING_PASSWORD_SIZE ? GRID_EINVAL : ledger_set_door(n->ledger, n->authority, true, now_s());
    if (err == GRID_ELIMIT)
        snprintf(why, NODE_WHY_MAX, "somebody with the authority's key has set passwords as often as can be counted: evict him, or run \"grid rotate\", then set a new one");
    if (err != 0)
        return err == GRID_ELIMIT ? GRPC_FAILED_PRECONDITION : of_ledger_err(err, why);
    node_trust_standing(n, &now);
    take_password(n, stretched, size, now.door_epoch);
    node_ledger_changed(n);
    snprintf(why, NODE_WHY_MAX, "joining is open for the new password alone");
    return GRPC_OK;
}

/* ---- rotation ---- */

static bool waits_for(const struct node *n, const struct ledger_authority *next, const struct member *m)
{
    struct member_trust t;
    read_trust(m, &t);
    if (t.root >= next->sequence)
        return t.certificate < (int64_t) next->sequence;
    bool has_it = t.told && t.next == next->sequence && t.phase >= (uint64_t) next->phase;
    (void) n;
    return !has_it || (next->phase == LEDGER_USE && t.certificate != (int64_t) next->sequence);
}

/* In phase install the living count; in phase use everybody who may come back. */
static void find_missing(const struct node *n, struct node_rotation *out)
{
    const struct ledger_authority *next = ledger_next(n->ledger);
    out->missing_count = 0;
    for (size_t i = 1; next && i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        bool counts = is_living(m) || (m->state == MEMBER_DEAD && next->phase == LEDGER_USE);
        if (counts && waits_for(n, next, m) && out->missing_count < sizeof out->missing / sizeof *out->missing)
            out->missing[out->missing_count++] = m->name;
    }
    if (next && next->phase == LEDGER_USE && node_trust_certificate_sequence(n) != (int64_t) next->sequence && out->missing_count < 64)
        out->missing[out->missing_count++] = n->name;
}

static void go_on(struct node *n, enum ledger_phase phase, int64_t left_s)
{
    struct authority *next = n->next;
    int err = ledger_announce(n->ledger, n->authority, next, phase, now_s(), phase == LEDGER_REMOVE ? 0 : now_s() + left_s);
    if (err != 0) {
        log_line(LOG_ERROR, "the rotation of the authority cannot go on", LOGF_ERR(err));
        return;
    }
    log_line(LOG_INFO, phase == LEDGER_USE ? "rotation: the new authority is used from now on" : "rotation: the old authority is removed");
    node_ledger_changed(n);
    if (phase == LEDGER_REMOVE)
        sign_release_again(n);
}

/* How long this node has known the phase. Another's moments are by another clock, which may be a day off: only how far they lie apart counts. */
static int64_t phase_age_s(struct node *n, const struct ledger_authority *next)
{
    struct node_trust_work *w = work_of(n);
    uint64_t now_ms = loop_now_ms(n->loop);
    if (w->phase != next->phase || strcmp(w->phase_of, next->id) != 0) {
        memcpy(w->phase_of, next->id, sizeof w->phase_of);
        w->phase = next->phase;
        w->phase_since_ms = now_ms;
    }
    return (int64_t) ((now_ms - w->phase_since_ms) / 1000);
}

/* Who has joined or started since a rotation began does not know who was away before that. */
static void witness_look(struct node *n)
{
    struct node_trust_work *w = work_of(n);
    const struct ledger_authority *next = ledger_next(n->ledger), *root = ledger_root(n->ledger);
    if (!next && node_ledger_has_heard(n))
        memcpy(w->calm, root->id, sizeof w->calm);
    else if (next && strcmp(w->calm, root->id) == 0)
        memcpy(w->witnessed, next->id, sizeof w->witnessed);
}

/* Whoever holds both keys goes on; that several do so at once changes nothing. Nobody can hold it up for long: who has not shown that he knows the new
 * authority within a minute takes it by the cross-signed certificate, or is left behind. */
static void rotation_look(struct node *n)
{
    const struct ledger_authority *next = ledger_next(n->ledger);
    struct node_rotation now;
    if (!next || !n->next || !authority_can_issue(n->next) || !authority_can_issue(n->authority))
        return;
    find_missing(n, &now);
    int64_t age_s = phase_age_s(n, next), left_s = next->until_s - next->when_s - age_s;
    bool knows_all = strcmp(work_of(n)->witnessed, next->id) == 0;
    if (next->phase == LEDGER_INSTALL && (now.missing_count == 0 || age_s >= INSTALL_MAX_S || left_s <= 0))
        go_on(n, LEDGER_USE, left_s > 0 ? left_s : 0);
    else if (next->phase == LEDGER_USE && ((knows_all && now.missing_count == 0) || left_s <= 0))
        go_on(n, LEDGER_REMOVE, 0);
}

int node_ledger_rotate(struct node *n, bool begin, uint32_t overlap_s, struct node_rotation *out, char why[NODE_WHY_MAX])
{
    *out = (struct node_rotation){.phase = "done"};
    int status = need_issuer(n, why);
    begin = begin && status == GRPC_OK && !ledger_next(n->ledger);
    if (begin)
        status = need_disk(n, why);
    if (status != GRPC_OK)
        return status;
    if (begin) {
        int err = announce_fresh(n, LEDGER_INSTALL, now_s() + (overlap_s ? overlap_s : OVERLAP_S), NULL, NULL);
        if (err != 0)
            return of_ledger_err(err, why);
        memcpy(work_of(n)->calm, ledger_root(n->ledger)->id, TRUST_ID_SIZE);
        log_line(LOG_INFO, "rotation: a new authority is announced to every member");
        node_ledger_changed(n);
    }
    const struct ledger_authority *next = ledger_next(n->ledger);
    if (next)
        out->phase = next->phase == LEDGER_INSTALL ? "install" : "use";
    memcpy(out->authority, next ? next->id : ledger_root(n->ledger)->id, sizeof out->authority);
    find_missing(n, out);
    return GRPC_OK;
}

/* ---- certificates ---- */

void node_ledger_renewed(struct node *n, struct slice certificate_der)
{
    char id[TRUST_ID_SIZE];
    if (certificate_id(certificate_der, id) != 0 || strcmp(id, node_id(n)) != 0 || standing_set(&n->standing.certificate, certificate_der) != 0)
        return;
    log_line(LOG_INFO, "this node's certificate was made anew", LOGF_INT("authority_sequence", node_trust_certificate_sequence(n)));
    node_ledger_changed(n);
}

static void on_certificate(struct node *n, void *arg, int status, struct slice answer, const char *message)
{
    struct arena *a = arena_create(4096, 1024 * 1024);
    (void) arg;
    work_of(n)->asking = false;
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
    int64_t own = node_trust_certificate_sequence(n);
    return own >= (int64_t) newest ? -1 : (int64_t) newest;
}

static void certificate_look(struct node *n)
{
    struct node_trust_work *w = work_of(n);
    int64_t wanted = wanted_sequence(n);
    const struct member *issuer = wanted >= 0 ? pick_issuer(n, (uint64_t) wanted, NULL) : NULL;
    struct buf request;
    if (wanted < 0 || w->asking)
        return;
    if (authority_can_issue(node_trust_issuer(n)) && node_trust_sign_own(n)) {
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
    news = news && standing_set(key_slot(n, of == n->next ? n->authority : n->next), key_private_der(k)) == 0 && node_trust_load_authorities(n, why) == 0;
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
        take_password(n, password, password_size, epoch);
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
    work_of(n)->handing = false;
    if (status != GRPC_OK)
        log_line(LOG_DEBUG, "the authority's key could not be handed on", LOGF_STR("why", message));
}

/* Whatever it says of itself from then on, it counts as an issuer when it is evicted. */
static bool note_heir(struct node *n, const char *id)
{
    if (ledger_is_heir(n->ledger, id))
        return true;
    int err = ledger_add_heir(n->ledger, n->authority, id, now_s());
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
    work_of(n)->handing = buf_reserve(&packed, HAND_BYTES) == 0 && pb_append(&packed, &request.base) == 0 && node_ask(n, m, "Hand", buf_slice(&packed), on_handed, NULL) == 0;
    buf_dispose_wiped(&packed);
}

/* Who came when, as this node saw it: a member may say that it has run for ever. */
static void note_seen(struct node *n)
{
    struct node_trust_work *w = work_of(n);
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

/* An issuer that lacks something, else, while there are too few, the member that was linked first: of several issuers the one with the smallest id looks for him, so that not
 * two find one each. */
static const struct member *pick_heir(const struct node *n)
{
    const struct member *oldest = NULL;
    size_t issuers = 1;
    bool first = true;
    for (size_t i = 1; i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        struct member_trust t;
        read_trust(m, &t);
        if (!is_living(m) || !m->linked || !t.told || t.keyless)
            continue;
        if (t.issuer && (t.key < own_key_sequence(n) || t.password < own_password(n)))
            return m;
        issuers += t.issuer;
        first &= !t.issuer || strcmp(node_id(n), m->id) < 0;
        if (!t.issuer && (!oldest || seen_as(n, m) < seen_as(n, oldest)))
            oldest = m;
    }
    return first && issuers < ISSUERS_WANTED ? oldest : NULL;
}

static void heirs_look(struct node *n)
{
    note_seen(n);
    if (work_of(n)->handing || !node_ledger_has_heard(n) || !authority_can_issue(n->authority))
        return;
    const struct member *heir = pick_heir(n);
    if (heir && note_heir(n, heir->id))
        hand_to(n, heir);
}

/* ---- the timer ---- */

static void look(void *arg)
{
    struct node *n = arg;
    if (n->stopping)
        return;
    loop_timer_start(n->loop, &work_of(n)->timer, LOOK_MS, look, n);
    if (!n->ledger || !n->releases)
        return;
    if (work_of(n)->unkept)
        keep(n);
    listen_look(n);
    pins_look(n);
    owed_look(n);
    witness_look(n);
    rotation_look(n);
    certificate_look(n);
    heirs_look(n);
}

void node_ledger_look_soon(struct node *n)
{
    if (n->trust_work && loop_timer_running(&n->trust_work->timer))
        loop_timer_start(n->loop, &n->trust_work->timer, SOON_MS, look, n);
}

void node_ledger_start(struct node *n)
{
    node_ledger_listen(n);
    if (n->ledger)
        node_trust_spread(n);
    loop_timer_start(n->loop, &work_of(n)->timer, FIRST_LOOK_MS, look, n);
}

void node_ledger_stop(struct node *n)
{
    if (!n->trust_work)
        return;
    loop_timer_stop(&n->trust_work->timer);
    loop_timer_stop(&n->trust_work->cut);
}

void node_ledger_free(struct node *n)
{
    if (!n->trust_work)
        return;
    map_destroy(n->trust_work->seen);
    free(n->trust_work);
    n->trust_work = NULL;
}
