/* A plain array, walked: it is short, and changes with what comes and goes on a local network. */
#include "discovery/mdns_services.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/err.h"
#include "base/hex.h"
#include "discovery/swim_random.h"

void mdns_tag(struct slice grid, char out[MDNS_TAG_HEX + 1])
{
    static const char context[] = "gridcontrol mdns 1\n";
    uint8_t digest[SHA256_DIGEST_LENGTH], in[sizeof context - 1 + 256];
    grid = slice_first(grid, 256);
    memcpy(in, context, sizeof context - 1);
    if (grid.size > 0)
        memcpy(in + sizeof context - 1, grid.data, grid.size);
    SHA256(in, sizeof context - 1 + grid.size, digest);
    hex_encode(slice_of(digest, MDNS_TAG_HEX / 2), out);
}

void mdns_services_init(struct mdns_services *s, uint64_t seed)
{
    *s = (struct mdns_services){.random = seed | 1};
}

void mdns_services_dispose(struct mdns_services *s)
{
    free(s->at);
    *s = (struct mdns_services){0};
}

void mdns_services_clear(struct mdns_services *s)
{
    s->count = s->looking = 0;
}

/* Which of many liars is kept is no secret. */
static size_t lot(struct mdns_services *s, size_t below)
{
    return (size_t) swim_random_below(&s->random, below);
}

static struct mdns_service *find(const struct mdns_services *s, const struct mdns_key *key)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->at[i].key.interface == key->interface && s->at[i].key.protocol == key->protocol && strcmp(s->at[i].key.name, key->name) == 0)
            return &s->at[i];
    return NULL;
}

static void drop(struct mdns_services *s, struct mdns_service *gone)
{
    s->looking -= gone->state == MDNS_LOOKING;
    *gone = s->at[--s->count];
}

/* One by lot that is neither ours nor being looked into makes room. */
static int make_room(struct mdns_services *s)
{
    if (s->count < MDNS_SERVICES_MAX)
        return 0;
    size_t start = lot(s, s->count);
    for (size_t i = 0; i < s->count; i++) {
        struct mdns_service *service = &s->at[(start + i) % s->count];
        if (service->state == MDNS_WAITING || service->state == MDNS_FOREIGN) {
            drop(s, service);
            return 0;
        }
    }
    return GRID_ELIMIT;
}

static int grow(struct mdns_services *s)
{
    if (s->count < s->capacity)
        return 0;
    size_t capacity = s->capacity == 0 ? 16 : s->capacity * 2;
    struct mdns_service *at = realloc(s->at, capacity * sizeof *at);
    if (!at)
        return GRID_ENOMEM;
    s->at = at;
    s->capacity = capacity;
    return 0;
}

int mdns_services_add(struct mdns_services *s, const struct mdns_key *key, uint64_t now_ms)
{
    if (find(s, key))
        return 0;
    int err = memchr(key->name, '\0', sizeof key->name) ? make_room(s) : GRID_EINVAL;
    if (err == 0)
        err = grow(s);
    if (err == 0)
        s->at[s->count++] = (struct mdns_service){.key = *key, .due_ms = now_ms};
    return err;
}

void mdns_services_remove(struct mdns_services *s, const struct mdns_key *key)
{
    struct mdns_service *gone = find(s, key);
    if (gone)
        drop(s, gone);
}

const struct mdns_service *mdns_services_next(struct mdns_services *s, uint64_t now_ms)
{
    if (s->count == 0 || s->looking >= MDNS_LOOKING_MAX)
        return NULL;
    size_t start = lot(s, s->count);
    for (size_t i = 0; i < s->count; i++) {
        struct mdns_service *service = &s->at[(start + i) % s->count];
        if (service->state != MDNS_WAITING || now_ms < service->due_ms)
            continue;
        service->state = MDNS_LOOKING;
        s->looking++;
        return service;
    }
    return NULL;
}

static struct mdns_service *looked(struct mdns_services *s, const struct mdns_key *key)
{
    struct mdns_service *service = find(s, key);
    if (!service || service->state != MDNS_LOOKING)
        return NULL;
    s->looking--;
    return service;
}

void mdns_services_found(struct mdns_services *s, const struct mdns_key *key, const char *address, uint64_t now_ms)
{
    struct mdns_service *service = looked(s, key);
    if (!service)
        return;
    bool ours = address && strlen(address) <= MDNS_ADDRESS_MAX;
    service->state = ours ? MDNS_OURS : MDNS_FOREIGN;
    service->due_ms = now_ms;
    if (ours)
        memcpy(service->address, address, strlen(address) + 1);
}

void mdns_services_failed(struct mdns_services *s, const struct mdns_key *key, uint64_t now_ms)
{
    struct mdns_service *service = looked(s, key);
    if (!service)
        return;
    uint64_t wait_ms = (uint64_t) MDNS_AGAIN_MS << (service->failures < 16 ? service->failures : 16);
    service->failures++;
    service->state = MDNS_WAITING;
    service->due_ms = now_ms + (wait_ms < MDNS_AGAIN_MAX_MS ? wait_ms : MDNS_AGAIN_MAX_MS);
}

const struct mdns_service *mdns_services_due(struct mdns_services *s, uint64_t now_ms)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->at[i].state != MDNS_OURS || now_ms < s->at[i].due_ms)
            continue;
        s->at[i].due_ms = now_ms + MDNS_TELL_MS;
        return &s->at[i];
    }
    return NULL;
}

uint64_t mdns_services_wait_ms(const struct mdns_services *s, uint64_t now_ms)
{
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < s->count; i++) {
        bool counts = s->at[i].state == MDNS_OURS || (s->at[i].state == MDNS_WAITING && s->looking < MDNS_LOOKING_MAX);
        if (counts && s->at[i].due_ms < due)
            due = s->at[i].due_ms;
    }
    return due == UINT64_MAX ? due : due > now_ms ? due - now_ms : 0;
}
