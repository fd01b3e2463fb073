/* api/descriptor.h: the descriptors of every proto that this build serves, embedded, for server reflection. Read-only; any thread.
 * The set is google.protobuf.FileDescriptorSet (descriptor.proto), read with a scanner of its own: protobuf-c cannot decode
 * descriptors. */
#ifndef GRID_API_DESCRIPTOR_H
#define GRID_API_DESCRIPTOR_H

#include "base/slice.h"

enum { DESCRIPTOR_FILES_MAX = 32 };

/* The packed FileDescriptorProto of a file such as "grid/v1/invoke.proto"; {NULL, 0} when there is none. Static storage. */
struct slice descriptor_file(struct slice name);

/* The file that declares a fully-qualified service, method, message, field or enum. */
struct slice descriptor_file_of_symbol(struct slice symbol);

/* The file and all it depends on, itself first; returns how many (at most DESCRIPTOR_FILES_MAX). */
size_t descriptor_closure(struct slice file, struct slice out[DESCRIPTOR_FILES_MAX]);

#endif
