/* What a node says it has of a release, and the question, unpacked, packed again and the same; numbers stay within what a release can have. */
// links: server_release
// covers: server/release/have_codec.c
#include <stdlib.h>
#include <string.h>

#include "fs/sync.h"
#include "server/release/have_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(struct arena *arena, const struct have_request *r)
{
    struct have_request again;
    struct buf packed;
    buf_init(&packed, 0);
    if (have_request_pack(r, &packed) != 0 || have_request_unpack(buf_slice(&packed), arena, &again) != 0)
        abort();
    if (!object_id_equal(&r->root, &again.root) || r->has_beside != again.has_beside || !object_id_equal(&r->beside, &again.beside))
        abort();
    buf_dispose(&packed);
}

static void check_state(struct arena *arena, const struct have_state *s)
{
    struct have_state again;
    struct buf packed;
    buf_init(&packed, 0);
    for (size_t i = 0; i < s->had_count; i++)
        if (s->had[i] >= SYNC_OBJECTS_MAX)
            abort();
    if (s->bits.size * 8 > SYNC_OBJECTS_MAX || have_state_pack(s, &packed) != 0 || have_state_unpack(buf_slice(&packed), arena, &again) != 0)
        abort();
    if (s->whole != again.whole || s->maybe != again.maybe || s->had_count != again.had_count || !slice_equal(s->bits, again.bits) ||
        (s->had_count > 0 && memcmp(s->had, again.had, s->had_count * sizeof *s->had) != 0))
        abort();
    buf_dispose(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(4096, 8 * 1024 * 1024);
    struct have_request request;
    struct have_state state;
    if (!arena)
        return 0;
    if (have_request_unpack(slice_of(data, size), arena, &request) == 0)
        check_request(arena, &request);
    if (have_state_unpack(slice_of(data, size), arena, &state) == 0)
        check_state(arena, &state);
    arena_destroy(arena);
    return 0;
}
