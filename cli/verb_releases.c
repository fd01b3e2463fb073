/* grid releases: what was deployed, newest first. */
#include <inttypes.h>

#include "cli/reading.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

static const struct table_column COLUMNS[] = {{"NUMBER", true}, {"RELEASE", 0},  {"CURRENT", 0},   {"PUBLISHED (UTC)", 0},
                                              {"BY", 0},        {"FILES", true}, {"SIZE", true}, {"NODES", 0}};

static void add_nodes(struct table *t, const Grid__V1__ReleaseInfo *release)
{
    struct buf names;
    buf_init(&names, 0);
    for (size_t i = 0; i < release->n_nodes; i++) {
        buf_append_str(&names, i ? " " : "");
        buf_append(&names, pb_slice(release->nodes[i]));
    }
    table_add(t, buf_slice(&names));
    buf_dispose(&names);
}

static void add_row(struct table *t, const void *item, int64_t now_ms)
{
    const Grid__V1__ReleaseInfo *release = item;
    char size[TEXT_SHORT_MAX], when[TEXT_SHORT_MAX];
    (void) now_ms;
    text_bytes(release->size_bytes, size);
    text_time(release->published_at_ms, when);
    table_addf(t, "%" PRIu64, release->sequence);
    table_add(t, reading_short_id(release->root));
    table_add_str(t, release->current ? "*" : "-");
    table_add_str(t, when);
    table_add(t, slice_first(pb_slice(release->publisher), 24));
    table_addf(t, "%" PRIu64, release->files);
    table_add_str(t, size);
    add_nodes(t, release);
}

static const struct reading READING = {"ListReleases", &grid__v1__list_releases_response__descriptor, "releases", COLUMNS,
                                       sizeof COLUMNS / sizeof *COLUMNS, add_row, "no releases: grid deploy makes the first"};

static int run(struct cli *cli)
{
    Grid__V1__ListReleasesRequest request = GRID__V1__LIST_RELEASES_REQUEST__INIT;
    return reading_show(cli, &READING, &request.base);
}

const struct verb VERB_releases = {
    .name = "releases",
    .arguments = "",
    .summary = "show the kept releases, and which nodes run them",
    .example = "grid releases",
    .traits = VERB_READS | VERB_ASKS_NODE,
    .run = run,
};
