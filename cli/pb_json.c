/* Messages as JSON. */
#include "cli/pb_json.h"

#include <assert.h>

/* Where a field's value lies, typed by the descriptor. Any misfit would be the generator's. */
static const void *member(const void *base, size_t offset)
{
    return (const char *) base + offset;
}

static void write_enum(struct json_writer *w, const ProtobufCFieldDescriptor *field, int value)
{
    const ProtobufCEnumValue *known = protobuf_c_enum_descriptor_get_value(field->descriptor, value);
    if (known)
        json_write_str(w, known->name);
    else
        json_write_int(w, value);
}

static void write_value(struct json_writer *w, const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        json_write_bool(w, *(const protobuf_c_boolean *) at != 0);
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        json_write_int(w, *(const int32_t *) at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        json_write_uint(w, *(const uint32_t *) at);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        json_write_int(w, *(const int64_t *) at);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        json_write_uint(w, *(const uint64_t *) at);
        break;
    case PROTOBUF_C_TYPE_ENUM:
        write_enum(w, field, *(const int *) at);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        json_write_string(w, pb_slice(*(const ProtobufCBinaryData *) at));
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        pb_json_write(w, *(ProtobufCMessage *const *) at);
        break;
    default: /* the protos use no others */
        json_write_null(w);
    }
}

static size_t value_size(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(ProtobufCMessage *);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return sizeof(int64_t);
    default:
        return sizeof(int32_t);
    }
}

static bool is_pair(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_MESSAGE &&
           strcmp(((const ProtobufCMessageDescriptor *) field->descriptor)->name, "grid.v1.StringPair") == 0;
}

static void write_pairs(struct json_writer *w, const char *items, size_t count)
{
    json_open_object(w);
    for (size_t i = 0; i < count; i++) {
        const ProtobufCMessage *pair = ((ProtobufCMessage *const *) (const void *) items)[i];
        const ProtobufCFieldDescriptor *fields = pair->descriptor->fields;
        json_write_key_slice(w, pb_slice(*(const ProtobufCBinaryData *) member(pair, fields[0].offset)));
        json_write_string(w, pb_slice(*(const ProtobufCBinaryData *) member(pair, fields[1].offset)));
    }
    json_close_object(w);
}

static void write_repeated(struct json_writer *w, const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
    size_t count = *(const size_t *) member(message, field->quantifier_offset);
    const char *items = *(const char *const *) member(message, field->offset);
    if (is_pair(field)) {
        write_pairs(w, items, count);
        return;
    }
    json_open_array(w);
    for (size_t i = 0; i < count; i++)
        write_value(w, field, items + i * value_size(field));
    json_close_array(w);
}

static bool is_unset_oneof(const ProtobufCFieldDescriptor *field, const ProtobufCMessage *message)
{
    return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
           *(const uint32_t *) member(message, field->quantifier_offset) != field->id;
}

void pb_json_write(struct json_writer *w, const ProtobufCMessage *message)
{
    if (!message) {
        json_write_null(w);
        return;
    }
    json_open_object(w);
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (is_unset_oneof(field, message))
            continue;
        json_write_key(w, field->name);
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            write_repeated(w, field, message);
        else
            write_value(w, field, member(message, field->offset));
    }
    json_close_object(w);
}

ProtobufCMessage *const *pb_repeated(const ProtobufCMessage *message, const char *name, size_t *out_count)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    assert(field && field->label == PROTOBUF_C_LABEL_REPEATED && field->type == PROTOBUF_C_TYPE_MESSAGE);
    *out_count = *(const size_t *) member(message, field->quantifier_offset);
    return *(ProtobufCMessage *const *const *) member(message, field->offset);
}
