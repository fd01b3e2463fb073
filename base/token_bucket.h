/* base/token_bucket.h: a rate with bursts. No clock: time is given. One thread at a time. */
#ifndef GRID_BASE_TOKEN_BUCKET_H
#define GRID_BASE_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* Levels are thousandths of a token, so that a rate per second adds a whole number each millisecond. */
struct token_bucket {
    uint64_t level_milli;
    uint64_t burst_milli;
    uint64_t rate_per_s;
    uint64_t updated_ms;
};

/* Full at first. `burst` tokens at most (below 2^50); `rate_per_s` 0 for one that only token_bucket_give fills. */
void token_bucket_init(struct token_bucket *b, uint64_t rate_per_s, uint64_t burst, uint64_t now_ms);

/* Takes `tokens`, or none of them and says false. `now_ms` is monotonic; a time before the last one counts as the last one. */
bool token_bucket_take(struct token_bucket *b, uint64_t tokens, uint64_t now_ms);

/* Adds thousandths of tokens up to the burst: a retry budget of a tenth gives 100 for each call and takes 1 token for each retry.
 */
void token_bucket_give(struct token_bucket *b, uint64_t milli_tokens);

/* Milliseconds until `tokens` can be taken: 0 for now, UINT64_MAX for never. */
uint64_t token_bucket_wait_ms(struct token_bucket *b, uint64_t tokens, uint64_t now_ms);

#endif
