/* grid list: the nodes, as they are, or as they come and go. */
#include "cli/node_link.h"
#include "cli/pb_json.h"
#include "cli/reading.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

static const struct table_column COLUMNS[] = {{"NODE", 0},    {"STATE", 0}, {"SYNCED", 0},   {"RELEASE", 0}, {"ADDRESS", 0},
                                              {"API", true}, {"UP", true}, {"PLATFORM", 0}, {"VERSION", 0},
                                              {"FOUND", 0},  {"PATH", 0}, {"RTT", true}, {"HERE", 0}};

static struct slice or_dash(ProtobufCBinaryData text)
{
    return text.len ? pb_slice(text) : SLICE("-");
}

static void add_path(struct table *t, const Grid__V1__Host *node)
{
    table_add(t, or_dash(node->found));
    table_add(t, or_dash(node->path));
    if (node->rtt_us)
        table_addf(t, "%u.%02u ms", node->rtt_us / 1000, node->rtt_us % 1000 / 10);
    else
        table_add_str(t, "-");
}

static void add_row(struct table *t, const void *item, int64_t now_ms)
{
    const Grid__V1__Host *node = item;
    char age[TEXT_SHORT_MAX];
    struct slice address = pb_slice(node->public_ip.len ? node->public_ip : node->private_ip);
    text_age(now_ms - node->started_at_ms, age);
    table_add(t, pb_slice(node->name));
    table_add(t, pb_slice(node->state));
    table_add_str(t, node->synchronized ? "yes" : "no");
    table_add(t, reading_short_id(node->release));
    if (address.size > 0 && node->listen_port)
        table_addf(t, "%.*s:%u", SLICE_FMT(address), node->listen_port);
    else
        table_add(t, address);
    table_addf(t, "%u", node->api_port);
    table_add_str(t, node->started_at_ms ? age : "-");
    table_add(t, pb_slice(node->platform));
    table_add(t, pb_slice(node->version));
    add_path(t, node);
    table_add_str(t, node->local ? "*" : "-");
}

static const struct reading READING = {"ListNodes", &grid__v1__list_nodes_response__descriptor, "nodes", COLUMNS,
                                       sizeof COLUMNS / sizeof *COLUMNS, add_row, "no nodes"};

/* ---- --watch ---- */

enum { ARENA_BLOCK = 16 * 1024, KIND_WIDTH = 8, STATE_WIDTH = 8 };

struct watch {
    const struct cli *cli;
    struct arena *arena;
    int code;
};

static void append_padded(struct buf *out, struct slice text, size_t width)
{
    text_append_line(out, text);
    for (size_t i = text_width(text); i <= width; i++)
        buf_append_byte(out, ' ');
}

static void append_event(struct buf *out, const Grid__V1__NodeEvent *event)
{
    char clock[TEXT_SHORT_MAX];
    struct slice release = reading_short_id(event->node->release);
    text_clock(reading_now_ms(), clock);
    buf_printf(out, "%s  ", clock);
    append_padded(out, pb_slice(event->kind), KIND_WIDTH);
    append_padded(out, pb_slice(event->node->state), STATE_WIDTH);
    text_append_line(out, pb_slice(event->node->name));
    if (release.size > 0) {
        buf_append_str(out, "  release ");
        text_append_line(out, release);
    }
    buf_append_byte(out, '\n');
}

static void append_json(struct buf *out, const Grid__V1__NodeEvent *event)
{
    struct json_writer w;
    json_writer_init(&w, out);
    pb_json_write(&w, &event->base);
    json_writer_finish(&w);
    buf_append_byte(out, '\n');
}

static bool on_message(void *ctx, const void *message, size_t size)
{
    struct watch *watch = ctx;
    struct buf out;
    buf_init(&out, 0);
    arena_reset(watch->arena);
    const Grid__V1__NodeEvent *event = pb_unpack(&grid__v1__node_event__descriptor, watch->arena, slice_of(message, size));
    if (event && event->node)
        (cli_wants_json(watch->cli) ? append_json : append_event)(&out, event);
    watch->code = cli_write_buf(&out);
    return watch->code == GRID_DONE;
}

static int watch_nodes(struct cli *cli, const ProtobufCMessage *request)
{
    struct watch watch = {.cli = cli, .arena = arena_create(ARENA_BLOCK, 0)};
    if (!watch.arena)
        return cli_fail(GRID_FAILED, "out of memory");
    int code = node_follow(cli, "WatchNodes", request, on_message, &watch);
    arena_destroy(watch.arena);
    return watch.code ? watch.code : code;
}

static int run(struct cli *cli)
{
    Grid__V1__ListNodesRequest request = GRID__V1__LIST_NODES_REQUEST__INIT;
    request.all = option_flag(cli->options, "all");
    return option_flag(cli->options, "watch") ? watch_nodes(cli, &request.base) : reading_show(cli, &READING, &request.base);
}

static const struct option_row OPTIONS[] = {
    {.name = "all", .kind = OPTION_FLAG, .help = "dead and departed nodes too"},
    {.name = "watch", .kind = OPTION_FLAG, .help = "go on with a line for each node that joins, leaves, fails or changes"},
};

const struct verb VERB_list = {
    .name = "list",
    .alias = "ls",
    .arguments = "",
    .summary = "show the nodes of the grid",
    .details = "SYNCED says whether a node runs the grid's current release; FOUND how the node that was asked found it first (join, file, dns, mdns, dht, remembered, gossip: another member told of it, inbound: it dialled); "
               "PATH how calls go there (direct; reverse: it dials for them; relayed: by way of a third) and RTT how long it is there and back; HERE marks the node that was asked. --watch begins with the nodes that are there, and goes on until it "
               "is ended; times are UTC. With --json each of its lines is an object.",
    .example = "grid list --watch",
    .shorts = "a=all w=watch",
    .traits = VERB_READS | VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
