/* Four bytes: the body's tag and length, the plane's tag and number. */
#include "discovery/gossip_turn.h"

#include "api/pb_reader.h"

enum { FIELD_TURN = 14, FIELD_PLANE = 1, WIRE_CALLS = 1, WIRE_CONTROL = 2 };

int gossip_turn_pack(enum gossip_plane plane, struct buf *out)
{
    const uint8_t bytes[] = {PB_TAG_BYTES(FIELD_TURN), 2, PB_TAG_NUMBER(FIELD_PLANE), plane == GOSSIP_PLANE_CALLS ? WIRE_CALLS : WIRE_CONTROL};
    return buf_append(out, slice_of(bytes, sizeof bytes));
}

bool gossip_turn_unpack(struct slice frame, enum gossip_plane *plane)
{
    struct pb_reader whole = pb_reader_of(frame);
    struct slice inside;
    if (!pb_reader_inside(&whole, PB_TAG_BYTES(FIELD_TURN), &inside) || !pb_reader_done(&whole))
        return false;
    struct pb_reader turn = pb_reader_of(inside);
    uint64_t number = pb_reader_number(&turn, PB_TAG_NUMBER(FIELD_PLANE), WIRE_CONTROL);
    if (!pb_reader_done(&turn) || number < WIRE_CALLS)
        return false;
    *plane = number == WIRE_CALLS ? GOSSIP_PLANE_CALLS : GOSSIP_PLANE_CONTROL;
    return true;
}
