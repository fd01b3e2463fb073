/* A rotation: the authority is replaced step by step, each when all have followed or its time is over. */
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "net/grpc.h"
#include "server/node_certificate.h"
#include "server/node_ledger_internal.h"

enum { INSTALL_MAX_S = 60, LATE_S = 60 /* after the end members that were known may still fetch new certificates by their old ones: somebody may have used up the time that was theirs */ };

static bool waits_for(const struct node *n, const struct ledger_authority *next, const struct member *m)
{
    struct member_trust t;
    node_issuers_read(m, &t);
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
        bool counts = node_issuers_lives(m) || (m->state == MEMBER_DEAD && next->phase == LEDGER_USE);
        if (counts && waits_for(n, next, m) && out->missing_count < sizeof out->missing / sizeof *out->missing)
            out->missing[out->missing_count++] = m->name;
    }
    if (next && next->phase == LEDGER_USE && node_certificate_sequence(n) != (int64_t) next->sequence && out->missing_count < 64)
        out->missing[out->missing_count++] = n->name;
}

static void go_on(struct node *n, enum ledger_phase phase, int64_t left_s)
{
    struct authority *next = n->next;
    int err = ledger_announce(n->ledger, n->authority, next, phase, node_ledger_now_s(), node_ledger_now_s() + (phase == LEDGER_REMOVE ? LATE_S : left_s));
    if (err != 0) {
        log_line(LOG_ERROR, "the rotation of the authority cannot go on", LOGF_ERR(err));
        return;
    }
    log_line(LOG_INFO, phase == LEDGER_USE ? "rotation: the new authority is used from now on" : "rotation: the old authority is removed");
    node_ledger_changed(n);
    if (phase == LEDGER_REMOVE)
        node_evict_sign_release_again(n);
}

/* How long this node has known the phase. Another's moments are by another clock, which may be a day off: only how far they lie apart counts. */
static int64_t phase_age_s(struct node *n, const struct ledger_authority *next)
{
    struct node_trust_work *w = node_ledger_work_of(n);
    uint64_t now_ms = loop_now_ms(n->loop);
    if (w->phase != next->phase || strcmp(w->phase_of, next->id) != 0) {
        memcpy(w->phase_of, next->id, sizeof w->phase_of);
        w->phase = next->phase;
        w->phase_since_ms = now_ms;
    }
    return (int64_t) ((now_ms - w->phase_since_ms) / 1000);
}

/* Who has joined or started since a rotation began does not know who was away before that. */
void node_rotate_witness_look(struct node *n)
{
    struct node_trust_work *w = node_ledger_work_of(n);
    const struct ledger_authority *next = ledger_next(n->ledger), *root = ledger_root(n->ledger);
    if (!next && node_ledger_has_heard(n))
        memcpy(w->calm, root->id, sizeof w->calm);
    else if (next && strcmp(w->calm, root->id) == 0)
        memcpy(w->witnessed, next->id, sizeof w->witnessed);
}

/* Whoever holds both keys goes on; that several do so at once changes nothing. Nobody can hold it up for long: who has not shown that he knows the new
 * authority within a minute takes it by the cross-signed certificate, or is left behind. */
void node_rotate_look(struct node *n)
{
    const struct ledger_authority *next = ledger_next(n->ledger);
    struct node_rotation now;
    if (!next || !n->next || !authority_can_issue(n->next) || !authority_can_issue(n->authority))
        return;
    find_missing(n, &now);
    int64_t age_s = phase_age_s(n, next), left_s = next->until_s - next->when_s - age_s;
    bool knows_all = strcmp(node_ledger_work_of(n)->witnessed, next->id) == 0;
    if (next->phase == LEDGER_INSTALL && (now.missing_count == 0 || age_s >= INSTALL_MAX_S || left_s <= 0))
        go_on(n, LEDGER_USE, left_s > 0 ? left_s : 0);
    else if (next->phase == LEDGER_USE && ((knows_all && now.missing_count == 0) || left_s <= 0))
        go_on(n, LEDGER_REMOVE, 0);
}

int node_ledger_rotate(struct node *n, bool begin, uint32_t overlap_s, struct node_rotation *out, char why[NODE_WHY_MAX])
{
    *out = (struct node_rotation){.phase = "done"};
    int status = node_evict_need_issuer(n, why);
    begin = begin && status == GRPC_OK && !ledger_next(n->ledger);
    if (begin)
        status = node_evict_need_disk(n, why);
    if (status != GRPC_OK)
        return status;
    if (begin) {
        int err = node_evict_announce_fresh(n, LEDGER_INSTALL, node_ledger_now_s() + (overlap_s ? overlap_s : NODE_LEDGER_OVERLAP_S), NULL, NULL);
        if (err != 0)
            return node_evict_of_err(err, why);
        memcpy(node_ledger_work_of(n)->calm, ledger_root(n->ledger)->id, TRUST_ID_SIZE);
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
