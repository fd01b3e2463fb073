/* Tokens for announcements, and the limits of what is answered. */
#include "discovery/dht_token.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

void dht_tokens_init(struct dht_tokens *t, struct dht_random *random, uint64_t now_ms)
{
    dht_random_fill(random, t->secrets, sizeof t->secrets);
    t->rotated_ms = now_ms;
}

void dht_tokens_rotate(struct dht_tokens *t, struct dht_random *random, uint64_t now_ms)
{
    if (now_ms < t->rotated_ms + DHT_TOKEN_ROTATION_MS)
        return;
    memcpy(t->secrets[1], t->secrets[0], sizeof t->secrets[0]);
    dht_random_fill(random, t->secrets[0], sizeof t->secrets[0]);
    if (now_ms >= t->rotated_ms + 2 * (uint64_t) DHT_TOKEN_ROTATION_MS) /* the machine slept: the old one is too old */
        dht_random_fill(random, t->secrets[1], sizeof t->secrets[1]);
    t->rotated_ms = now_ms;
}

static void digest_of(const uint8_t secret[16], struct slice in, uint8_t out[SHA256_DIGEST_LENGTH])
{
    uint8_t joined[16 + 32];
    in = slice_first(in, 32);
    memcpy(joined, secret, 16);
    memcpy(joined + 16, in.data, in.size);
    SHA256(joined, 16 + in.size, out);
}

uint64_t dht_token_hash(const uint8_t secret[16], struct slice in)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    uint64_t hash;
    digest_of(secret, in, digest);
    memcpy(&hash, digest, sizeof hash);
    return hash;
}

static void make_with(const uint8_t secret[16], const struct dht_endpoint *at, uint8_t out[DHT_TOKEN_SIZE])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    digest_of(secret, slice_of(at->ip, sizeof at->ip), digest);
    memcpy(out, digest, DHT_TOKEN_SIZE);
}

void dht_token_make(const struct dht_tokens *t, const struct dht_endpoint *at, uint8_t out[DHT_TOKEN_SIZE])
{
    make_with(t->secrets[0], at, out);
}

bool dht_token_is_good(const struct dht_tokens *t, const struct dht_endpoint *at, struct slice token)
{
    uint8_t wanted[2][DHT_TOKEN_SIZE];
    make_with(t->secrets[0], at, wanted[0]);
    make_with(t->secrets[1], at, wanted[1]);
    return token.size == DHT_TOKEN_SIZE
           && (CRYPTO_memcmp(wanted[0], token.data, DHT_TOKEN_SIZE) == 0 || CRYPTO_memcmp(wanted[1], token.data, DHT_TOKEN_SIZE) == 0);
}

void dht_limit_init(struct dht_limit *l, struct dht_random *random, uint64_t now_ms)
{
    dht_random_fill(random, l->secret, sizeof l->secret);
    for (size_t i = 0; i < DHT_LIMIT_PLACES; i++)
        token_bucket_init(&l->sources[i], DHT_LIMIT_SOURCE_PER_S, DHT_LIMIT_SOURCE_BURST, now_ms);
    token_bucket_init(&l->strangers, DHT_LIMIT_STRANGERS_PER_S, DHT_LIMIT_STRANGERS_BURST, now_ms);
    token_bucket_init(&l->asked, DHT_LIMIT_ASKED_PER_S, DHT_LIMIT_ASKED_PER_S, now_ms);
    token_bucket_init(&l->bytes, DHT_LIMIT_BYTES_PER_S, DHT_LIMIT_BYTES_BURST, now_ms);
}

/* By random multipliers that strangers do not know (Multilinear: Lemire and Kaser, "Strongly universal string hashing is fast", 2014, section 2). */
static size_t place_of(const struct dht_limit *l, const struct dht_endpoint *from)
{
    uint32_t words[DHT_LIMIT_WORDS] = {0};
    bool loopback = dht_endpoint_scope(from) == DHT_SCOPE_LOOPBACK;
    uint64_t sum = l->secret[0];
    memcpy(words, from->ip, loopback || dht_endpoint_is_v4(from) ? sizeof from->ip : 7);
    words[DHT_LIMIT_WORDS - 1] = loopback ? from->port : 0;
    for (size_t i = 0; i < DHT_LIMIT_WORDS; i++)
        sum += l->secret[i + 1] * words[i];
    return (size_t) (sum >> 32) % DHT_LIMIT_PLACES;
}

bool dht_limit_stranger(struct dht_limit *l, const struct dht_endpoint *from, uint64_t now_ms)
{
    return token_bucket_take(&l->sources[place_of(l, from)], 1, now_ms) && token_bucket_take(&l->strangers, 1, now_ms);
}

bool dht_limit_asked(struct dht_limit *l, uint64_t now_ms)
{
    return token_bucket_take(&l->asked, 1, now_ms);
}

bool dht_limit_answer(struct dht_limit *l, size_t size_bytes, uint64_t now_ms)
{
    return token_bucket_take(&l->bytes, size_bytes, now_ms);
}
