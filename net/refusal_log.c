/* Two rates, each as the moment up to which what was named is paid for. */
#include "net/refusal_log.h"

#include <string.h>

/* FNV-1a: who finds two reasons of one key gains a line less. */
static uint64_t hash(uint64_t h, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++)
        h = (h ^ at[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t key_of(const struct addr *from, const char *why)
{
    uint8_t source[ADDR_SOURCE_SIZE];
    addr_source(from, source);
    return hash(hash(UINT64_C(0xcbf29ce484222325), source, sizeof source), why, strlen(why)) | 1; /* 0 is a free place */
}

static struct refusal_log_source *place_of(struct refusal_log *l, uint64_t key)
{
    struct refusal_log_source *oldest = &l->sources[0];
    for (size_t i = 0; i < REFUSAL_LOG_SOURCES; i++) {
        if (l->sources[i].key == key)
            return &l->sources[i];
        if (l->sources[i].came_ms < oldest->came_ms)
            oldest = &l->sources[i];
    }
    *oldest = (struct refusal_log_source){.key = key};
    return oldest;
}

static bool may_pay(uint64_t paid_ms, uint64_t each_ms, uint64_t burst, uint64_t now_ms)
{
    return paid_ms <= now_ms + each_ms * (burst - 1);
}

static uint64_t pay(uint64_t paid_ms, uint64_t each_ms, uint64_t now_ms)
{
    return (paid_ms > now_ms ? paid_ms : now_ms) + each_ms;
}

bool refusal_log_names(struct refusal_log *l, const struct addr *from, const char *why, uint64_t now_ms, uint64_t *left_out)
{
    enum { EACH_MS = 1000 / REFUSAL_LOG_PER_S };
    struct refusal_log_source *s = place_of(l, key_of(from, why));
    s->came_ms = now_ms;
    if (!may_pay(s->paid_ms, REFUSAL_LOG_SOURCE_MS, REFUSAL_LOG_SOURCE_BURST, now_ms) || !may_pay(l->paid_ms, EACH_MS, REFUSAL_LOG_BURST, now_ms)) {
        l->left_out++;
        return false;
    }
    s->paid_ms = pay(s->paid_ms, REFUSAL_LOG_SOURCE_MS, now_ms);
    l->paid_ms = pay(l->paid_ms, EACH_MS, now_ms);
    *left_out = l->left_out;
    l->left_out = 0;
    return true;
}
