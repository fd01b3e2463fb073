/* The table of gridd's options and its reading. */
#include "server/options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/option_man.h"
#include "discovery/dns_seeds.h"
#include "net/addr.h"
#include "trust/file.h"

static const struct option_row ROWS[] = {
    {.name = "grid", .kind = OPTION_STRING, .placeholder = "NAME", .env_alias = "GRID", .help = "grid to link to; the Gridfile names it too"},
    {.name = "password-file", .kind = OPTION_STRING, .placeholder = "FILE", .help = "the grid's password (GRID_AUTH holds the password itself)"},
    {.name = "gridfile", .kind = OPTION_STRING, .placeholder = "FILE", .help = "the access card; ./Gridfile, then the state folder's, when not given"},
    {.name = "name", .kind = OPTION_STRING, .placeholder = "NODE", .help = "this node's name; a minted one, kept, when not given"},
    {.name = "state", .kind = OPTION_STRING, .placeholder = "DIR", .help = "all that the node keeps; when not given /var/lib/gridcontrol as root, else $XDG_STATE_HOME/gridcontrol or ~/.local/state/gridcontrol"},
    {.name = "open", .kind = OPTION_FLAG, .help = "link by name alone, without password or Gridfile: whoever reaches the node may join"},
    {.name = "weak-password", .kind = OPTION_FLAG, .help = "take a password that is easily guessed"},
    {.name = "api", .kind = OPTION_HOSTPORT_LIST, .placeholder = "HOST:PORT", .fallback = "127.0.0.1:10000,[::1]:10000", .example = "127.0.0.1:0",
     .help = "local API; port 0 binds any free one"},
    {.name = "api-host", .kind = OPTION_LIST, .placeholder = "NAME,...", .help = "further host names the local API answers to"},
    {.name = "api-token-file", .kind = OPTION_STRING, .placeholder = "FILE", .help = "token to ask for when --api is not loopback"},
    {.name = "api-socket", .kind = OPTION_STRING, .placeholder = "PATH", .help = "the same API on a Unix socket; when not given /run/gridcontrol/api.sock as root, else $XDG_RUNTIME_DIR/gridcontrol/api.sock; \"none\" for none"},
    {.name = "listen", .kind = OPTION_HOSTPORT, .placeholder = "HOST:PORT", .fallback = "[::]:7900", .example = "[::]:7900", .help = "peers"},
    {.name = "advertise", .kind = OPTION_HOSTPORT_LIST, .placeholder = "HOST:PORT,...", .example = "192.0.2.1:7900",
     .help = "how peers reach this node, at most 8, the best one first; all addresses of the host when not given"},
    {.name = "join", .kind = OPTION_LIST, .placeholder = "A[,B...]",
     .help = "where to find other nodes: host:port, srv:NAME (DNS SRV records), or file:PATH (one of these a line, followed as it changes)"},
    {.name = "discover", .kind = OPTION_LIST, .placeholder = "LIST", .choices = "mdns|dns|dht|none", .fallback = "mdns",
     .help = "how else to look for other nodes: mdns on the local networks, dns by _gridcontrol._tcp in the search domains, dht in the mainline DHT, on the internet; when not given and there is a password, mdns,dht"},
    {.name = "dht-bootstrap", .kind = OPTION_LIST, .placeholder = "HOST:PORT,...", .fallback = "router.bittorrent.com:6881,dht.transmissionbt.com:6881,router.utorrent.com:6881,dht.libtorrent.org:25401",
     .example = "192.0.2.1:6881", .help = "nodes of the DHT to begin with, while no others are known; \"none\" for those of the last time alone"},
    {.name = "task-ports", .kind = OPTION_UINT, .placeholder = "FIRST", .min = 1, .max = 65535, .example = "10001",
     .help = "where task ports are taken from, upward; the API's port + 1 when not given"},
    {.name = "task-user", .kind = OPTION_STRING, .placeholder = "USER",
     .help = "whom tasks run as, when gridd is root; a number that nobody has when not given"},
    {.name = "task-sandbox", .kind = OPTION_STRING, .placeholder = "LEVEL", .choices = "off|standard|strict", .fallback = "standard",
     .help = "how tasks are kept apart from the node and the system"},
    {.name = "task-env", .kind = OPTION_LIST, .placeholder = "NAME,...", .help = "variables of gridd's environment that tasks get too; a '*' at the end stands for any rest"},
    {.name = "profile", .kind = OPTION_STRING, .placeholder = "NETWORK", .choices = "lan|wan|local", .fallback = "lan",
     .help = "how long other nodes may take to answer before they count as silent or dead; the same on all nodes"},
    {.name = "workers", .kind = OPTION_UINT, .placeholder = "N", .min = 1, .max = 256, .example = "4", .help = "data-plane threads; one per core when not given"},
    {.name = "busy-poll", .kind = OPTION_UINT, .placeholder = "MICROSECONDS", .fallback = "200", .max = 1000, .example = "200",
     .help = "how long a worker looks for the next event before it sleeps, while they come so soon; 0 sleeps at once"},
    {.name = "handshake-rate", .kind = OPTION_UINT, .placeholder = "N", .fallback = "200", .max = 1000000, .example = "200",
     .help = "TLS handshakes a second that strangers may begin at the peers' port, all together; a member's address may as many by itself; 0 for no bound"},
    {.name = "join-limit", .kind = OPTION_UINT, .placeholder = "N", .fallback = "100", .min = 1, .max = 1000, .example = "100",
     .help = "new nodes that this node lets in by password from one address within an hour"},
    {.name = "max-payload", .kind = OPTION_SIZE, .placeholder = "SIZE", .fallback = "6MiB", .min = 1024, .max = 1024 * 1024 * 1024, .help = "largest call and answer"},
    {.name = "max-held", .kind = OPTION_SIZE, .placeholder = "SIZE", .fallback = "512MiB", .min = 1024, .max = INT64_C(1024) * 1024 * 1024 * 1024,
     .help = "bytes of requests held in memory at a time; what would be more is refused with 429"},
    {.name = "sync-rate", .kind = OPTION_SIZE, .placeholder = "SIZE", .fallback = "0", .max = INT64_C(1024) * 1024 * 1024 * 1024, .example = "10MiB",
     .help = "bytes a second of releases that this node fetches from others, and as many that it gives them; 0 for no bound"},
    {.name = "relay-tunnels", .kind = OPTION_UINT, .placeholder = "N", .fallback = "64", .max = 1000, .example = "64",
     .help = "streams between other members that cannot dial one another which this node passes on at a time; 0 for none"},
    {.name = "relay-rate", .kind = OPTION_SIZE, .placeholder = "SIZE", .fallback = "10MiB", .max = INT64_C(1024) * 1024 * 1024 * 1024, .example = "10MiB",
     .help = "bytes a second that these take, all together; 0 for no bound"},
    {.name = "store-max", .kind = OPTION_SIZE, .placeholder = "SIZE", .fallback = "0", .max = INT64_C(1024) * 1024 * 1024 * 1024, .example = "20GiB",
     .help = "bytes of releases that the node keeps on disk; what would be more is refused. 0 for as much as the disk has"},
    {.name = "keep-releases", .kind = OPTION_UINT, .placeholder = "N", .fallback = "10", .min = 1, .max = RELEASE_KEPT, .example = "10",
     .help = "how many releases are kept to go back to, the newest one included"},
    {.name = "keep-age", .kind = OPTION_DURATION, .placeholder = "TIME", .fallback = "0", .max = INT64_C(3650) * 24 * 3600 * 1000, .example = "30d",
     .help = "how long a release is kept after another one took its place; 0 for as long as there are not too many"},
    {.name = "drain-timeout", .kind = OPTION_DURATION, .placeholder = "TIME", .fallback = "30s", .max = 24 * 3600 * 1000, .help = "how long calls in flight may take when the node or a task stops"},
    {.name = "log-level", .kind = OPTION_STRING, .placeholder = "LEVEL", .choices = "debug|info|warn|error", .fallback = "info", .attributes = OPTION_RELOADABLE, .help = "what is logged to stderr"},
    {.name = "log-format", .kind = OPTION_STRING, .placeholder = "FORMAT", .choices = "text|json", .fallback = "text", .help = "how it is logged"},
    {.name = "config", .kind = OPTION_STRING, .placeholder = "FILE", .help = "a file of these options (TOML)"},
    {.name = "ready-file", .kind = OPTION_STRING, .placeholder = "PATH", .help = "where to write one JSON object once ready"},
    {.name = "runtimes", .kind = OPTION_STRING, .placeholder = "DIR", .help = "folder of the language runtimes; found beside the program when not given"},
    {.name = "check", .kind = OPTION_FLAG, .help = "check the configuration and exit"},
    {.name = "version", .kind = OPTION_FLAG, .help = "print the version and exit"},
    {.name = "man", .kind = OPTION_FLAG, .help = "print the manual page and exit"},
    {.name = "help", .kind = OPTION_FLAG, .help = "print the list of options and exit"},
};
enum { ROW_COUNT = sizeof ROWS / sizeof *ROWS, CONFIG_BYTES_MAX = 1 << 20 };

