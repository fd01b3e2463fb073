/* A walk over the embedded FileDescriptorSet. The bytes are protoc's own, so that malformed ones only end the walk. */
#include "api/descriptor.h"

#include "api/pb.h"

extern const unsigned char grid_descriptor_set[];
extern const size_t grid_descriptor_set_size;

/* Field numbers of descriptor.proto. A service's methods have the number of a message's fields. */
enum { SET_FILE = 1, FILE_NAME = 1, FILE_PACKAGE = 2, FILE_DEPENDENCY = 3, FILE_MESSAGE = 4, FILE_ENUM = 5, FILE_SERVICE = 6 };
enum { ELEMENT_NAME = 1, MESSAGE_FIELD = 2, MESSAGE_NESTED = 3, MESSAGE_ENUM = 4, MESSAGE_ONEOF = 8, ENUM_VALUE = 2 };
enum { SYMBOL_DEPTH_MAX = 16 };

/* The next length-delimited field; others are passed over. */
static bool next_field(struct slice *in, unsigned *field, struct slice *value)
{
    uint64_t tag, number;
    while (in->size > 0 && pb_varint_take(in, &tag)) {
        *field = (unsigned) (tag >> 3);
        if ((tag & 7) == 0) {
            if (!pb_varint_take(in, &number))
                return false;
            continue;
        }
        if ((tag & 7) != 2 || !pb_varint_take(in, &number) || number > in->size)
            return false;
        *value = slice_first(*in, (size_t) number);
        *in = slice_from(*in, (size_t) number);
        return true;
    }
    return false;
}

static struct slice field_of(struct slice message, unsigned wanted)
{
    unsigned field;
    struct slice value;
    while (next_field(&message, &field, &value))
        if (field == wanted)
            return value;
    return slice_of(NULL, 0);
}

static struct slice whole_set(void)
{
    return slice_of(grid_descriptor_set, grid_descriptor_set_size);
}

static bool next_file(struct slice *set, struct slice *file)
{
    unsigned field;
    while (next_field(set, &field, file))
        if (field == SET_FILE)
            return true;
    return false;
}

struct slice descriptor_file(struct slice name)
{
    struct slice set = whole_set(), file;
    while (next_file(&set, &file))
        if (slice_equal(field_of(file, FILE_NAME), name))
            return file;
    return slice_of(NULL, 0);
}

/* Takes `name` and the dot behind it off the front of a symbol. */
static bool symbol_enter(struct slice *symbol, struct slice name)
{
    if (name.size == 0 || !slice_has_prefix(*symbol, name))
        return false;
    if (symbol->size == name.size) {
        *symbol = slice_of(NULL, 0);
        return true;
    }
    if (symbol->data[name.size] != '.' || symbol->size == name.size + 1)
        return false;
    *symbol = slice_from(*symbol, name.size + 1);
    return true;
}

/* Is the symbol a value of this enum? Values are named beside their enum, not inside it. */
static bool enum_has_value(struct slice element, struct slice symbol)
{
    unsigned field;
    struct slice child;
    while (next_field(&element, &field, &child))
        if (field == ENUM_VALUE && slice_equal(field_of(child, ELEMENT_NAME), symbol))
            return true;
    return false;
}

/* Does an element (message, enum, service) declare what is left of the symbol? */
static bool element_declares(struct slice element, struct slice symbol, unsigned depth)
{
    unsigned field;
    struct slice child;
    if (!symbol_enter(&symbol, field_of(element, ELEMENT_NAME)))
        return false;
    if (symbol.size == 0)
        return true;
    while (depth < SYMBOL_DEPTH_MAX && next_field(&element, &field, &child)) {
        bool named = field == MESSAGE_FIELD || field == MESSAGE_NESTED || field == MESSAGE_ENUM || field == MESSAGE_ONEOF;
        if ((named && element_declares(child, symbol, depth + 1)) || (field == MESSAGE_ENUM && enum_has_value(child, symbol)))
            return true;
    }
    return false;
}

static bool file_declares(struct slice file, struct slice symbol)
{
    unsigned field;
    struct slice element, package = field_of(file, FILE_PACKAGE);
    if (package.size > 0 && !symbol_enter(&symbol, package))
        return false;
    while (next_field(&file, &field, &element)) {
        bool named = field == FILE_MESSAGE || field == FILE_ENUM || field == FILE_SERVICE;
        if ((named && element_declares(element, symbol, 0)) || (field == FILE_ENUM && enum_has_value(element, symbol)))
            return true;
    }
    return false;
}

struct slice descriptor_file_of_symbol(struct slice symbol)
{
    struct slice set = whole_set(), file;
    while (symbol.size > 0 && next_file(&set, &file))
        if (file_declares(file, symbol))
            return file;
    return slice_of(NULL, 0);
}

static bool is_listed(const struct slice *files, size_t count, struct slice file)
{
    for (size_t i = 0; i < count; i++)
        if (files[i].data == file.data)
            return true;
    return false;
}

size_t descriptor_closure(struct slice file, struct slice out[DESCRIPTOR_FILES_MAX])
{
    size_t count = 0;
    out[count++] = file;
    for (size_t i = 0; i < count; i++) {
        struct slice rest = out[i], name;
        unsigned field;
        while (next_field(&rest, &field, &name)) {
            struct slice dependency = field == FILE_DEPENDENCY ? descriptor_file(name) : slice_of(NULL, 0);
            if (dependency.size > 0 && count < DESCRIPTOR_FILES_MAX && !is_listed(out, count, dependency))
                out[count++] = dependency;
        }
    }
    return count;
}
