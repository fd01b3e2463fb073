/* CPace over libsodium's ristretto255: strings as in the draft's section 6.3, elements as in its section 8.3. */
#include "trust/cpace.h"

#include <sodium.h>

#include "base/buf.h"
#include "base/err.h"

enum { HASH_BLOCK = 128, STRING_MAX = 64 * 1024 };
#define DSI "CPaceRistretto255"

/* prepend_len: the length as LEB128, then the bytes. */
static int append_lv(struct buf *b, struct slice s)
{
    size_t rest = s.size;
    int err = 0;
    for (; err == 0 && rest >= 128; rest >>= 7)
        err = buf_append_byte(b, (uint8_t) (rest & 127) | 128);
    if (err == 0)
        err = buf_append_byte(b, (uint8_t) rest);
    return err == 0 ? buf_append(b, s) : err;
}

static size_t lv_size(size_t size)
{
    size_t total = size + 1;
    for (; size >= 128; size >>= 7)
        total++;
    return total;
}

/* generator_string: DSI and password fill the first block of the hash whatever the password's length. */
static int append_generator_string(struct buf *b, const struct cpace_inputs *in)
{
    static const uint8_t ZEROS[HASH_BLOCK];
    size_t used = lv_size(in->password.size) + lv_size(sizeof DSI - 1) + 1;
    int err = append_lv(b, SLICE(DSI));
    if (err == 0)
        err = append_lv(b, in->password);
    if (err == 0)
        err = append_lv(b, slice_of(ZEROS, used < HASH_BLOCK ? HASH_BLOCK - used : 0));
    if (err == 0)
        err = append_lv(b, in->channel);
    return err == 0 ? append_lv(b, in->session) : err;
}

static void wipe(struct buf *b)
{
    if (b->data)
        sodium_memzero(b->data, b->capacity);
    buf_dispose(b);
}

static int calculate_generator(const struct cpace_inputs *in, uint8_t generator[CPACE_SHARE_SIZE])
{
    uint8_t hash[crypto_hash_sha512_BYTES];
    struct buf text;
    buf_init(&text, STRING_MAX);
    int err = buf_reserve(&text, in->password.size + in->channel.size + in->session.size +
                                     2 * HASH_BLOCK); /* never moves, so that wiping it wipes all */
    if (err == 0)
        err = append_generator_string(&text, in);
    if (err == 0) {
        crypto_hash_sha512(hash, text.data, text.size);
        crypto_core_ristretto255_from_hash(generator, hash);
        sodium_memzero(hash, sizeof hash);
    }
    wipe(&text);
    return err == 0 ? 0 : GRID_ENOMEM;
}

int cpace_start(struct cpace *c, bool initiator, const struct cpace_inputs *inputs, const uint8_t seed[CPACE_SEED_SIZE])
{
    uint8_t generator[CPACE_SHARE_SIZE];
    if (sodium_init() < 0)
        return GRID_ENOMEM;
    int err = calculate_generator(inputs, generator);
    if (err != 0)
        return err;
    c->initiator = initiator;
    crypto_core_ristretto255_scalar_reduce(c->scalar, seed);
    err =
        crypto_scalarmult_ristretto255(c->share, c->scalar, generator) == 0 ? 0 : GRID_ENOMEM; /* a zero scalar: never by chance */
    sodium_memzero(generator, sizeof generator);
    return err;
}

void cpace_dispose(struct cpace *c)
{
    sodium_memzero(c, sizeof *c);
}

/* One side's message as the transcript has it: lv_cat(Y, AD). */
static int append_message(struct buf *b, struct slice share, struct slice data)
{
    int err = append_lv(b, share);
    return err == 0 ? append_lv(b, data) : err;
}