int options_help(struct buf *out)
{
    int err = buf_append_str(out, "gridd: one node of a compute grid\n\nUsage: gridd [OPTION]...\n\n"
                                  "Every option is also an environment variable (--log-level is GRID_LOG_LEVEL) and a key of the Gridfile and of\n--config FILE.\n\n");
    return err == 0 ? option_write_help(ROWS, ROW_COUNT, out) : err;
}

int options_man(struct buf *out)
{
    int err = buf_append_str(out, ".\\\" Written by \"gridd --man\" from the table of options.\n.TH GRIDD 8 \"\" \"GridControl\"\n"
                                  ".SH NAME\ngridd \\- one node of a compute grid\n.SH SYNOPSIS\n.B gridd\n[\\fIOPTION\\fR]...\n.SH DESCRIPTION\n"
                                  "Nodes of the same grid find each other, carry the same project, keep its tasks running and answer calls wherever they come\n"
                                  "in. The node logs to stderr and runs in the foreground; a service manager is told when it is ready.\n.SH OPTIONS\n"
                                  "Every option is also an environment variable (\\-\\-log\\-level is GRID_LOG_LEVEL), a key of the Gridfile and a key of\n"
                                  "\\-\\-config FILE; the command line wins over the environment, and that over files.\n");
    for (size_t i = 0; err == 0 && i < ROW_COUNT; i++)
        err = option_write_man(&ROWS[i], 0, out);
    return err ? err
               : buf_append_str(out, ".SH SIGNALS\n.TP\n.B SIGTERM, SIGINT\nCalls in flight end, then the tasks, then the node; see \\-\\-drain\\-timeout.\n"
                                     ".TP\n.B SIGHUP\nOptions that may change while it runs are read again.\n.SH EXIT STATUS\n"
                                     "0 stopped as asked, 1 failed, 2 an option, file or port is wrong; one sentence on stderr says which.\n"
                                     ".SH SEE ALSO\n.BR grid (1)\n");
}

