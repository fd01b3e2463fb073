/* server/options.h: gridd's options: one table, and what it says as plain values. */
#ifndef GRID_SERVER_OPTIONS_H
#define GRID_SERVER_OPTIONS_H

#include "base/log.h"
#include "base/option_table.h"
#include "fs/release_keep.h"
#include "server/supervise/task_confine.h"
#include "server/supervise/task_env.h"

enum { OPTIONS_API_MAX = 4, OPTIONS_JOIN_MAX = 64, OPTIONS_ADVERTISE_MAX = 8, OPTIONS_HOSTS_MAX = 64 };

/* Plain values; strings are borrowed from the set and live as long as it. */
struct options {
    struct option_set *set;
    const char *grid;
    const char *gridfile; /* as given, NULL: look for it */
    const char *name;
    const char *state;
    bool open;
    bool weak_password;
    const char *password_file;
    const char *password; /* GRID_AUTH, NULL when it is not set */
    const struct option_hostport *api;
    size_t api_count;
    bool api_given; /* not the default: every address must be bound */
    const char *const *api_hosts;
    size_t api_host_count;
    const char *api_token_file;
    const char *api_socket; /* NULL: none */
    struct option_hostport listen;
    bool listen_given;
    const char *const *advertise; /* "host:port", best first; none: detected */
    size_t advertise_count; /* at most OPTIONS_ADVERTISE_MAX */
    const char *join[OPTIONS_JOIN_MAX]; /* of --join: each "host:port" */
    size_t join_count;
    const char *seek[OPTIONS_JOIN_MAX + 1]; /* of --join and --discover: "srv:NAME", "file:PATH", and of the above those that are names, whose addresses change */
    size_t seek_count;
    bool dht; /* --discover names it */
    const char *const *dht_bootstrap; /* each "host:port" */
    size_t dht_bootstrap_count;
    bool mdns;
    bool discover_default; /* nobody has said: with a password, the DHT too */
    const char *task_user; /* NULL: not given */
    enum task_sandbox task_sandbox;
    struct task_env_names task_env;
    uint16_t task_ports; /* 0: api port + 1 */
    const char *profile; /* "lan", "wan" or "local" */
    unsigned workers;
    uint64_t busy_poll_us;
    unsigned handshakes_per_s; /* 0: no bound */
    uint64_t sync_rate;        /* bytes a second; 0: no bound */
    unsigned relay_tunnels;    /* between other members; 0: none */
    uint64_t relay_rate;       /* bytes a second; 0: no bound */
    uint64_t store_max;        /* bytes on disk; 0: no bound */
    struct release_keep keep;
    unsigned join_limit;       /* new nodes an hour from one address */
    size_t max_payload;
    size_t max_held; /* bytes of requests held at a time, by all workers */
    enum log_level log_level;
    enum log_format log_format;
    const char *ready_file;
    const char *runtimes; /* folder of the language runtimes */
    uint64_t drain_timeout_ms;
    bool check, help, man, version;
    int argc; /* as they were read, to read them again */
    char **argv;
    char **environment;
    char state_buffer[512];
    char socket_buffer[256];
    char runtimes_buffer[4096];
};

/* Reads command line, environment, --config and Gridfile, in that order of precedence. 0, or GRID_EINVAL with one sentence in `error`.
 * options_dispose in any case. */
int options_read(struct options *o, int argc, char **argv, char **environment, struct option_error *error);
void options_dispose(struct options *o);

/* True when a Gridfile's key is the name of an option. */
bool options_is_known(struct slice key);

/* The Gridfile to use: --gridfile, else ./Gridfile, else the state folder's. False when there is none (a given one that is missing is still
 * named, so that its reader says so). */
bool options_find_gridfile(const struct options *o, char *path, size_t size);

/* The text of --help, and of --man: gridd.8 in man(7). Results as buf_append. */
int options_help(struct buf *out);
int options_man(struct buf *out);

#endif
