/* Deploys on their way. */
#include "cli/progress.h"

#include <inttypes.h>

#include "base/err.h"
#include "base/json.h"
#include "cli/text.h"

enum { ARENA_BLOCK = 8192, WARNINGS_MAX = 256, BAR_WIDTH = 24, NAME_WIDTH = 24, NODES_SHOWN_MAX = PROGRESS_LINES_MAX - 3, ROW_MAX = 512 };

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

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int take_node(struct progress *p, const Grid__V1__DeployProgress *report)
{
    size_t i = 0;
    while (i < p->node_count && !slice_equal(p->nodes[i].name, pb_slice(report->node)))
        i++;
    if (i == PROGRESS_NODES_MAX)
        return 0;
    p->nodes[i].is_live = report->live;
    p->nodes[i].bytes_fetched = greater(p->nodes[i].bytes_fetched, report->bytes_fetched);
    p->nodes[i].bytes_wanted = report->bytes_wanted;
    int err = keep(p, report->state, &p->nodes[i].state);
    if (i < p->node_count || err != 0)
        return err;
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

int progress_take(struct progress *p, const Grid__V1__DeployProgress *report)
{
    struct slice phase = pb_slice(report->phase);
    p->files = greater(p->files, report->files_total);
    p->files_done = greater(p->files_done, report->files_done);
    p->bytes = greater(p->bytes, report->bytes_total);
    p->bytes_done = greater(p->bytes_done, report->bytes_done);
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

/* ---- on a terminal ---- */

static bool is_gone(const struct progress_node *n)
{
    return slice_equal_str(n->state, "gone");
}

/* As much of a line as there is room for; what nodes are called moves no cursor. */
static void append_shown(struct buf *out, struct slice line, size_t columns)
{
    struct buf safe;
    buf_init(&safe, 0);
    text_append_line(&safe, line);
    struct slice shown = buf_slice(&safe);
    while (text_width(shown) > columns)
        shown.size--;
    while (shown.size > 0 && !slice_is_utf8(shown)) /* a character may have been cut */
        shown.size--;
    buf_append(out, shown);
    buf_append_byte(out, '\n');
    buf_dispose(&safe);
}

static void draw_bar(uint64_t done, uint64_t total, char out[BAR_WIDTH + 1])
{
    uint64_t filled = done >= total ? BAR_WIDTH : done * BAR_WIDTH / total;
    for (size_t i = 0; i < BAR_WIDTH; i++)
        out[i] = i < filled ? '#' : '-';
    out[BAR_WIDTH] = '\0';
}

/* Files and bytes on their way into the store; nothing for a rollback, where none are. */
static size_t append_stored(const struct progress *p, size_t columns, struct buf *out)
{
    char bar[BAR_WIDTH + 1], bytes[TEXT_SHORT_MAX], saved[TEXT_SHORT_MAX], line[ROW_MAX];
    if (p->files_done == 0 && p->files == 0)
        return 0;
    draw_bar(p->bytes_done, p->bytes, bar);
    text_bytes(p->bytes_done, bytes);
    text_bytes(p->bytes_saved, saved);
    snprintf(line, sizeof line, "store     [%s]  %" PRIu64 "/%" PRIu64 " files  %s, %s of it already there", bar, p->files_done, p->files, bytes, saved);
    append_shown(out, slice_of_str(line), columns);
    return 1;
}

static void describe_fetch(const struct progress_node *n, char out[ROW_MAX])
{
    char bar[BAR_WIDTH + 1], fetched[TEXT_SHORT_MAX], all[TEXT_SHORT_MAX];
    uint64_t total = n->bytes_fetched + n->bytes_wanted;
    draw_bar(n->bytes_fetched, total, bar);
    text_bytes(n->bytes_fetched, fetched);
    text_bytes(total, all);
    if (total == 0)
        snprintf(out, ROW_MAX, "fetching");
    else
        snprintf(out, ROW_MAX, "[%s]  fetching, %s of %s", bar, fetched, all);
}

static void describe_start(const struct progress_node *n, char out[ROW_MAX])
{
    char fetched[TEXT_SHORT_MAX];
    text_bytes(n->bytes_fetched, fetched);
    snprintf(out, ROW_MAX, "starting its tasks%s%s%s", n->bytes_fetched ? ", " : "", n->bytes_fetched ? fetched : "", n->bytes_fetched ? " fetched" : "");
}

static size_t append_node(const struct progress_node *n, size_t columns, struct buf *out)
{
    char line[ROW_MAX + 64], words[ROW_MAX];
    if (slice_equal_str(n->state, "starting"))
        describe_start(n, words);
    else
        describe_fetch(n, words);
    snprintf(line, sizeof line, "%-*.*s  %s", 8, (int) (n->name.size < NAME_WIDTH ? n->name.size : NAME_WIDTH), (const char *) n->name.data, words);
    append_shown(out, slice_of_str(line), columns);
    return 1;
}

/* How many are live, then those that are not. */
static size_t append_nodes(const struct progress *p, size_t columns, struct buf *out)
{
    char bar[BAR_WIDTH + 1], line[ROW_MAX];
    size_t live = 0, total = 0, shown = 1;
    for (size_t i = 0; i < p->node_count; i++) {
        live += p->nodes[i].is_live;
        total += !is_gone(&p->nodes[i]);
    }
    if (total == 0)
        return 0;
    draw_bar(live, total, bar);
    snprintf(line, sizeof line, "live      [%s]  %zu of %zu nodes", bar, live, total);
    append_shown(out, slice_of_str(line), columns);
    for (size_t i = 0; i < p->node_count && shown <= NODES_SHOWN_MAX; i++)
        if (!p->nodes[i].is_live && !is_gone(&p->nodes[i]))
            shown += append_node(&p->nodes[i], columns, out);
    if (total - live <= NODES_SHOWN_MAX)
        return shown;
    snprintf(line, sizeof line, "and %zu more", total - live - NODES_SHOWN_MAX);
    append_shown(out, slice_of_str(line), columns);
    return shown + 1;
}

size_t progress_append_lines(const struct progress *p, size_t columns, struct buf *out)
{
    size_t stored = append_stored(p, columns, out);
    return stored + append_nodes(p, columns, out);
}

/* ---- the end ---- */

/* What travelled between nodes. */
static void append_fetched(const struct progress *p, struct buf *out)
{
    char bytes[TEXT_SHORT_MAX];
    uint64_t sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < p->node_count; i++) {
        sum += p->nodes[i].bytes_fetched;
        count += p->nodes[i].bytes_fetched > 0;
    }
    text_bytes(sum, bytes);
    if (count > 0)
        buf_printf(out, ", %s fetched by %zu node%s", bytes, count, count == 1 ? "" : "s");
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
    append_fetched(p, out);
    buf_append_byte(out, '\n');
}

void progress_append_waiting(const struct progress *p, struct buf *out)
{
    size_t found = 0;
    for (size_t i = 0; i < p->node_count; i++) {
        if (p->nodes[i].is_live || is_gone(&p->nodes[i]))
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
        if (p->nodes[i].is_live == live && !is_gone(&p->nodes[i]))
            json_write_string(w, p->nodes[i].name);
    json_close_array(w);
}

static void write_number(struct json_writer *w, const char *key, uint64_t value)
{
    json_write_key(w, key);
    json_write_uint(w, value);
}

static void write_fetched(struct json_writer *w, const struct progress *p)
{
    json_write_key(w, "fetched_bytes");
    json_open_object(w);
    for (size_t i = 0; i < p->node_count; i++) {
        if (is_gone(&p->nodes[i]))
            continue;
        json_write_key_slice(w, p->nodes[i].name);
        json_write_uint(w, p->nodes[i].bytes_fetched);
    }
    json_close_object(w);
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
    write_fetched(&w, p);
    write_list(&w, "tasks_failed", p->tasks_failed, p->task_count);
    write_list(&w, "warnings", p->warnings, p->warning_count);
    json_close_object(&w);
    json_writer_finish(&w);
    buf_append_byte(out, '\n');
}
