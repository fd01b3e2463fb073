/* Member records: this node's own signed with its key, those of others judged by the grid's newest word. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/token_bucket.h"
#include "base/token_buckets.h"
#include "server/node_trust.h"
#include "server/verdict.h"
#include "trust/seal_judge.h"

enum { LINES_PER_S = 1, LINES_BURST = 10, CHECKS_PER_S = 100, CHECKS_BURST = 2 * MEMBERS_MAX /* a whole grid, and once more when its authority is replaced */ };

struct node_records {
    struct seal_judge *judge;
    struct buf certificate; /* that the own record went out with */
    struct token_bucket lines;
    struct token_buckets *checks; /* by who brings them */
};

int node_records_open(struct node *n)
{
    n->records = calloc(1, sizeof *n->records);
    if (!n->records)
        return GRID_ENOMEM;
    buf_init(&n->records->certificate, 0);
    token_bucket_init(&n->records->lines, LINES_PER_S, LINES_BURST, loop_now_ms(n->loop));
    n->records->checks = token_buckets_create(CHECKS_PER_S, CHECKS_BURST, MEMBERS_MAX);
    return n->records->checks ? seal_judge_create(&n->records->judge) : GRID_ENOMEM;
}

void node_records_close(struct node *n)
{
    if (!n->records)
        return;
    seal_judge_destroy(n->records->judge);
    token_buckets_destroy(n->records->checks);
    buf_dispose(&n->records->certificate);
    free(n->records);
    n->records = NULL;
}

/* ---- the own one ---- */

bool node_records_stale(const struct node *n)
{
    return !slice_equal(buf_slice(&n->records->certificate), buf_slice(&n->standing.certificate));
}

int node_records_seal(void *arg, struct slice record, struct buf *sealed)
{
    struct node *n = arg;
    struct member_seal seal = {.record = record, .certificate = buf_slice(&n->standing.certificate)};
    uint8_t signature[MEMBER_SIGNATURE_MAX];
    struct buf bytes;
    buf_init(&bytes, 0);
    int err = member_seal_signed_bytes(record, seal.certificate, &bytes);
    if (err == 0)
        err = key_sign(n->key, buf_slice(&bytes), signature, &seal.signature.size);
    seal.signature.data = signature;
    if (err == 0)
        err = member_seal_pack(&seal, sealed);
    if (err == 0)
        err = standing_set(&n->records->certificate, seal.certificate);
    buf_dispose(&bytes);
    return err;
}

/* ---- others' ---- */

/* A check costs about 150 us of the thread that answers pings: who brings new records without end has so many looked at, and the rest dropped. */
static int judge(const struct node *n, const char *peer, const struct gossip_entry *entry, char why[TRUST_WHY_MAX])
{
    struct buf bytes;
    if (!token_buckets_take(n->records->checks, slice_of_str(peer), loop_now_ms(n->loop))) {
        snprintf(why, TRUST_WHY_MAX, "it is one of more than that member may bring");
        return GRID_ELIMIT;
    }
    buf_init(&bytes, 0);
    int err = member_seal_signed_bytes(entry->seal.record, entry->seal.certificate, &bytes);
    struct seal_statement statement = {.id = entry->member->id,
                                       .certificate = entry->seal.certificate,
                                       .signed_bytes = buf_slice(&bytes),
                                       .signature = entry->seal.signature,
                                       .admitted = strcmp(peer, entry->member->id) == 0};
    if (err == 0)
        err = seal_judge_check(n->records->judge, verdict_verifier(n->verdict), &statement, (int64_t) time(NULL), why);
    buf_dispose(&bytes);
    return err;
}

bool node_records_admit(void *arg, const char *peer, const struct gossip_entry *entry)
{
    struct node *n = arg;
    char why[TRUST_WHY_MAX] = "out of memory";
    int err = n->verdict ? judge(n, peer, entry, why) : GRID_EEXIST;
    if (err != 0 && err != GRID_EEXIST && token_bucket_take(&n->records->lines, 1, loop_now_ms(n->loop)))
        log_line(LOG_WARN, "a member's record was refused", LOGF_STR("member", entry->member->name), LOGF_STR("id", entry->member->id), LOGF_STR("from", peer), LOGF_STR("why", why));
    return err == 0;
}

void node_records_count(const struct node *n, struct node_gossip_metrics *out)
{
    const struct seal_counters *c = seal_judge_counters(n->records->judge);
    out->signatures = c->checked;
    out->certificates = c->chains;
    out->remembered = c->recalled;
    out->refused = c->refused;
}
