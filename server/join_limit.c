/* Two counts, of hosts and of sites. */
#include "server/join_limit.h"

#include <string.h>

int join_limit_init(struct join_limit *l, unsigned limit)
{
    struct attempts_config of_host = {.limit = limit, .window_ms = JOIN_LIMIT_WINDOW_MS, .source_count = JOIN_LIMIT_SOURCES_MAX}, of_site = of_host;
    of_site.limit *= JOIN_LIMIT_SITE_HOSTS;
    *l = (struct join_limit){NULL, NULL};
    int err = attempts_create(&of_host, &l->of_host);
    return err == 0 ? attempts_create(&of_site, &l->of_site) : err;
}

void join_limit_dispose(struct join_limit *l)
{
    attempts_destroy(l->of_host);
    attempts_destroy(l->of_site);
    *l = (struct join_limit){NULL, NULL};
}

/* The /48; false for an IPv4 address, which is of none. */
static bool site_of(const uint8_t source[ATTEMPTS_SOURCE_SIZE], uint8_t out[ATTEMPTS_SOURCE_SIZE])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    memset(out, 0, ATTEMPTS_SOURCE_SIZE);
    memcpy(out, source, 6);
    return memcmp(source, mapped, sizeof mapped) != 0;
}

bool join_limit_take(struct join_limit *l, const uint8_t source[ATTEMPTS_SOURCE_SIZE], uint64_t now_ms)
{
    uint8_t site[ATTEMPTS_SOURCE_SIZE];
    if (!attempts_take(l->of_host, source, now_ms, NULL))
        return false;
    bool taken = !site_of(source, site) || attempts_take(l->of_site, site, now_ms, NULL);
    if (!taken)
        attempts_give_back(l->of_host, source);
    return taken;
}
