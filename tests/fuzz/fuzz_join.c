/* The messages of joining: what is read is written the same; and two sides of which one is fed with anything, sealed or not, at
 * any point, never get anybody in who does not know the password. The first byte chooses. */
// links: grid_trust
// covers: trust/join_message.c trust/join.c
#include "trust/join.c" /* for its seals: a message whose MAC is right gets further */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHOICE_SEALED = 1, CHOICE_MEMBER = 2, CHOICE_WRONG = 4, CHOICE_MESSAGE_SHIFT = 3 };
/* From these message numbers on, which never come, both are provisional, or of one grid. */
enum { MESSAGES_PROVISIONAL = 16, MESSAGES_SAME = 24 };
static const int64_t NOW = 1900000000;

/* ---- the codec ---- */

static void decode_and_encode(struct slice in, bool sealed)
{
    struct join_message m, again;
    struct buf once, twice;
    size_t size, size_again;
    if (join_message_decode(in, sealed, &m, &size) != 0)
        return;
    buf_init(&once, 0), buf_init(&twice, 0);
    if (buf_append_u16be(&once, (uint16_t) (size - JOIN_PREFIX_SIZE)) != 0 || join_message_encode(&m, &once) != 0 ||
        buf_append(&once, m.mac) != 0)
        abort();
    if (!slice_equal(buf_slice(&once), slice_first(in, size)) ||
        join_message_decode(buf_slice(&once), sealed, &again, &size_again) != 0)
        abort();
    if (join_message_encode(&again, &twice) != 0 || !slice_equal(buf_slice(&twice), m.signed_part) ||
        !join_reason_text(m.u.refusal.reason))
        abort();
    buf_dispose(&once), buf_dispose(&twice);
}

/* ---- the machines ---- */

static struct key *KEYS[2];
static struct authority *AUTHORITIES[2];

static struct join *make(bool joiner, bool wrong)
{
    uint8_t password[STRETCH_SIZE] = {wrong}, exporter[JOIN_EXPORTER_SIZE] = {2}, seed[JOIN_SEED_SIZE] = {joiner ? 3 : 4};
    struct join_config config = {.joiner = joiner,
                                 .grid = "demo",
                                 .password = password,
                                 .exporter = exporter,
                                 .seed = seed,
                                 .key = KEYS[joiner],
                                 .own_public_der = key_public_der(KEYS[joiner]),
                                 .peer_public_der = key_public_der(KEYS[!joiner]),
                                 .name = "ada",
                                 .addresses = (const char *const[]){"192.0.2.1"},
                                 .address_count = 1,
                                 .now_s = NOW};
    struct join *j;
    if (join_create(&config, &j) != 0)
        abort();
    return j;
}

static void give(struct join *j)
{
    struct certificate_request request = {.public_der = join_request_of(j)->public_der, .name = "ada", .roles = TRUST_ROLE_NODE};
    struct join_grant grant = {.authority_der = authority_certificate_der(AUTHORITIES[j->joiner]), .ledger = SLICE("ledger")};
    struct buf der;
    buf_init(&der, 0);
    if (authority_issue(AUTHORITIES[j->joiner], &request, NOW, &der) == 0) {
        grant.certificate_der = buf_slice(&der);
        join_give(j, &grant);
    } else {
        join_refuse(j, JOIN_NOT_ADMITTED, (const char *const[]){"192.0.2.1:1", " "}, 2);
    }
    buf_dispose(&der);
}

static void act(struct join *j, unsigned choice)
{
    unsigned message = choice >> CHOICE_MESSAGE_SHIFT;
    bool hardened = message < MESSAGES_PROVISIONAL && j->joiner == !!(choice & CHOICE_MEMBER);
    struct join_standing own = {.hardened = hardened, .can_issue = true};
    snprintf(own.authority_id, sizeof own.authority_id, "%s", authority_id(AUTHORITIES[message < MESSAGES_SAME && j->joiner]));
    if (join_step(j) == JOIN_STEP_STAND)
        join_stand(j, &own);
    else if (join_step(j) == JOIN_STEP_ISSUE)
        give(j);
}

