/* discovery/member_quick.h: records, seals and loads in the form that member.c packs them in, read without the general coder, which looks up each field in a table and takes
 * memory for each message. Texts are not looked at, numbers are within their types. False for every other form (fields unknown, twice or in another order, of a newer
 * version): the general decoder is to judge it. No state; what is read points into the bytes that it was read from. */
#ifndef GRID_DISCOVERY_MEMBER_QUICK_H
#define GRID_DISCOVERY_MEMBER_QUICK_H

#include "api/pb_reader.h"
#include "discovery/member.h"
#include "grid/v1/peer.pb-c.h"

struct member_quick {
    Grid__V1__Member message; /* without its base; its lists are: */
    ProtobufCBinaryData addresses[MEMBER_ADDRESSES_MAX], capabilities[MEMBER_CAPABILITIES_MAX];
};

/* Also false for more addresses or capabilities than there is room for. `out` must stay where it is. */
bool member_quick_read(struct slice record, struct member_quick *out);

bool member_quick_read_seal(struct slice sealed, struct member_seal *out);

struct member_quick_load {
    Grid__V1__Load message; /* without its base and its tasks */
    size_t task_count;
    struct pb_reader tasks; /* those that are left to be taken */
};

bool member_quick_read_load(struct slice packed, struct member_quick_load *out);
/* To be called task_count times. */
void member_quick_next_task(struct member_quick_load *load, Grid__V1__TaskReady *out);

#endif
