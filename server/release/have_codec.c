/* Bounds are checked here, so that nobody else has to. */
#include "server/release/have_codec.h"

#include "api/pb.h"
#include "base/err.h"
#include "fs/sync.h"
#include "grid/v1/sync.pb-c.h"

static ProtobufCBinaryData id_bytes(const struct object_id *id)
{
    return pb_bytes(slice_of(id->bytes, sizeof id->bytes));
}

int have_request_pack(const struct have_request *r, struct buf *out)
{
    Grid__V1__HaveRequest message = GRID__V1__HAVE_REQUEST__INIT;
    message.root = id_bytes(&r->root);
    if (r->has_beside)
        message.beside = id_bytes(&r->beside);
    return pb_append(out, &message.base);
}

int have_request_unpack(struct slice packed, struct arena *arena, struct have_request *out)
{
    const Grid__V1__HaveRequest *message = pb_unpack(&grid__v1__have_request__descriptor, arena, packed);
    *out = (struct have_request){0};
    if (!message || object_id_from_slice(pb_slice(message->root), &out->root) != 0)
        return GRID_EPROTO;
    out->has_beside = message->beside.len > 0;
    return out->has_beside && object_id_from_slice(pb_slice(message->beside), &out->beside) != 0 ? GRID_EPROTO : 0;
}

int have_state_pack(const struct have_state *s, struct buf *out)
{
    Grid__V1__HaveState message = GRID__V1__HAVE_STATE__INIT;
    message.whole = s->whole;
    message.maybe = s->maybe;
    message.had = (uint32_t *) (uintptr_t) s->had;
    message.n_had = s->had_count;
    message.bits = pb_bytes(s->bits);
    return pb_append(out, &message.base);
}

int have_state_unpack(struct slice packed, struct arena *arena, struct have_state *out)
{
    const Grid__V1__HaveState *message = pb_unpack(&grid__v1__have_state__descriptor, arena, packed);
    *out = (struct have_state){0};
    if (!message)
        return GRID_EPROTO;
    if (message->bits.len > SYNC_OBJECTS_MAX / 8)
        return GRID_ELIMIT;
    for (size_t i = 0; i < message->n_had; i++)
        if (message->had[i] >= SYNC_OBJECTS_MAX)
            return GRID_ELIMIT;
    *out = (struct have_state){message->whole, message->maybe, message->had, message->n_had, pb_slice(message->bits)};
    return 0;
}
