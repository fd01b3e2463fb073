/* base/uuid.h: UUID version 7 (RFC 9562, section 5.7), the ids of requests. No clock; randomness is given or comes from a source.
 */
#ifndef GRID_BASE_UUID_H
#define GRID_BASE_UUID_H

#include "base/slice.h"

enum { UUID_BYTES = 16, UUID_TEXT_SIZE = 37, UUID7_RANDOM_BYTES = 10 };

struct uuid {
    uint8_t bytes[UUID_BYTES];
};

/* `unix_ms` (its low 48 bits) in front, then 74 of the 80 random bits around version and variant. */
struct uuid uuid7_make(uint64_t unix_ms, const uint8_t random[UUID7_RANDOM_BYTES]);

/* The milliseconds since 1970 that a version 7 id begins with. */
uint64_t uuid7_unix_ms(const struct uuid *id);

/* 36 characters in lowercase and a NUL. */
void uuid_format(const struct uuid *id, char out[UUID_TEXT_SIZE]);

/* The 8-4-4-4-12 form in either case, any version. 0 or GRID_EINVAL. */
int uuid_parse(struct slice text, struct uuid *out);

/* A stock of random bytes, refilled 512 at a time so that an id costs no system call. One per thread; not to be used across fork.
 */
struct uuid_source {
    void (*fill)(void *context, uint8_t *bytes, size_t size);
    void *context;
    size_t left;
    uint8_t stock[512];
};

/* `fill` gives random bytes (a test's or the simulator's seeded generator); NULL takes them from the kernel by arc4random. */
void uuid_source_init(struct uuid_source *source, void (*fill)(void *context, uint8_t *bytes, size_t size), void *context);

/* A fresh id as text. Ids of one millisecond are in no order among themselves. */
void uuid7_generate(struct uuid_source *source, uint64_t unix_ms, char out[UUID_TEXT_SIZE]);

#endif
