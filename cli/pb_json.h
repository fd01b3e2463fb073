/* cli/pb_json.h: messages of the API as JSON, by their descriptors: every field under its name in the .proto, numbers as numbers, bytes as
 * strings (the protos' strings are bytes here), enums by name, lists of StringPair as objects. Pure. */
#ifndef GRID_CLI_PB_JSON_H
#define GRID_CLI_PB_JSON_H

#include "api/pb.h"
#include "base/json.h"

/* Writes one value: the message as an object. Fields of a oneof only when set; an absent message is null. */
void pb_json_write(struct json_writer *w, const ProtobufCMessage *message);

/* The repeated message field `name`: its items and their number. */
ProtobufCMessage *const *pb_repeated(const ProtobufCMessage *message, const char *name, size_t *out_count);

#endif
