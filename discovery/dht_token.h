/* discovery/dht_token.h: what the DHT's node gives to who asks for peers and wants back with an announcement, so that nobody announces for an
 * address that is not its own (BEP 5), and how much it answers. No clock. One thread at a time. */
#ifndef GRID_DISCOVERY_DHT_TOKEN_H
#define GRID_DISCOVERY_DHT_TOKEN_H

#include "base/token_bucket.h"
#include "discovery/dht_endpoint.h"
#include "discovery/dht_random.h"

enum { DHT_TOKEN_SIZE = 8, DHT_TOKEN_ROTATION_MS = 5 * 60 * 1000 };

/* A token is good for the secret's time and the next one's: 5 to 10 minutes. */
struct dht_tokens {
    uint8_t secrets[2][16]; /* the present one first */
    uint64_t rotated_ms;
};

void dht_tokens_init(struct dht_tokens *t, struct dht_random *random, uint64_t now_ms);

/* Puts a new secret in when it is time. */
void dht_tokens_rotate(struct dht_tokens *t, struct dht_random *random, uint64_t now_ms);

/* The token for whoever has this address. */
void dht_token_make(const struct dht_tokens *t, const struct dht_endpoint *at, uint8_t out[DHT_TOKEN_SIZE]);
bool dht_token_is_good(const struct dht_tokens *t, const struct dht_endpoint *at, struct slice token);

/* The first 8 bytes of SHA-256 of a secret and bytes: for tables that strangers must not be able to aim at. */
uint64_t dht_token_hash(const uint8_t secret[16], struct slice in);

/* How much is read and answered, whatever comes: of what nobody asked for so many datagrams of one source (an address, for IPv6 a /56, on loopback an address and
 * port) and so many in all; of whom this node has asked so many; so many bytes of answers. Sources that fall into the same place share it. */
enum {
    DHT_LIMIT_PLACES = 1024,
    DHT_LIMIT_WORDS = 5, /* of 32 bits: address and port */
    DHT_LIMIT_SOURCE_PER_S = 2,
    DHT_LIMIT_SOURCE_BURST = 16,
    DHT_LIMIT_STRANGERS_PER_S = 256,
    DHT_LIMIT_STRANGERS_BURST = 1024,
    DHT_LIMIT_ASKED_PER_S = 512,
    DHT_LIMIT_BYTES_PER_S = 384,
    DHT_LIMIT_BYTES_BURST = 48 * 1024
};

struct dht_limit {
    uint64_t secret[1 + DHT_LIMIT_WORDS];
    struct token_bucket sources[DHT_LIMIT_PLACES];
    struct token_bucket strangers, asked, bytes;
};

void dht_limit_init(struct dht_limit *l, struct dht_random *random, uint64_t now_ms);

/* Whether a datagram that nobody asked for is read. Costs some nanoseconds: it is asked before anything is parsed. */
bool dht_limit_stranger(struct dht_limit *l, const struct dht_endpoint *from, uint64_t now_ms);

/* Whether one is read of somebody who has been asked. */
bool dht_limit_asked(struct dht_limit *l, uint64_t now_ms);

/* Whether an answer of that size is sent. */
bool dht_limit_answer(struct dht_limit *l, size_t size_bytes, uint64_t now_ms);

#endif