/* ---- --config ---- */

static int read_whole(const char *path, struct buf *out, struct option_error *error)
{
    FILE *file = fopen(path, "re");
    uint8_t chunk[4096];
    size_t got;
    int err = 0;
    if (!file) {
        snprintf(error->message, sizeof error->message, "--config: %.200s cannot be read (%s): give a file of options that this user may read", path, strerror(errno));
        return GRID_EINVAL;
    }
    while (err == 0 && (got = fread(chunk, 1, sizeof chunk, file)) > 0)
        err = buf_append(out, slice_of(chunk, got));
    if (err == 0 && ferror(file))
        err = GRID_EIO;
    fclose(file);
    if (err != 0)
        snprintf(error->message, sizeof error->message, "--config: %.200s is not a file of at most 1 MiB: give a file of options", path);
    return err == 0 ? 0 : GRID_EINVAL;
}

static int check_tables(const struct toml_document *document, const char *path, struct option_error *error)
{
    for (const struct toml_entry *e = document->first; e; e = e->next)
        if (e->table.size > 0) {
            struct slice table = slice_first(e->table, 60), key = slice_first(e->key, 60);
            snprintf(error->message, sizeof error->message, "--config: %.90s line %u: %.*s stands in the table [%.*s]: options stand in none, so take the line [%.*s] out",
                     path, e->line, SLICE_FMT(key), SLICE_FMT(table), SLICE_FMT(table));
            return GRID_EINVAL;
        }
    return 0;
}

