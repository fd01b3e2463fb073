/* Lists: asked, then shown as table or JSON. */
#include "cli/reading.h"

#include <time.h>

#include "base/err.h"
#include "base/json.h"
#include "cli/node_link.h"
#include "cli/pb_json.h"

enum { ARENA_BLOCK = 16 * 1024, SHORT_ID = 8 };

struct slice reading_short_id(ProtobufCBinaryData id)
{
    return slice_first(pb_slice(id), SHORT_ID);
}

void reading_add_reason(struct table *t, ProtobufCBinaryData reason, int64_t next_start_at_ms, int64_t now_ms)
{
    long long seconds = next_start_at_ms > now_ms ? (long long) (next_start_at_ms - now_ms + 999) / 1000 : 0;
    if (next_start_at_ms)
        table_addf(t, "%.*s (started again in %lld s)", SLICE_FMT(pb_slice(reason)), seconds);
    else
        table_add(t, pb_slice(reason));
}

int reading_write_json(const struct reading *r, const ProtobufCMessage *answer, struct buf *out)
{
    struct json_writer w;
    size_t count;
    ProtobufCMessage *const *items = pb_repeated(answer, r->field, &count);
    json_writer_init(&w, out);
    json_open_array(&w);
    for (size_t i = 0; i < count; i++)
        pb_json_write(&w, items[i]);
    json_close_array(&w);
    int err = json_writer_finish(&w);
    return err ? err : buf_append_byte(out, '\n');
}

int reading_write_table(const struct reading *r, const ProtobufCMessage *answer, int64_t now_ms, bool has_colour, struct buf *out)
{
    struct table table;
    size_t count;
    ProtobufCMessage *const *items = pb_repeated(answer, r->field, &count);
    struct arena *arena = arena_create(ARENA_BLOCK, 0);
    if (!arena)
        return GRID_ENOMEM;
    table_init(&table, r->columns, r->column_count, arena);
    for (size_t i = 0; i < count; i++)
        r->add_row(&table, items[i], now_ms);
    int err = table_render(&table, has_colour, out);
    arena_destroy(arena);
    return err;
}

int64_t reading_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int show(struct cli *cli, const struct reading *r, const ProtobufCMessage *answer)
{
    struct buf out;
    size_t count;
    pb_repeated(answer, r->field, &count);
    if (count == 0 && !cli_wants_json(cli)) {
        fprintf(stderr, "%s\n", r->when_empty);
        return GRID_DONE;
    }
    buf_init(&out, 0);
    int err = cli_wants_json(cli) ? reading_write_json(r, answer, &out)
                                  : reading_write_table(r, answer, reading_now_ms(), cli->out_has_colour, &out);
    if (err == 0)
        return cli_write_buf(&out);
    buf_dispose(&out);
    return cli_fail(GRID_FAILED, "the answer cannot be shown: %s", grid_err_text(err));
}

int reading_show(struct cli *cli, const struct reading *r, const ProtobufCMessage *request)
{
    void *answer;
    struct arena *arena = arena_create(ARENA_BLOCK, 0);
    int code = arena ? node_ask(cli, r->method, request, r->answer, arena, &answer) : cli_fail(GRID_FAILED, "out of memory");
    if (code == GRID_DONE)
        code = show(cli, r, answer);
    arena_destroy(arena);
    return code;
}
