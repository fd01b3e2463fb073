/* grid rotate: replaces the grid's authority, phase by phase, and tells how far it is. */
#include <time.h>

#include "cli/node_link.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

enum { POLL_MS = 250, ID_SHOWN = 8 };

static void tell(const Grid__V1__RotateResponse *r)
{
    struct buf line;
    buf_init(&line, 0);
    buf_printf(&line, "%.*s: authority %.*s", SLICE_FMT(pb_slice(r->phase)), SLICE_FMT(slice_first(pb_slice(r->authority), ID_SHOWN)));
    for (size_t i = 0; i < r->n_missing; i++)
        buf_printf(&line, "%s %.*s", i == 0 ? "; waits for" : ",", SLICE_FMT(pb_slice(r->missing[i])));
    cli_say("%.*s", SLICE_FMT(buf_slice(&line)));
    buf_dispose(&line);
}

/* How far it is, as it was last told. */
struct progress_told {
    size_t missing, phase;
    bool done;
};

/* A new line where something has changed. */
static int take(void *ctx, const void *answer)
{
    const Grid__V1__RotateResponse *r = answer;
    struct progress_told *told = ctx;
    if (told->phase != r->phase.len || told->missing != r->n_missing)
        tell(r);
    *told = (struct progress_told){r->n_missing, r->phase.len, slice_equal_str(pb_slice(r->phase), "done")};
    return GRID_DONE;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int ask(struct cli *cli, bool begin, struct progress_told *told)
{
    Grid__V1__RotateRequest request = GRID__V1__ROTATE_REQUEST__INIT;
    request.begin = begin;
    request.overlap_s = (uint32_t) (option_number(cli->options, "overlap") / 1000);
    return node_ask_for(cli, "Rotate", &request.base, &grid__v1__rotate_response__descriptor, take, told);
}

static int run(struct cli *cli)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    int64_t until_ms = now_ms() + (int64_t) option_number(cli->options, "wait");
    bool only_look = option_flag(cli->options, "status");
    struct progress_told told = {0};
    int code = ask(cli, !only_look, &told);
    while (code == GRID_DONE && !told.done && !only_look && now_ms() < until_ms) {
        nanosleep(&pause, NULL);
        code = ask(cli, false, &told);
    }
    if (code != GRID_DONE || told.done || only_look)
        return code;
    fprintf(stderr, "the rotation goes on by itself: see how far it is with grid rotate --status\n");
    return GRID_IN_PART;
}

static const struct option_row OPTIONS[] = {
    {.name = "overlap", .kind = OPTION_DURATION, .placeholder = "TIME", .fallback = "24h", .min = 1000, .max = 2592000000,
     .help = "how long a member that is away may still come back by its old certificate"},
    {.name = "wait", .kind = OPTION_DURATION, .placeholder = "TIME", .fallback = "60s", .min = 1, .max = 86400000, .help = "how long to wait for the end"},
    {.name = "status", .kind = OPTION_FLAG, .help = "begin nothing, only tell how far a rotation is"},
};

const struct verb VERB_rotate = {
    .name = "rotate",
    .arguments = "",
    .summary = "replace the grid's authority while everything runs",
    .details = "In three phases: every living member takes the new authority in; certificates are made anew by it; the old one is removed when every known member has moved, or the overlap "
               "is over. Client certificates of the old authority end with it: issue them anew.",
    .example = "grid rotate",
    .traits = VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
