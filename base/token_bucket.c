/* The level is brought up to date whenever it is looked at. */
#include "base/token_bucket.h"

enum { MILLI = 1000 };

void token_bucket_init(struct token_bucket *b, uint64_t rate_per_s, uint64_t burst, uint64_t now_ms)
{
    *b = (struct token_bucket){
        .level_milli = burst * MILLI, .burst_milli = burst * MILLI, .rate_per_s = rate_per_s, .updated_ms = now_ms};
}

void token_bucket_give(struct token_bucket *b, uint64_t milli_tokens)
{
    uint64_t room = b->burst_milli - b->level_milli;
    b->level_milli += milli_tokens < room ? milli_tokens : room;
}

static void update(struct token_bucket *b, uint64_t now_ms)
{
    if (now_ms <= b->updated_ms)
        return;
    uint64_t elapsed_ms = now_ms - b->updated_ms;
    bool overflows = b->rate_per_s > 0 && elapsed_ms > UINT64_MAX / b->rate_per_s;
    token_bucket_give(b, overflows ? UINT64_MAX : elapsed_ms * b->rate_per_s);
    b->updated_ms = now_ms;
}

bool token_bucket_take(struct token_bucket *b, uint64_t tokens, uint64_t now_ms)
{
    update(b, now_ms);
    if (tokens > b->level_milli / MILLI)
        return false;
    b->level_milli -= tokens * MILLI;
    return true;
}

uint64_t token_bucket_wait_ms(struct token_bucket *b, uint64_t tokens, uint64_t now_ms)
{
    update(b, now_ms);
    if (tokens <= b->level_milli / MILLI)
        return 0;
    if (b->rate_per_s == 0 || tokens > b->burst_milli / MILLI)
        return UINT64_MAX;
    uint64_t lacking_milli = tokens * MILLI - b->level_milli;
    return lacking_milli / b->rate_per_s + (lacking_milli % b->rate_per_s != 0);
}
