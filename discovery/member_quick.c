/* Field after field, in the order of their numbers (api/proto/grid/v1/peer.proto). */
#include "discovery/member_quick.h"

static ProtobufCBinaryData take_bytes(struct pb_reader *r, unsigned field)
{
    struct slice inside;
    (void) pb_reader_inside(r, PB_TAG_BYTES(field), &inside);
    return pb_bytes(inside);
}

static uint64_t take_u64(struct pb_reader *r, unsigned field)
{
    return pb_reader_number(r, PB_TAG_NUMBER(field), UINT64_MAX);
}

static uint32_t take_u32(struct pb_reader *r, unsigned field)
{
    return (uint32_t) pb_reader_number(r, PB_TAG_NUMBER(field), UINT32_MAX);
}

static bool take_bool(struct pb_reader *r, unsigned field)
{
    return pb_reader_number(r, PB_TAG_NUMBER(field), 1) != 0;
}

/* As many as there are, or one more than there is room for. */
static size_t take_list(struct pb_reader *r, unsigned field, size_t max, ProtobufCBinaryData *out)
{
    struct slice inside;
    size_t count = 0;
    for (; pb_reader_inside(r, PB_TAG_BYTES(field), &inside); count++) {
        if (count == max) {
            r->fine = false;
            break;
        }
        out[count] = pb_bytes(inside);
    }
    return count;
}

bool member_quick_read(struct slice record, struct member_quick *out)
{
    struct pb_reader r = pb_reader_of(record);
    Grid__V1__Member *m = &out->message;
    m->id = take_bytes(&r, 1);
    m->incarnation = take_u64(&r, 2);
    m->leaving = take_bool(&r, 3);
    m->name = take_bytes(&r, 4);
    m->n_addresses = take_list(&r, 5, MEMBER_ADDRESSES_MAX, out->addresses);
    m->addresses = out->addresses;
    m->api_port = take_u32(&r, 6);
    m->hostname = take_bytes(&r, 7);
    m->platform = take_bytes(&r, 8);
    m->user = take_bytes(&r, 9);
    m->version = take_bytes(&r, 10);
    m->started_at_ms = (int64_t) take_u64(&r, 11);
    m->revision = take_u64(&r, 12);
    m->release = take_bytes(&r, 13);
    m->synchronized = take_bool(&r, 15);
    m->n_capabilities = take_list(&r, 16, MEMBER_CAPABILITIES_MAX, out->capabilities);
    m->capabilities = out->capabilities;
    m->release_sequence = take_u64(&r, 17);
    m->release_publisher = take_bytes(&r, 18);
    m->release_fetched_bytes = take_u64(&r, 19);
    return pb_reader_done(&r);
}

bool member_quick_read_seal(struct slice sealed, struct member_seal *out)
{
    struct pb_reader r = pb_reader_of(sealed);
    out->record = pb_slice(take_bytes(&r, 1));
    out->certificate = pb_slice(take_bytes(&r, 2));
    out->signature = pb_slice(take_bytes(&r, 3));
    return pb_reader_done(&r);
}

static bool read_task(struct slice packed, Grid__V1__TaskReady *out)
{
    struct pb_reader r = pb_reader_of(packed);
    out->task = take_bytes(&r, 1);
    out->instances = take_u32(&r, 2);
    out->fault = take_bytes(&r, 3);
    out->renewing = take_bool(&r, 4);
    return pb_reader_done(&r);
}

bool member_quick_read_load(struct slice packed, struct member_quick_load *out)
{
    struct pb_reader r = pb_reader_of(packed);
    Grid__V1__TaskReady task;
    struct slice inside;
    out->message.in_flight = take_u32(&r, 1);
    out->message.cpu_percent = take_u32(&r, 2);
    out->message.queued = take_u32(&r, 3);
    out->message.started_at_ms = (int64_t) take_u64(&r, 4);
    out->message.revision = take_u64(&r, 5);
    out->tasks = r;
    for (out->task_count = 0; pb_reader_inside(&r, PB_TAG_BYTES(6), &inside); out->task_count++)
        r.fine &= read_task(inside, &task);
    out->message.release_sequence = take_u64(&r, 7);
    return pb_reader_done(&r);
}

void member_quick_next_task(struct member_quick_load *load, Grid__V1__TaskReady *out)
{
    struct slice inside;
    (void) pb_reader_inside(&load->tasks, PB_TAG_BYTES(6), &inside);
    (void) read_task(inside, out);
}
