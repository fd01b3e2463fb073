/* The state machine: one function for each message that may come next. */
#include "trust/join.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "trust/authority.h"
#include "trust/cpace.h"
#include "trust/verify.h"

#define REQUEST_CONTEXT "grid-join/1 request"
enum { INPUT_MAX = 2 * (JOIN_PREFIX_SIZE + JOIN_MESSAGE_MAX), CHANNEL_MAX = 2048 };

/* What is waited for in JOIN_STEP_RECEIVE. */
enum awaited { AWAIT_SHARE, AWAIT_CONFIRM, AWAIT_STANDING, AWAIT_REQUEST, AWAIT_GRANT };

/* One direction's MAC key and the number of its next message. */
struct seal {
    uint8_t key[crypto_auth_hmacsha512_BYTES];
    uint32_t number;
};

struct join {
    bool joiner;
    enum join_step step;
    enum awaited awaited;
    bool confirmed; /* our tag has gone out */
    bool share_sent;
    bool proven;
    char grid[TRUST_NAME_MAX + 1];
    uint8_t password[STRETCH_SIZE];
    uint8_t exporter[JOIN_EXPORTER_SIZE];
    struct buf channel; /* CPace's CI */
    const struct key *key;
    char name[TRUST_NAME_MAX + 1];
    char addresses[TRUST_ADDRESSES_MAX][JOIN_ADDRESS_MAX + 1];
    size_t address_count;
    int64_t now_s;
    struct cpace cpace;
    struct cpace_result result;
    struct seal sending, receiving;
    struct buf in, out;
    struct buf kept; /* the message that the views below borrow from */
    struct join_standing own, peer;
    struct join_request request;
    struct join_grant grant;
    struct join_refusal refusal;
    bool refused_by_peer;
    char why[TRUST_WHY_MAX];
};

enum join_verdict join_who_yields(const struct join_standing *own, const struct join_standing *peer)
{
    int order = strcmp(own->authority_id, peer->authority_id);
    if (order == 0)
        return JOIN_SAME_GRID;
    if (own->hardened && peer->hardened)
        return JOIN_NOBODY_YIELDS;
    if (own->hardened != peer->hardened)
        return own->hardened ? JOIN_THEY_YIELD : JOIN_WE_YIELD;
    if (own->shared != peer->shared)
        return own->shared ? JOIN_THEY_YIELD : JOIN_WE_YIELD;
    return order > 0 ? JOIN_WE_YIELD : JOIN_THEY_YIELD;
}

static enum join_step broken(struct join *j, const char *why)
{
    snprintf(j->why, sizeof j->why, "%s", why);
    buf_clear(&j->out);
    return j->step = JOIN_STEP_BROKEN;
}

/* ---- sending ---- */

static void seal_mac(struct seal *s, struct slice message, uint8_t mac[crypto_auth_hmacsha512_BYTES])
{
    crypto_auth_hmacsha512_state state;
    uint8_t number[4] = {(uint8_t) (s->number >> 24), (uint8_t) (s->number >> 16), (uint8_t) (s->number >> 8), (uint8_t) s->number};
    s->number++;
    crypto_auth_hmacsha512_init(&state, s->key, sizeof s->key);
    crypto_auth_hmacsha512_update(&state, number, sizeof number);
    crypto_auth_hmacsha512_update(&state, message.data, message.size);
    crypto_auth_hmacsha512_final(&state, mac);
}

/* Appends length, message, and the MAC once the keys are there on both sides. */
static int send_message(struct join *j, const struct join_message *m)
{
    uint8_t mac[crypto_auth_hmacsha512_BYTES];
    size_t start = j->out.size;
    int err = buf_append_u16be(&j->out, 0);
    if (err == 0)
        err = join_message_encode(m, &j->out);
    if (err == 0 && j->proven && m->type != JOIN_CONFIRM) {
        seal_mac(&j->sending, slice_from(buf_slice(&j->out), start + JOIN_PREFIX_SIZE), mac);
        err = buf_append(&j->out, slice_of(mac, JOIN_MAC_SIZE));
    }
    if (err != 0) {
        broken(j, "its answer could not be put together");
        return err;
    }
    size_t size = j->out.size - start - JOIN_PREFIX_SIZE;
    j->out.data[start] = (uint8_t) (size >> 8);
    j->out.data[start + 1] = (uint8_t) size;
    return 0;
}

