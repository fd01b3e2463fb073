/* cli/reading.h: what list, tasks, ps, processing and releases share: a question to the node whose answer is a list. */
#ifndef GRID_CLI_READING_H
#define GRID_CLI_READING_H

#include "api/pb.h"
#include "cli/cli.h"
#include "cli/table.h"

struct reading {
    const char *method; /* of grid.v1.Control */
    const ProtobufCMessageDescriptor *answer;
    const char *field; /* the answer's repeated field */
    const struct table_column *columns;
    size_t column_count;
    /* Adds one row for a message of the field's type; `now_ms` is Unix time. */
    void (*add_row)(struct table *t, const void *item, int64_t now_ms);
    const char *when_empty; /* said on stderr instead of an empty table */
};

/* Asks, and prints a table or, with --json, an array of the items. An exit code. */
int reading_show(struct cli *cli, const struct reading *r, const ProtobufCMessage *request);

/* The pure halves. 0, GRID_ELIMIT or GRID_ENOMEM. */
int reading_write_json(const struct reading *r, const ProtobufCMessage *answer, struct buf *out);
int reading_write_table(const struct reading *r, const ProtobufCMessage *answer, int64_t now_ms, bool has_colour, struct buf *out);

/* Adds a cell: why something is not ready, and when it is tried again (Unix time, 0: not waited for). */
void reading_add_reason(struct table *t, ProtobufCBinaryData reason, int64_t next_start_at_ms, int64_t now_ms);

/* Unix time. */
int64_t reading_now_ms(void);

/* First digits of an id or root, enough to tell it from others. */
struct slice reading_short_id(ProtobufCBinaryData id);

#endif