static int read_config(struct option_set *set, const char *path, struct option_error *error)
{
    struct arena *arena = arena_create(4096, 8 * 1024 * 1024);
    struct toml_document document;
    struct toml_error toml;
    struct buf text;
    buf_init(&text, CONFIG_BYTES_MAX);
    int err = arena ? read_whole(path, &text, error) : GRID_ENOMEM;
    if (err == 0 && (err = toml_parse(buf_slice(&text), arena, &document, &toml)) != 0)
        snprintf(error->message, sizeof error->message, "--config: %.90s line %u, column %u: %.160s", path, toml.line, toml.column, toml.message);
    if (err == 0)
        err = check_tables(&document, path, error);
    if (err == 0)
        err = option_read_toml(set, &document, "", path, error);
    buf_dispose(&text);
    arena_destroy(arena);
    return err;
}

/* ---- options in the Gridfile ---- */

bool options_is_known(struct slice key)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (slice_equal_str(key, ROWS[i].name))
            return true;
    return false;
}

bool options_find_gridfile(const struct options *o, char *path, size_t size)
{
    if (o->gridfile) {
        snprintf(path, size, "%s", o->gridfile);
        return true;
    }
    snprintf(path, size, "Gridfile");
    if (access(path, F_OK) == 0)
        return true;
    snprintf(path, size, "%s/Gridfile", o->state ? o->state : "");
    return o->state && access(path, F_OK) == 0;
}

/* Keeps the entries whose keys are options; the others are the access card's own. */
static void keep_options(struct toml_document *document, struct toml_entry *entries)
{
    const struct toml_entry *e = document->first;
    struct toml_entry *last = NULL;
    document->first = NULL;
    document->count = 0;
    for (; e; e = e->next) {
        if (e->table.size != 0 || !options_is_known(e->key))
            continue;
        struct toml_entry *copy = &entries[document->count++];
        *copy = *e;
        copy->next = NULL;
        if (last)
            last->next = copy;
        else
            document->first = copy;
        last = copy;
    }
}

/* A card that nobody has named, found in a folder that others write to, may be a trap: its authority decides whose code this node runs. */
static int check_found(const struct options *o, const char *path, const struct stat *st, struct option_error *error)
{
    if (o->gridfile || st->st_uid == 0 || st->st_uid == geteuid())
        return 0;
    snprintf(error->message, sizeof error->message, "--gridfile: %.90s belongs to user %u: say --gridfile %.90s if that is the one meant", path, (unsigned) st->st_uid, path);
    return GRID_EPERM;
}

/* What cannot be read or parsed is said by the one who needs the card. */
static int read_gridfile(struct options *o, struct option_error *error)
{
    struct arena *arena = arena_create(4096, 8 * 1024 * 1024);
    struct toml_document document;
    struct toml_error toml;
    struct stat st;
    char path[PATH_MAX];
    struct buf text;
    bool open_to_others;
    int err = 0;
    buf_init(&text, 0);
    bool found = arena && options_find_gridfile(o, path, sizeof path) && stat(path, &st) == 0;
    if (found)
        err = check_found(o, path, &st, error);
    if (err == 0 && found && trust_file_read(path, &text, &open_to_others) == 0 &&
        toml_parse(buf_slice(&text), arena, &document, &toml) == 0 && document.count > 0) {
        struct toml_entry *entries = arena_calloc(arena, document.count, sizeof *entries);
        if (entries) {
            keep_options(&document, entries);
            err = option_read_toml(o->set, &document, "", path, error);
        }
    }
    buf_dispose_wiped(&text);
    arena_destroy_wiped(arena);
    return err;
}

/* ---- defaults that depend on the machine ---- */

static int default_state(struct options *o, struct option_error *error)
{
    const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (o->state)
        return 0;
    if (geteuid() == 0)
        snprintf(o->state_buffer, sizeof o->state_buffer, "/var/lib/gridcontrol");
    else if (xdg && xdg[0] == '/')
        snprintf(o->state_buffer, sizeof o->state_buffer, "%s/gridcontrol", xdg);
    else if (home && home[0] == '/')
        snprintf(o->state_buffer, sizeof o->state_buffer, "%s/.local/state/gridcontrol", home);
    else {
        snprintf(error->message, sizeof error->message, "--state: neither XDG_STATE_HOME nor HOME says where to keep it; give for example --state DIR");
        return GRID_EINVAL;
    }
    o->state = o->state_buffer;
    return 0;
}