/* ---- CPace ---- */

static struct cpace_inputs inputs_of(const struct join *j)
{
    return (struct cpace_inputs){.password = slice_of(j->password, sizeof j->password),
                                 .channel = buf_slice(&j->channel),
                                 .session = slice_of(j->exporter, sizeof j->exporter),
                                 .initiator = SLICE("joiner"),
                                 .responder = SLICE("member")};
}

static int send_share(struct join *j)
{
    struct join_message m = {.type = JOIN_SHARE, .u.share = slice_of(j->cpace.share, CPACE_SHARE_SIZE)};
    j->share_sent = true;
    return send_message(j, &m);
}

static int send_confirm(struct join *j)
{
    struct join_message m = {.type = JOIN_CONFIRM, .u.tag = slice_of(j->result.own_tag, CPACE_TAG_SIZE)};
    j->confirmed = true;
    return send_message(j, &m);
}

static void derive_seal(const struct join *j, const char *label, struct seal *out)
{
    crypto_auth_hmacsha512_state state;
    crypto_auth_hmacsha512_init(&state, j->result.key, sizeof j->result.key);
    crypto_auth_hmacsha512_update(&state, (const uint8_t *) label, strlen(label));
    crypto_auth_hmacsha512_final(&state, out->key);
    sodium_memzero(&state, sizeof state);
}

static void derive_seals(struct join *j)
{
    derive_seal(j, "grid-join/1 from joiner", j->joiner ? &j->sending : &j->receiving);
    derive_seal(j, "grid-join/1 from member", j->joiner ? &j->receiving : &j->sending);
}

static enum join_step on_share(struct join *j, const struct join_message *m)
{
    struct cpace_inputs inputs = inputs_of(j);
    if (cpace_finish(&j->cpace, &inputs, m->u.share.data, &j->result) != 0)
        return broken(j, "its share is no element that an honest side sends");
    derive_seals(j);
    if (j->joiner ? send_confirm(j) != 0 : send_share(j) != 0)
        return j->step;
    j->awaited = AWAIT_CONFIRM;
    return j->step;
}

static enum join_step mismatch(struct join *j)
{
    if (j->joiner)
        return broken(j, "the password or the grid's name differs");
    return join_refuse(j, JOIN_MISMATCH, NULL, 0);
}

static enum join_step on_confirm(struct join *j, const struct join_message *m)
{
    if (!cpace_tag_matches(&j->result, m->u.tag))
        return mismatch(j);
    j->proven = true;
    if (j->joiner) {
        j->awaited = AWAIT_STANDING;
        return j->step;
    }
    if (send_confirm(j) != 0)
        return j->step;
    return j->step = JOIN_STEP_STAND;
}

/* ---- standing ---- */

/* The request is signed together with this connection's exporter: it is of no use on another one. */
static int append_signed_text(const struct join *j, const struct join_request *r, struct buf *text)
{
    int err = buf_append_str(text, REQUEST_CONTEXT);
    if (err == 0)
        err = buf_append(text, slice_of(j->exporter, sizeof j->exporter));
    return err == 0 ? join_request_encode_unsigned(r, text) : err;
}

static int send_request(struct join *j)
{
    uint8_t signature[TRUST_SIGNATURE_MAX];
    size_t size = 0;
    struct buf text;
    struct join_message m = {.type = JOIN_REQUEST,
                             .u.request = {.public_der = key_public_der(j->key), .name = slice_of_str(j->name)}};
    for (size_t i = 0; i < j->address_count; i++)
        m.u.request.addresses[m.u.request.address_count++] = slice_of_str(j->addresses[i]);
    buf_init(&text, JOIN_MESSAGE_MAX);
    int err = append_signed_text(j, &m.u.request, &text);
    if (err == 0)
        err = key_sign(j->key, buf_slice(&text), signature, &size);
    m.u.request.signature = slice_of(signature, size);
    buf_dispose(&text);
    if (err == 0)
        return send_message(j, &m);
    broken(j, "this node's request could not be signed");
    return err;
}