/* Puts our bytes in a message's place; sealed as the sender would have done it, when asked. */
static void send_fuzz(struct join *from, struct join *to, struct slice body, bool sealed)
{
    uint8_t mac[crypto_auth_hmacsha512_BYTES];
    struct buf out;
    buf_init(&out, 0);
    bool with_mac = sealed && from->proven && body.size + JOIN_MAC_SIZE <= JOIN_MESSAGE_MAX;
    int err = buf_append_u16be(&out, (uint16_t) (body.size + (with_mac ? JOIN_MAC_SIZE : 0)));
    if (err == 0)
        err = buf_append(&out, body);
    if (with_mac) {
        from->sending.number--; /* in place of the one that was sealed already */
        seal_mac(&from->sending, body, mac);
        err = buf_append(&out, slice_of(mac, JOIN_MAC_SIZE));
    }
    if (err == 0)
        join_receive(to, buf_slice(&out));
    buf_dispose(&out);
}

struct wire {
    struct slice fuzz;
    unsigned choice, at, replaced; /* the message to replace, counted over both sides */
};

static bool pass(struct wire *w, struct join *from, struct join *to)
{
    struct buf *out = join_output(from);
    bool moved = out->size > 0;
    while (out->size > 0) {
        size_t size = JOIN_PREFIX_SIZE + (size_t) (out->data[0] << 8 | out->data[1]);
        if (w->at++ == w->choice >> CHOICE_MESSAGE_SHIFT) {
            w->replaced = 1;
            send_fuzz(from, to, w->fuzz, w->choice & CHOICE_SEALED);
        } else {
            join_receive(to, slice_first(buf_slice(out), size));
        }
        buf_consume(out, size);
    }
    return moved;
}

static bool is_granted(const struct join *j)
{
    return join_step(j) == JOIN_STEP_GRANTED && join_grant_of(j)->certificate_der.size > 0 &&
           join_peer_standing(j)->authority_id[0];
}

static void run_machines(struct slice fuzz, unsigned choice)
{
    struct wire w = {.fuzz = fuzz, .choice = choice};
    bool wrong = choice & CHOICE_WRONG;
    struct join *joiner = make(true, false), *member = make(false, wrong);
    for (bool moved = true; moved;) {
        act(joiner, choice);
        moved = pass(&w, joiner, member);
        act(member, choice);
        moved |= pass(&w, member, joiner);
    }
    bool granted = is_granted(joiner) || is_granted(member);
    bool settled = join_step(joiner) == JOIN_STEP_SETTLED && join_step(member) == JOIN_STEP_SETTLED;
    if (wrong && (granted || settled || join_is_proven(joiner) || join_is_proven(member)))
        abort();
    if (wrong && !w.replaced && !(join_is_spent(joiner) && join_is_spent(member)))
        abort();
    if (!w.replaced && !wrong && !granted && !settled)
        abort();
    bool by_peer;
    if (join_step(joiner) == JOIN_STEP_BROKEN && (join_why(joiner)[0] == '\0' || join_output(joiner)->size > 0))
        abort();
    if (join_step(member) == JOIN_STEP_REFUSED && join_refusal_of(member, &by_peer)->reason == 0)
        abort();
    join_destroy(joiner);
    join_destroy(member);
}

static void set_up(void)
{
    for (int i = 0; i < 2; i++)
        if (key_mint(&KEYS[i]) != 0 || authority_mint("demo", NOW, &AUTHORITIES[i]) != 0)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!KEYS[0])
        set_up();
    if (size == 0 || size > JOIN_MESSAGE_MAX)
        return 0;
    struct slice fuzz = slice_from(slice_of(data, size), 1);
    decode_and_encode(fuzz, data[0] & CHOICE_SEALED);
    run_machines(fuzz, data[0]);
    return 0;
}