static void default_socket(struct options *o)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    if (o->api_socket) {
        if (strcmp(o->api_socket, "none") == 0)
            o->api_socket = NULL;
        return;
    }
    if (geteuid() == 0)
        snprintf(o->socket_buffer, sizeof o->socket_buffer, "/run/gridcontrol/api.sock");
    else if (run && run[0] == '/')
        snprintf(o->socket_buffer, sizeof o->socket_buffer, "%s/gridcontrol/api.sock", run);
    o->api_socket = o->socket_buffer[0] ? o->socket_buffer : NULL;
}

static void cut_last(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
}

/* Installed, the runtimes are in ../libexec/gridcontrol beside bin; in a build tree three folders up. Where they are in neither, the first is
 * named, so that it can be said where they were looked for. */
static void default_runtimes(struct options *o)
{
    static const char *const PLACES[] = {"libexec/gridcontrol/runtimes", "../../runtimes", NULL};
    char prefix[PATH_MAX], candidate[PATH_MAX + 64], script[PATH_MAX + 96];
    ssize_t size = readlink("/proc/self/exe", prefix, sizeof prefix - 1);
    if (o->runtimes || size <= 0)
        return;
    prefix[size] = '\0';
    cut_last(prefix);
    cut_last(prefix);
    o->runtimes = o->runtimes_buffer;
    for (const char *const *place = PLACES; *place; place++) {
        snprintf(candidate, sizeof candidate, "%s/%s", prefix, *place);
        snprintf(script, sizeof script, "%s/node/run.js", candidate);
        if (access(script, F_OK) == 0 && realpath(candidate, o->runtimes_buffer))
            return;
    }
    snprintf(o->runtimes_buffer, sizeof o->runtimes_buffer, "%.*s/%s", (int) sizeof o->runtimes_buffer - 64, prefix, PLACES[0]);
}

/* ---- plain values ---- */