/* Both standings are known. */
static enum join_step judge(struct join *j)
{
    switch (join_who_yields(&j->own, &j->peer)) {
    case JOIN_SAME_GRID:
        return j->step = JOIN_STEP_SETTLED;
    case JOIN_NOBODY_YIELDS:
        j->refusal = (struct join_refusal){.reason = JOIN_OTHER_GRID};
        return j->step = JOIN_STEP_REFUSED;
    case JOIN_WE_YIELD:
        j->awaited = AWAIT_GRANT;
        if (send_request(j) == 0)
            j->step = JOIN_STEP_RECEIVE;
        return j->step;
    case JOIN_THEY_YIELD:
        break;
    }
    j->awaited = AWAIT_REQUEST;
    return j->step = JOIN_STEP_RECEIVE;
}

static enum join_step on_standing(struct join *j, const struct join_message *m)
{
    j->peer = m->u.standing;
    if (j->joiner)
        return j->step = JOIN_STEP_STAND;
    return judge(j);
}

enum join_step join_stand(struct join *j, const struct join_standing *own)
{
    struct join_message m = {.type = JOIN_STANDING, .u.standing = *own};
    if (j->step != JOIN_STEP_STAND)
        return j->step;
    j->own = *own;
    if (send_message(j, &m) != 0)
        return j->step;
    if (j->joiner)
        return judge(j);
    j->awaited = AWAIT_STANDING;
    return j->step = JOIN_STEP_RECEIVE;
}

/* ---- request and grant ---- */

static enum join_step on_request(struct join *j, const struct join_message *m)
{
    struct buf text;
    buf_init(&text, JOIN_MESSAGE_MAX);
    j->request = m->u.request;
    int err = append_signed_text(j, &j->request, &text);
    if (err == 0)
        err = key_verify(j->request.public_der, buf_slice(&text), j->request.signature);
    buf_dispose(&text);
    if (err != 0)
        return broken(j, "its request is not signed by the key that it names");
    return j->step = JOIN_STEP_ISSUE;
}

/* The authority must be the one that was spoken of, and this grid's. */
static const char *judge_authority(const struct join *j, struct slice der)
{
    struct authority *authority = NULL;
    char clause[TRUST_WHY_MAX];
    const char *why = NULL;
    struct buf pem;
    buf_init(&pem, 4 * TRUST_CERTIFICATE_MAX);
    if (certificate_append_pem(der, &pem) != 0 || authority_load(buf_slice(&pem), slice_of(NULL, 0), &authority, clause) != 0)
        why = "the authority that it gave is none";
    else if (strcmp(authority_id(authority), j->peer.authority_id) != 0)
        why = "the authority that it gave is not the one that it spoke of";
    else if (strcmp(authority_grid_name(authority), j->grid) != 0)
        why = "the authority that it gave is another grid's";
    authority_destroy(authority);
    buf_dispose(&pem);
    return why;
}

/* NULL, or what is wrong with it, in `text` perhaps. */
static const char *judge_certificate(const struct join *j, const struct join_grant *g, char text[2 * TRUST_WHY_MAX])
{
    struct verify_holder holder;
    char clause[TRUST_WHY_MAX];
    struct verifier *v;
    if (verifier_create(&g->authority_der, 1, NULL, 0, &v) != 0)
        return "the authority that it gave cannot be used";
    int err = verify_chain(v, &g->certificate_der, 1, j->now_s, &holder, clause);
    verifier_destroy(v);
    if (err != 0) {
        snprintf(text, 2 * TRUST_WHY_MAX, "the certificate that it gave is not sound: %s", clause);
        return text;
    }
    if (strcmp(holder.id, key_id(j->key)) != 0)
        return "the certificate that it gave is not for this node's key";
    return holder.roles & TRUST_ROLE_NODE ? NULL : "the certificate that it gave is not a node's";
}

static enum join_step on_grant(struct join *j, const struct join_message *m)
{
    char text[2 * TRUST_WHY_MAX];
    const char *why = judge_authority(j, m->u.grant.authority_der);
    if (!why)
        why = judge_certificate(j, &m->u.grant, text);
    if (why)
        return broken(j, why);
    j->grant = m->u.grant;
    return j->step = JOIN_STEP_GRANTED;
}

