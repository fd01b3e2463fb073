/* The driver of a deploy: reports read, bars drawn on a terminal's stderr, the end told. */
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/node_link.h"
#include "cli/progress.h"
#include "cli/text.h"

enum { ARENA_BLOCK = 4096, COLUMNS_DEFAULT = 80 };

struct deployment {
    const struct cli *cli;
    struct progress progress;
    struct arena *scratch;
    size_t lines; /* that stand on the terminal, above its cursor */
};

static size_t terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS_DEFAULT;
}

/* A sentence's commands, as they reach the node that was asked: of --api where it was given. Borrowed from the arena. */
static const char *hint(struct deployment *d, struct slice sentence)
{
    struct buf out;
    buf_init(&out, 0);
    text_append_hint(&out, sentence, option_string(d->cli->options, "api"));
    const char *text = arena_printf(d->scratch, "%.*s", SLICE_FMT(buf_slice(&out)));
    buf_dispose(&out);
    return text ? text : "out of memory";
}

static void wipe_lines(struct deployment *d)
{
    if (d->lines > 0)
        fprintf(stderr, "\x1b[%zuA\r\x1b[J", d->lines);
    d->lines = 0;
}

static void draw_lines(struct deployment *d)
{
    struct buf out;
    if (!d->cli->err_is_terminal || cli_wants_json(d->cli))
        return;
    buf_init(&out, 0);
    size_t lines = progress_append_lines(&d->progress, terminal_columns() - 1, &out);
    wipe_lines(d);
    d->lines = lines;
    fprintf(stderr, "%.*s", SLICE_FMT(buf_slice(&out)));
    fflush(stderr);
    buf_dispose(&out);
}

static void tell(struct deployment *d, const Grid__V1__DeployProgress *report)
{
    if (slice_equal_str(pb_slice(report->phase), "warning")) {
        wipe_lines(d);
        cli_fail(GRID_DONE, "warning: %s", hint(d, pb_slice(report->message)));
    }
    draw_lines(d);
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

static int explain_tasks(struct deployment *d)
{
    struct buf names;
    buf_init(&names, 0);
    progress_append_failed(&d->progress, &names);
    cli_fail(GRID_IN_PART, "the release is live, but without what cannot be started (%.*s): %s", SLICE_FMT(buf_slice(&names)),
             hint(d, SLICE("\"grid logs\" tells why, \"grid rollback\" goes back")));
    buf_dispose(&names);
    return GRID_IN_PART;
}

static int explain_part(struct deployment *d)
{
    struct buf names;
    buf_init(&names, 0);
    progress_append_waiting(&d->progress, &names);
    cli_fail(GRID_IN_PART, "not live yet on %.*s: the release goes on there; %s",
             SLICE_FMT(names.size ? buf_slice(&names) : SLICE("some nodes")), hint(d, SLICE("\"grid list\" shows when it is")));
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
        wipe_lines(&d);
    }
    if (code == GRID_DONE)
        code = conclude(&d);
    arena_destroy(d.scratch);
    progress_dispose(&d.progress);
    return code;
}
