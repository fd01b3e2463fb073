/* Deploys on their way. */
#include "cli/progress.h"

#include <inttypes.h>

#include "base/err.h"
#include "base/json.h"
#include "cli/text.h"

enum { ARENA_BLOCK = 8192, WARNINGS_MAX = 256, BAR_WIDTH = 24 };

int progress_init(struct progress *p)
{
    *p = (struct progress){.arena = arena_create(ARENA_BLOCK, 0)};
    if (!p->arena)
        return GRID_ENOMEM;
    p->nodes = arena_calloc(p->arena, PROGRESS_NODES_MAX, sizeof *p->nodes);
    p->warnings = arena_calloc(p->arena, WARNINGS_MAX, sizeof *p->warnings);
    return p->nodes && p->warnings ? 0 : GRID_ENOMEM;
}

void progress_dispose(struct progress *p)
{
    arena_destroy(p->arena);
}

/* The text, kept; what was there before when it is empty. */
static int keep(struct progress *p, ProtobufCBinaryData text, struct slice *out)
{
    if (text.len == 0 || slice_equal(pb_slice(text), *out))
        return 0;
    *out = arena_copy(p->arena, pb_slice(text));
    return out->data ? 0 : GRID_ENOMEM;
}

static int take_node(struct progress *p, const Grid__V1__DeployProgress *report)
{
    size_t i = 0;
    while (i < p->node_count && !slice_equal(p->nodes[i].name, pb_slice(report->node)))
        i++;
    if (i == PROGRESS_NODES_MAX)
        return 0;
    p->nodes[i].is_live = report->live;
    if (i < p->node_count)
        return 0;
    p->node_count++;
    return keep(p, report->node, &p->nodes[i].name);
}

static int take_done(struct progress *p, const Grid__V1__DeployProgress *report)
{
    p->is_done = true;
    p->nodes_live = report->nodes_live;
    p->nodes_total = report->nodes_total;
    p->tasks_failed = arena_calloc(p->arena, report->n_tasks_failed + 1, sizeof *p->tasks_failed);
    int err = p->tasks_failed ? keep(p, report->message, &p->message) : GRID_ENOMEM;
    for (size_t i = 0; err == 0 && i < report->n_tasks_failed; i++)
        err = keep(p, report->tasks_failed[i], &p->tasks_failed[p->task_count++]);
    return err;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

int progress_take(struct progress *p, const Grid__V1__DeployProgress *report)
{
    struct slice phase = pb_slice(report->phase);
    p->files = greater(p->files, report->files_total);
    p->bytes = greater(p->bytes, report->bytes_total);
    p->bytes_saved = greater(p->bytes_saved, report->bytes_saved);
    p->sequence = greater(p->sequence, report->sequence);
    int err = keep(p, report->root, &p->root);
    if (err == 0 && slice_equal_str(phase, "node"))
        err = take_node(p, report);
    if (err == 0 && slice_equal_str(phase, "warning") && p->warning_count < WARNINGS_MAX)
        err = keep(p, report->message, &p->warnings[p->warning_count++]);
    if (err == 0 && slice_equal_str(phase, "done"))
        err = take_done(p, report);
    return err;
}

void progress_bar(const Grid__V1__DeployProgress *report, char out[PROGRESS_LINE_MAX])
{
    char bar[BAR_WIDTH + 1], bytes[TEXT_SHORT_MAX];
    struct slice phase = slice_first(pb_slice(report->phase), 10), node = slice_first(pb_slice(report->node), 40);
    uint64_t total = report->bytes_total ? report->bytes_total : 1;
    uint64_t filled = report->bytes_done >= total ? BAR_WIDTH : report->bytes_done * BAR_WIDTH / total;
    for (size_t i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < filled ? '#' : '-';
    bar[BAR_WIDTH] = '\0';
    text_bytes(report->bytes_done, bytes);
    if (node.size > 0)
        snprintf(out, PROGRESS_LINE_MAX, "%.*s %s", SLICE_FMT(node), report->live ? "runs it" : "is on its way");
    else if (report->bytes_total == 0)
        snprintf(out, PROGRESS_LINE_MAX, "%.*s  %" PRIu64 " files", SLICE_FMT(phase), report->files_done);
    else
        snprintf(out, PROGRESS_LINE_MAX, "%.*s  [%s]  %" PRIu64 "/%" PRIu64 " files  %s", SLICE_FMT(phase), bar, report->files_done,
                 report->files_total, bytes);
}

void progress_append_summary(const struct progress *p, struct buf *out)
{
    char size[TEXT_SHORT_MAX], saved[TEXT_SHORT_MAX];
    text_bytes(p->bytes, size);
    text_bytes(p->bytes_saved, saved);
    buf_append_str(out, "release ");
    text_append_line(out, slice_first(p->root, 8));
    buf_printf(out, " (number %" PRIu64 ") is live on %u of %u nodes", p->sequence, p->nodes_live, p->nodes_total);
    if (p->files > 0)
        buf_printf(out, ": %" PRIu64 " files, %s", p->files, size);
    if (p->bytes_saved > 0)
        buf_printf(out, ", %s of it already there", p->bytes_saved < p->bytes ? saved : "all"); /* folders' listings count too */
    buf_append_byte(out, '\n');
}

void progress_append_waiting(const struct progress *p, struct buf *out)
{
    size_t found = 0;
    for (size_t i = 0; i < p->node_count; i++) {
        if (p->nodes[i].is_live)
            continue;
        buf_append_str(out, found++ ? ", " : "");
        buf_append(out, p->nodes[i].name);
    }
}

void progress_append_failed(const struct progress *p, struct buf *out)
{
    for (size_t i = 0; i < p->task_count; i++) {
        buf_append_str(out, i ? ", " : "");
        buf_append(out, p->tasks_failed[i]);
    }
}

static void write_list(struct json_writer *w, const char *key, const struct slice *list, size_t count)
{
    json_write_key(w, key);
    json_open_array(w);
    for (size_t i = 0; i < count; i++)
        json_write_string(w, list[i]);
    json_close_array(w);
}

static void write_nodes(struct json_writer *w, const struct progress *p, const char *key, bool live)
{
    json_write_key(w, key);
    json_open_array(w);
    for (size_t i = 0; i < p->node_count; i++)
        if (p->nodes[i].is_live == live)
            json_write_string(w, p->nodes[i].name);
    json_close_array(w);
}

static void write_number(struct json_writer *w, const char *key, uint64_t value)
{
    json_write_key(w, key);
    json_write_uint(w, value);
}

void progress_append_json(const struct progress *p, struct buf *out)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_open_object(&w);
    json_write_key(&w, "root");
    json_write_string(&w, p->root);
    write_number(&w, "sequence", p->sequence);
    write_number(&w, "files", p->files);
    write_number(&w, "size_bytes", p->bytes);
    write_number(&w, "saved_bytes", p->bytes_saved);
    write_number(&w, "nodes_live", p->nodes_live);
    write_number(&w, "nodes_total", p->nodes_total);
    write_nodes(&w, p, "live", true);
    write_nodes(&w, p, "waiting", false);
    write_list(&w, "tasks_failed", p->tasks_failed, p->task_count);
    write_list(&w, "warnings", p->warnings, p->warning_count);
    json_close_object(&w);
    json_writer_finish(&w);
    buf_append_byte(out, '\n');
}