/* ISK = H(lv_cat(DSI_ISK, sid, K) || lv_cat(Ya, ADa) || lv_cat(Yb, ADb)). */
static int derive_key(const uint8_t k[32], const struct cpace_inputs *in, struct slice initiator, struct slice responder,
                      uint8_t key[CPACE_KEY_SIZE])
{
    struct buf text;
    buf_init(&text, STRING_MAX);
    int err = buf_reserve(&text, in->session.size + in->initiator.size + in->responder.size + 3 * HASH_BLOCK);
    if (err == 0)
        err = append_lv(&text, SLICE(DSI "_ISK"));
    if (err == 0)
        err = append_lv(&text, in->session);
    if (err == 0)
        err = append_lv(&text, slice_of(k, 32));
    if (err == 0)
        err = append_message(&text, initiator, in->initiator);
    if (err == 0)
        err = append_message(&text, responder, in->responder);
    if (err == 0)
        crypto_hash_sha512(key, text.data, text.size);
    wipe(&text);
    return err == 0 ? 0 : GRID_ENOMEM;
}

/* mac_key = H("CPaceMac" || sid || ISK). */
static void derive_mac_key(const uint8_t key[CPACE_KEY_SIZE], struct slice session, uint8_t mac_key[crypto_hash_sha512_BYTES])
{
    crypto_hash_sha512_state hash;
    crypto_hash_sha512_init(&hash);
    crypto_hash_sha512_update(&hash, (const uint8_t *) "CPaceMac", 8);
    crypto_hash_sha512_update(&hash, session.data, session.size);
    crypto_hash_sha512_update(&hash, key, CPACE_KEY_SIZE);
    crypto_hash_sha512_final(&hash, mac_key);
    sodium_memzero(&hash, sizeof hash);
}

/* Each side's tag is a MAC over the message that it has sent. */
static int make_tag(const uint8_t mac_key[crypto_hash_sha512_BYTES], struct slice share, struct slice data,
                    uint8_t tag[CPACE_TAG_SIZE])
{
    crypto_auth_hmacsha512_state mac;
    struct buf text;
    buf_init(&text, STRING_MAX);
    int err = append_message(&text, share, data);
    if (err == 0) {
        crypto_auth_hmacsha512_init(&mac, mac_key, crypto_hash_sha512_BYTES);
        crypto_auth_hmacsha512_update(&mac, text.data, text.size);
        crypto_auth_hmacsha512_final(&mac, tag);
        sodium_memzero(&mac, sizeof mac);
    }
    buf_dispose(&text);
    return err == 0 ? 0 : GRID_ENOMEM;
}

int cpace_finish(const struct cpace *c, const struct cpace_inputs *inputs, const uint8_t peer_share[CPACE_SHARE_SIZE],
                 struct cpace_result *out)
{
    uint8_t k[32], mac_key[crypto_hash_sha512_BYTES];
    struct slice own = slice_of(c->share, CPACE_SHARE_SIZE), peer = slice_of(peer_share, CPACE_SHARE_SIZE);
    if (slice_equal(own, peer))
        return GRID_EPROTO;
    /* scalar_mult_vfy: -1 for what does not decode and for the neutral element; is_valid_point would let the latter through. */
    if (crypto_scalarmult_ristretto255(k, c->scalar, peer_share) != 0)
        return GRID_EPROTO;
    int err = derive_key(k, inputs, c->initiator ? own : peer, c->initiator ? peer : own, out->key);
    sodium_memzero(k, sizeof k);
    if (err != 0)
        return err;
    derive_mac_key(out->key, inputs->session, mac_key);
    err = make_tag(mac_key, own, c->initiator ? inputs->initiator : inputs->responder, out->own_tag);
    if (err == 0)
        err = make_tag(mac_key, peer, c->initiator ? inputs->responder : inputs->initiator, out->peer_tag);
    sodium_memzero(mac_key, sizeof mac_key);
    return err;
}

bool cpace_tag_matches(const struct cpace_result *r, struct slice tag)
{
    return tag.size == CPACE_TAG_SIZE && sodium_memcmp(r->peer_tag, tag.data, CPACE_TAG_SIZE) == 0;
}