/* Who is found there may be anybody on the internet: something must keep them out. */
static int take_dht(struct options *o, struct option_error *error)
{
    size_t count;
    struct slice host;
    uint16_t port;
    const char *const *list = option_list(o->set, "discover", &count);
    for (size_t i = 0; i < count; i++)
        o->dht |= strcmp(list[i], "dht") == 0;
    o->discover_default = option_source(o->set, "discover") == OPTION_FROM_DEFAULT;
    if (o->dht && option_flag(o->set, "open")) {
        option_explain(o->set, "discover", "would let everybody on the internet join an open grid", "give a password instead of --open, or another way to discover", error);
        return GRID_EINVAL;
    }
    o->dht_bootstrap = option_list(o->set, "dht-bootstrap", &o->dht_bootstrap_count);
    if (o->dht_bootstrap_count == 1 && strcmp(o->dht_bootstrap[0], "none") == 0)
        o->dht_bootstrap_count = 0;
    for (size_t i = 0; i < o->dht_bootstrap_count; i++)
        if (addr_split(slice_of_str(o->dht_bootstrap[i]), &host, &port) != 0 || host.size == 0 || port == 0) {
            option_explain(o->set, "dht-bootstrap", "is not a list of host:port", "give for example --dht-bootstrap 192.0.2.1:6881", error);
            return GRID_EINVAL;
        }
    return 0;
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int check_join(const struct options *o, struct option_error *error)
{
    size_t count;
    const char *const *list = option_list(o->set, "join", &count);
    for (size_t i = 0; i < count; i++) {
        bool is_file = has_prefix(list[i], "file:") && list[i][5] != '\0';
        if (!is_file && !dns_seed_valid(slice_of_str(list[i]))) {
            option_explain(o->set, "join", "is not a list of host:port, srv:NAME and file:PATH", "give for example --join 192.0.2.1:7900", error);
            return GRID_EINVAL;
        }
    }
    if (count <= OPTIONS_JOIN_MAX)
        return 0;
    option_explain(o->set, "join", "has more than 64 places", "give fewer: the others are found by them, or put them into a file and give file:PATH", error);
    return GRID_EINVAL;
}

static int take_advertise(struct options *o, struct option_error *error)
{
    o->advertise = option_list(o->set, "advertise", &o->advertise_count);
    if (o->advertise_count <= OPTIONS_ADVERTISE_MAX)
        return 0;
    option_explain(o->set, "advertise", "has more than 8 addresses", "give those alone that other nodes are to dial", error);
    return GRID_EINVAL;
}

/* After check_join. */
static void take_join(struct options *o)
{
    struct addr numeric;
    size_t count, ways;
    bool asks_dns = false;
    const char *const *list = option_list(o->set, "join", &count);
    const char *const *discover = option_list(o->set, "discover", &ways);
    for (size_t i = 0; i < count; i++) {
        bool is_place = !has_prefix(list[i], "srv:") && !has_prefix(list[i], "file:");
        if (is_place)
            o->join[o->join_count++] = list[i];
        if (!is_place || addr_parse(slice_of_str(list[i]), &numeric) != 0)
            o->seek[o->seek_count++] = list[i];
    }
    for (size_t i = 0; i < ways; i++) {
        if (strcmp(discover[i], "dns") == 0 && !asks_dns)
            o->seek[o->seek_count++] = "srv:_gridcontrol._tcp";
        asks_dns |= strcmp(discover[i], "dns") == 0;
        o->mdns |= strcmp(discover[i], "mdns") == 0;
    }
}

/* A supervisor that waits for the file would wait for ever. */
static int check_ready_file(const struct options *o, struct option_error *error)
{
    char folder[PATH_MAX];
    if (!o->ready_file)
        return 0;
    snprintf(folder, sizeof folder, "%s", o->ready_file);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    if (access(slash ? folder : ".", W_OK | X_OK) == 0)
        return 0;
    option_explain(o->set, "ready-file", "is in a folder that does not exist or cannot be written", "give a path in one that can", error);
    return GRID_EINVAL;
}

static int check_socket(const struct options *o, struct option_error *error)
{
    struct addr at;
    if (!o->api_socket || addr_unix(o->api_socket, &at) == 0)
        return 0;
    snprintf(error->message, sizeof error->message, "--api-socket: %.80s... is too long for a Unix socket: give a path of at most 107 bytes", o->api_socket);
    return GRID_EINVAL;
}

static int check_combinations(struct options *o, struct option_error *error)
{
    int err = check_ready_file(o, error);
    if (err == 0)
        err = check_socket(o, error);
    if (err == 0)
        err = check_join(o, error);
    if (err == 0)
        err = take_advertise(o, error);
    if (err == 0)
        err = take_dht(o, error);
    if (err == 0)
        take_join(o);
    return err;
}

static void take_task_values(struct options *o)
{
    static const char *const levels[] = {[TASK_SANDBOX_OFF] = "off", [TASK_SANDBOX_STANDARD] = "standard", [TASK_SANDBOX_STRICT] = "strict"};
    const char *level = option_string(o->set, "task-sandbox");
    o->task_user = option_string(o->set, "task-user");
    o->task_env.names = option_list(o->set, "task-env", &o->task_env.count);
    for (int i = 0; i < (int) (sizeof levels / sizeof *levels); i++)
        if (strcmp(level, levels[i]) == 0)
            o->task_sandbox = (enum task_sandbox) i;
}

static const char *environment_value(char **environment, const char *name)
{
    size_t size = strlen(name);
    for (char **e = environment; e && *e; e++)
        if (strncmp(*e, name, size) == 0 && (*e)[size] == '=')
            return *e + size + 1;
    return NULL;
}

static int take_values(struct options *o, struct option_error *error)
{
    const struct option_set *set = o->set;
    size_t count;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    o->grid = option_string(set, "grid");
    o->gridfile = option_string(set, "gridfile");
    o->name = option_string(set, "name");
    if (option_string(set, "state"))
        o->state = option_string(set, "state");
    o->open = option_flag(set, "open");
    o->weak_password = option_flag(set, "weak-password");
    o->password_file = option_string(set, "password-file");
    o->password = environment_value(o->environment, "GRID_AUTH");
    o->api = option_hostports(set, "api", &o->api_count);
    o->api_given = option_source(set, "api") > OPTION_FROM_DEFAULT;
    o->listen_given = option_source(set, "listen") > OPTION_FROM_DEFAULT;
    o->api_hosts = option_list(set, "api-host", &o->api_host_count);
    o->api_token_file = option_string(set, "api-token-file");
    o->api_socket = option_string(set, "api-socket");
    o->listen = option_hostports(set, "listen", &count)[0];
    o->task_ports = (uint16_t) option_number(set, "task-ports");
    take_task_values(o);
    o->workers = (unsigned) option_number(set, "workers");
    if (o->workers == 0)
        o->workers = cores > 0 ? (unsigned) (cores > 256 ? 256 : cores) : 1;
    o->busy_poll_us = option_number(set, "busy-poll");
    o->join_limit = (unsigned) option_number(set, "join-limit");
    o->handshakes_per_s = (unsigned) option_number(set, "handshake-rate");
    o->max_payload = (size_t) option_number(set, "max-payload");
    o->max_held = (size_t) option_number(set, "max-held");
    o->sync_rate = option_number(set, "sync-rate");
    o->relay_tunnels = (unsigned) option_number(set, "relay-tunnels");
    o->relay_rate = option_number(set, "relay-rate");
    o->store_max = option_number(set, "store-max");
    o->keep = (struct release_keep){.count = (uint32_t) option_number(set, "keep-releases"), .age_ms = option_number(set, "keep-age")};
    o->drain_timeout_ms = option_number(set, "drain-timeout");
    o->ready_file = option_string(set, "ready-file");
    o->runtimes = option_string(set, "runtimes");
    o->profile = option_string(set, "profile");
    o->log_format = strcmp(option_string(set, "log-format"), "json") == 0 ? LOG_JSON : LOG_TEXT;
    if (log_level_parse(option_string(set, "log-level"), &o->log_level) != 0)
        o->log_level = LOG_INFO;
    if (o->api_count > OPTIONS_API_MAX) {
        option_explain(set, "api", "has more than four addresses", "give at most four", error);
        return GRID_EINVAL;
    }
    default_socket(o);
    default_runtimes(o);
    return default_state(o, error);
}

static int check_arguments(const struct options *o, struct option_error *error)
{
    size_t count;
    const char *const *arguments = option_arguments(o->set, &count);
    if (count == 0)
        return 0;
    snprintf(error->message, sizeof error->message, "\"%.100s\" is no option: gridd takes options only, see gridd --help", arguments[0]);
    return GRID_EINVAL;
}

static int read_given_config(struct options *o, struct option_error *error)
{
    const char *path = option_string(o->set, "config");
    return path ? read_config(o->set, path, error) : 0;
}

int options_read(struct options *o, int argc, char **argv, char **environment, struct option_error *error)
{
    *o = (struct options){.argc = argc, .argv = argv, .environment = environment};
    error->message[0] = '\0';
    int err = option_set_create(ROWS, ROW_COUNT, &o->set);
    if (err == 0)
        err = option_read_arguments(o->set, argc - 1, argv + 1, error);
    if (err == 0)
        err = check_arguments(o, error);
    if (err != 0)
        return err;
    o->help = option_flag(o->set, "help");
    o->version = option_flag(o->set, "version");
    o->check = option_flag(o->set, "check");
    o->man = option_flag(o->set, "man");
    if (o->help || o->man || o->version)
        return 0;
    err = option_read_environment(o->set, environment, error);
    o->check = option_flag(o->set, "check");
    if (err == 0)
        err = read_given_config(o, error);
    o->gridfile = option_string(o->set, "gridfile");
    o->state = option_string(o->set, "state");
    if (err == 0)
        err = default_state(o, error);
    if (err == 0)
        err = read_gridfile(o, error);
    if (err == 0) /* it may say where the Gridfile is, and wins over it: of two files the later one does */
        err = read_given_config(o, error);
    if (err == 0)
        err = take_values(o, error);
    return err == 0 ? check_combinations(o, error) : err;
}

void options_dispose(struct options *o)
{
    if (o->set)
        option_set_destroy(o->set);
    o->set = NULL;
}