enum join_step join_give(struct join *j, const struct join_grant *grant)
{
    struct join_message m = {.type = JOIN_GRANT, .u.grant = *grant};
    if (j->step != JOIN_STEP_ISSUE)
        return j->step;
    if (grant->certificate_der.size + grant->authority_der.size + grant->ledger.size > JOIN_GRANT_ROOM)
        m.u.grant.ledger = slice_of(NULL, 0);
    if (send_message(j, &m) == 0)
        j->step = JOIN_STEP_SETTLED;
    return j->step;
}

/* ---- refusals ---- */

static bool is_over(const struct join *j)
{
    return j->step >= JOIN_STEP_GRANTED;
}

static bool is_sound_address(struct slice s)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] <= 0x20 || s.data[i] >= 0x7f)
            return false;
    return s.size > 0 && s.size <= JOIN_ADDRESS_MAX;
}

enum join_step join_refuse(struct join *j, enum join_reason reason, const char *const *addresses, size_t address_count)
{
    struct join_message m = {.type = JOIN_REFUSAL, .u.refusal.reason = reason};
    struct join_refusal *r = &m.u.refusal;
    if (is_over(j))
        return j->step;
    for (size_t i = 0; i < address_count && r->address_count < JOIN_ADDRESSES_MAX; i++)
        if (is_sound_address(slice_of_str(addresses[i])))
            r->addresses[r->address_count++] = slice_of_str(addresses[i]);
    if (send_message(j, &m) != 0)
        return j->step;
    j->refusal = (struct join_refusal){.reason = reason};
    return j->step = JOIN_STEP_REFUSED;
}

static enum join_step on_refusal(struct join *j, const struct join_message *m)
{
    j->refusal = m->u.refusal;
    j->refused_by_peer = true;
    return j->step = JOIN_STEP_REFUSED;
}

/* ---- receiving ---- */

static enum join_step dispatch(struct join *j, const struct join_message *m)
{
    static const struct {
        enum join_type type;
        enum join_step (*take)(struct join *, const struct join_message *);
    } EXPECTED[] = {
        [AWAIT_SHARE] = {JOIN_SHARE, on_share},          [AWAIT_CONFIRM] = {JOIN_CONFIRM, on_confirm},
        [AWAIT_STANDING] = {JOIN_STANDING, on_standing}, [AWAIT_REQUEST] = {JOIN_REQUEST, on_request},
        [AWAIT_GRANT] = {JOIN_GRANT, on_grant},
    };
    if (m->type == JOIN_REFUSAL && (j->joiner || j->proven))
        return on_refusal(j, m);
    if (m->type != EXPECTED[j->awaited].type)
        return broken(j, "it sent a message out of turn");
    return EXPECTED[j->awaited].take(j, m);
}

/* The views of a message must live on, and more bytes may follow: it is moved to a place of its own. */
static int keep_message(struct join *j, size_t size)
{
    buf_clear(&j->kept);
    int err = buf_append(&j->kept, slice_first(buf_slice(&j->in), size));
    if (err == 0)
        buf_consume(&j->in, size);
    return err;
}

/* One message, if there is a whole one. False when there is none. */
static bool receive_one(struct join *j)
{
    uint8_t mac[crypto_auth_hmacsha512_BYTES];
    struct join_message m;
    size_t size;
    int err = join_message_decode(buf_slice(&j->in), j->proven, &m, &size);
    if (err == GRID_EAGAIN)
        return false;
    if (err == 0 && (err = keep_message(j, size)) == 0)
        err = join_message_decode(buf_slice(&j->kept), j->proven, &m, &size);
    if (err != 0) {
        broken(j, "it sent what is no message of joining");
        return false;
    }
    if (j->proven) {
        seal_mac(&j->receiving, m.signed_part, mac);
        if (sodium_memcmp(mac, m.mac.data, JOIN_MAC_SIZE) != 0) {
            broken(j, "a message was changed on its way");
            return false;
        }
    }
    dispatch(j, &m);
    return true;
}

