/* The driver of a deploy: reports read, bars drawn on a terminal's stderr, the end told. */
#include "base/err.h"
#include "cli/node_link.h"
#include "cli/progress.h"
#include "cli/text.h"

enum { ARENA_BLOCK = 4096 };

struct deployment {
    const struct cli *cli;
    struct progress progress;
    struct arena *scratch;
    bool has_bar; /* a bar stands on the terminal's line */
};

static void wipe_bar(struct deployment *d)
{
    if (d->has_bar)
        fputs("\r\x1b[K", stderr);
    d->has_bar = false;
}

static void draw_bar(struct deployment *d, const Grid__V1__DeployProgress *report)
{
    char line[PROGRESS_LINE_MAX];
    struct buf safe;
    if (!d->cli->err_is_terminal || cli_wants_json(d->cli))
        return;
    progress_bar(report, line);
    buf_init(&safe, 0);
    text_append_line(&safe, slice_of_str(line));
    fprintf(stderr, "\r\x1b[K%.*s", SLICE_FMT(slice_first(buf_slice(&safe), 78)));
    fflush(stderr);
    buf_dispose(&safe);
    d->has_bar = true;
}

static void tell(struct deployment *d, const Grid__V1__DeployProgress *report)
{
    struct slice phase = pb_slice(report->phase);
    if (slice_equal_str(phase, "warning")) {
        wipe_bar(d);
        cli_fail(GRID_DONE, "warning: %.*s", SLICE_FMT(pb_slice(report->message)));
    } else if (!slice_equal_str(phase, "done")) {
        draw_bar(d, report);
    }
}

static bool on_message(void *ctx, const void *message, size_t size)
{
    struct deployment *d = ctx;
    arena_reset(d->scratch);
    Grid__V1__DeployProgress *report = pb_unpack(&grid__v1__deploy_progress__descriptor, d->scratch, slice_of(message, size));
    if (!report || progress_take(&d->progress, report) != 0)
        return false;
    tell(d, report);
    return true;
}

/* Which nodes lag, when the reports did not say: those that the members' list shows as not synchronized. */
static void ask_who_waits(struct deployment *d)
{
    Grid__V1__ListNodesRequest request = GRID__V1__LIST_NODES_REQUEST__INIT;
    Grid__V1__ListNodesResponse *answer;
    void *found;
    if (node_ask((struct cli *) (uintptr_t) d->cli, "ListNodes", &request.base, &grid__v1__list_nodes_response__descriptor, d->scratch,
                 &found) != GRID_DONE)
        return;
    answer = found;
    for (size_t i = 0; i < answer->n_nodes; i++) {
        Grid__V1__DeployProgress report = GRID__V1__DEPLOY_PROGRESS__INIT;
        report.phase = pb_str("node");
        report.node = answer->nodes[i]->name;
        report.live = answer->nodes[i]->synchronized;
        progress_take(&d->progress, &report);
    }
}

static int explain_tasks(const struct deployment *d)
{
    struct buf names;
    buf_init(&names, 0);
    progress_append_failed(&d->progress, &names);
    cli_fail(GRID_IN_PART, "the release is live, but without what cannot be started (%.*s): grid logs tells why, grid rollback goes back", SLICE_FMT(buf_slice(&names)));
    buf_dispose(&names);
    return GRID_IN_PART;
}

static int explain_part(struct deployment *d)
{
    struct buf names;
    buf_init(&names, 0);
    progress_append_waiting(&d->progress, &names);
    cli_fail(GRID_IN_PART, "not live yet on %.*s: the release goes on there; grid list shows when it is",
             SLICE_FMT(names.size ? buf_slice(&names) : SLICE("some nodes")));
    buf_dispose(&names);
    return GRID_IN_PART;
}

static int conclude(struct deployment *d)
{
    struct buf out;
    const struct progress *p = &d->progress;
    bool in_part = p->nodes_live < p->nodes_total;
    if (!p->is_done)
        return cli_fail(GRID_FAILED, "the node ended its report before the release was done: grid releases shows what is live");
    buf_init(&out, 0);
    if (in_part) {
        progress_append_waiting(p, &out);
        if (out.size == 0)
            ask_who_waits(d);
        buf_clear(&out);
    }
    if (cli_wants_json(d->cli))
        progress_append_json(p, &out);
    else
        progress_append_summary(p, &out);
    int code = cli_write_buf(&out);
    if (p->task_count > 0)
        code = explain_tasks(d);
    return in_part ? explain_part(d) : code;
}

int progress_run(struct cli *cli, const char *method, const ProtobufCMessage *request)
{
    struct deployment d = {.cli = cli, .scratch = arena_create(ARENA_BLOCK, 0)};
    int code = progress_init(&d.progress) == 0 && d.scratch ? GRID_DONE : cli_fail(GRID_FAILED, "out of memory");
    if (code == GRID_DONE)
        code = node_link_open(cli);
    if (code == GRID_DONE) {
        code = node_follow(cli, method, request, on_message, &d);
        wipe_bar(&d);
    }
    if (code == GRID_DONE)
        code = conclude(&d);
    arena_destroy(d.scratch);
    progress_dispose(&d.progress);
    return code;
}
