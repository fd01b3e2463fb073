/* grid version. */
#include "base/json.h"
#include "cli/cli.h"
#include "cli/verb_names.h"

static int run(struct cli *cli)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, 0);
    if (cli_wants_json(cli)) {
        json_writer_init(&w, &out);
        json_open_object(&w);
        json_write_key(&w, "version");
        json_write_str(&w, GRID_VERSION);
        json_close_object(&w);
        json_writer_finish(&w);
        buf_append_byte(&out, '\n');
    } else {
        buf_append_str(&out, "grid " GRID_VERSION "\n");
    }
    return cli_write_buf(&out);
}

const struct verb VERB_version = {
    .name = "version",
    .arguments = "",
    .summary = "print the version",
    .example = "grid version",
    .traits = VERB_READS,
    .run = run,
};