enum join_step join_receive(struct join *j, struct slice bytes)
{
    if (is_over(j))
        return j->step;
    if (buf_append(&j->in, bytes) != 0)
        return broken(j, "it sent more than it was asked for");
    while (j->step == JOIN_STEP_RECEIVE && receive_one(j))
        ;
    return j->step;
}

/* ---- life ---- */

static int append_sized(struct buf *b, struct slice s)
{
    int err = buf_append_u16be(b, (uint16_t) s.size);
    return err == 0 ? buf_append(b, s) : err;
}

/* What both sides must see alike: the protocol, the grid, the joiner's key and the member's. */
static int make_channel(struct join *j, const struct join_config *config)
{
    struct slice joiner = config->joiner ? config->own_public_der : config->peer_public_der;
    struct slice member = config->joiner ? config->peer_public_der : config->own_public_der;
    int err = append_sized(&j->channel, SLICE("grid-join/1"));
    if (err == 0)
        err = append_sized(&j->channel, slice_of_str(config->grid));
    if (err == 0)
        err = append_sized(&j->channel, joiner);
    return err == 0 ? append_sized(&j->channel, member) : err;
}

static int copy_config(struct join *j, const struct join_config *config)
{
    if (!trust_name_valid(slice_of_str(config->grid)) || !trust_name_valid(slice_of_str(config->name)) ||
        config->address_count > TRUST_ADDRESSES_MAX || config->own_public_der.size > JOIN_PUBLIC_KEY_MAX ||
        config->peer_public_der.size > JOIN_PUBLIC_KEY_MAX)
        return GRID_EINVAL;
    j->joiner = config->joiner;
    j->key = config->key;
    j->now_s = config->now_s;
    snprintf(j->grid, sizeof j->grid, "%s", config->grid);
    snprintf(j->name, sizeof j->name, "%s", config->name);
    memcpy(j->password, config->password, sizeof j->password);
    memcpy(j->exporter, config->exporter, sizeof j->exporter);
    for (size_t i = 0; i < config->address_count; i++)
        if (is_sound_address(slice_of_str(config->addresses[i])))
            snprintf(j->addresses[j->address_count++], sizeof j->addresses[0], "%s", config->addresses[i]);
    return make_channel(j, config);
}

int join_create(const struct join_config *config, struct join **out)
{
    struct join *j = calloc(1, sizeof *j);
    if (!j)
        return GRID_ENOMEM;
    buf_init(&j->in, INPUT_MAX);
    buf_init(&j->out, INPUT_MAX);
    buf_init(&j->kept, INPUT_MAX);
    buf_init(&j->channel, CHANNEL_MAX);
    int err = copy_config(j, config);
    if (err == 0) {
        struct cpace_inputs inputs = inputs_of(j);
        err = cpace_start(&j->cpace, j->joiner, &inputs, config->seed);
    }
    if (err == 0 && j->joiner)
        err = send_share(j);
    if (err != 0) {
        join_destroy(j);
        return err;
    }
    *out = j;
    return 0;
}

void join_destroy(struct join *j)
{
    if (!j)
        return;
    buf_dispose(&j->in);
    buf_dispose(&j->out);
    buf_dispose(&j->kept);
    buf_dispose(&j->channel);
    sodium_memzero(j, sizeof *j);
    free(j);
}

enum join_step join_step(const struct join *j)
{
    return j->step;
}

struct buf *join_output(struct join *j)
{
    return &j->out;
}

bool join_is_proven(const struct join *j)
{
    return j->proven;
}

bool join_goes_by(const struct join *j, const uint8_t *password)
{
    return sodium_memcmp(j->password, password, sizeof j->password) == 0;
}

bool join_is_spent(const struct join *j)
{
    return !j->proven && (j->joiner ? j->confirmed : j->share_sent);
}

const struct join_standing *join_peer_standing(const struct join *j)
{
    return &j->peer;
}

const struct join_request *join_request_of(const struct join *j)
{
    return &j->request;
}

const struct join_grant *join_grant_of(const struct join *j)
{
    return &j->grant;
}

const struct join_refusal *join_refusal_of(const struct join *j, bool *by_peer)
{
    *by_peer = j->refused_by_peer;
    return &j->refusal;
}

const char *join_why(const struct join *j)
{
    return j->why;
}
