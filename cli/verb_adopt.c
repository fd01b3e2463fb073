/* grid adopt: a node changes sides: it leaves its authority, and keeps its key and its releases. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/confirm.h"
#include "cli/node_link.h"
#include "cli/text.h"
#include "cli/verb_names.h"
#include "grid/v1/control.pb-c.h"

static int confirm(struct cli *cli)
{
    if (option_flag(cli->options, "yes"))
        return GRID_DONE;
    if (!confirm_is_possible())
        return cli_fail(GRID_USAGE, "the node would leave its grid: say so with --yes");
    return confirm_ask(SLICE("the node leaves its grid, and must be let into the other one."));
}

/* A stopped node's: the file is taken away while its lock is held. */
static int adopt_stopped(const char *state)
{
    char path[PATH_MAX], lock[PATH_MAX];
    snprintf(path, sizeof path, "%.4000s/trust", state);
    snprintf(lock, sizeof lock, "%.4000s/lock", state);
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return cli_fail(GRID_USAGE, "--state: %s is not a node's state folder (%s): give the one that gridd has with --state", state, strerror(errno));
    int code = GRID_DONE;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        code = cli_fail(GRID_FAILED, "--state: the node of %s runs: stop it first, or leave --state out to ask it", state);
    else if (unlink(path) != 0 && errno != ENOENT)
        code = cli_fail(GRID_FAILED, "%s cannot be taken away (%s): run this as the folder's owner", path, strerror(errno));
    else
        fprintf(stderr, "the node belongs to no grid now: start it with the Gridfile, or the name and password, of the one it shall join\n");
    close(fd);
    return code;
}

static int adopt_running(struct cli *cli)
{
    Grid__V1__AdoptRequest request = GRID__V1__ADOPT_REQUEST__INIT;
    request.lose_key = option_flag(cli->options, "lose-key");
    return node_ask_and_say(cli, "Adopt", &request.base, &grid__v1__adopt_response__descriptor);
}

static int run(struct cli *cli)
{
    const char *state = option_string(cli->options, "state");
    int code = confirm(cli);
    if (code != GRID_DONE)
        return code;
    return state ? adopt_stopped(state) : adopt_running(cli);
}

static const struct option_row OPTIONS[] = {
    {.name = "state", .kind = OPTION_STRING, .placeholder = "DIR", .help = "the state folder of a node that is stopped, instead of a node that runs"},
    {.name = "lose-key", .kind = OPTION_FLAG, .help = "go on although no other member is known to hold the key of the authority that is left: nobody can let others into that grid then"},
    {.name = "yes", .kind = OPTION_FLAG, .help = "do not ask"},
};

const struct verb VERB_adopt = {
    .name = "adopt",
    .arguments = "",
    .summary = "have a node leave its grid's authority for another one",
    .details = "For two grids of one name that both have members: run it on each node of the one that shall be given up. A node that runs takes its Gridfile's authority, or joins anew by name and "
               "password. It keeps its key and its releases. "
               "One that holds the authority's key waits up to 10 seconds until another member of its grid holds it too.",
    .example = "grid adopt --yes",
    .traits = VERB_ASKS_NODE,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
