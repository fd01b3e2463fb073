/* One node's life: open the parts from the bottom up, run, and on SIGTERM take them down in the order that loses nothing:
 *
 *   not ready -> farewell to the grid -> no more accepts, calls in flight end -> workers stop -> control port -> releases -> tasks -> gossip -> joins
 */
#include "server/node.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/token_buckets.h"
#include "net/notify.h"
#include "server/confine/confine.h"
#include "server/ingress/rpc_roles.h"
#include "server/node_internal.h"
#include "server/node_adopt.h"
#include "server/node_ask.h"
#include "server/node_delegate.h"
#include "server/node_direct.h"
#include "server/node_discover.h"
#include "server/node_found.h"
#include "server/node_join.h"
#include "server/node_ledger.h"
#include "server/node_logs.h"
#include "server/node_reach.h"
#include "server/node_reverse.h"
#include "server/node_tunnel.h"
#include "server/node_verdict.h"

enum { DEFAULT_DEADLINE_MS = 60000, IN_FLIGHT_PER_INSTANCE = 100, QUEUE_PER_TASK = 1000, UNSTARTABLE_MS = 5000, ATTEMPTS = 3, DESCRIPTORS_WANTED = 65536,
       HELD_OVERHEAD = 128 * 1024 /* of two requests beside their payloads */ };

/* ---- the local API's rules ---- */

enum { TOKEN_MIN = 16, TOKEN_MAX = sizeof((struct node *) 0)->api_token - 1 };

static bool is_token(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return text.size >= TOKEN_MIN && text.size <= TOKEN_MAX;
}

/* The file's only line. */
static int take_token(struct node *n, const char *path, struct slice text, bool open_to_others, char why[NODE_WHY_MAX])
{
    while (text.size > 0 && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r'))
        text.size--;
    if (!open_to_others && is_token(text)) {
        memcpy(n->api_token, text.data, text.size);
        return 0;
    }
    if (open_to_others)
        snprintf(why, NODE_WHY_MAX, "--api-token-file: %.300s can be read by others: run chmod 600 %.300s", path, path);
    else
        snprintf(why, NODE_WHY_MAX,
                 "--api-token-file: %.300s holds no token: put one line of %d to %d printable characters without spaces into it "
                 "(openssl rand -hex 24)",
                 path, (int) TOKEN_MIN, (int) TOKEN_MAX);
    return GRID_EINVAL;
}

static int read_token(struct node *n, char why[NODE_WHY_MAX])
{
    const char *path = n->options->api_token_file;
    bool open_to_others = false;
    struct buf text;
    if (!path)
        return 0;
    buf_init(&text, TRUST_FILE_MAX + 4096);
    int err = trust_file_read(path, &text, &open_to_others);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "--api-token-file: %.300s cannot be read (%s): give a file with the token as its only line", path, grid_err_text(err));
    else
        err = take_token(n, path, buf_slice(&text), open_to_others, why);
    if (text.data)
        explicit_bzero(text.data, text.size);
    buf_dispose(&text);
    return err;
}

static int resolve_api(const struct option_hostport *from, struct addr *to)
{
    char text[ADDR_TEXT_MAX];
    const char *host = strcmp(from->host, "localhost") == 0 ? "127.0.0.1" : from->host;
    bool v6 = strchr(host, ':') != NULL;
    snprintf(text, sizeof text, "%s%.100s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", from->port);
    return addr_parse(slice_of_str(text), to);
}

static int take_api_addresses(struct node *n, struct worker_set_options *w, char why[NODE_WHY_MAX])
{
    const struct options *o = n->options;
    for (size_t i = 0; i < o->api_count; i++) {
        if (resolve_api(&o->api[i], &w->api[i]) != 0) {
            snprintf(why, NODE_WHY_MAX, "--api: \"%.100s\" is not a numeric address: give for example --api 127.0.0.1:10000", o->api[i].host);
            return GRID_EINVAL;
        }
        if (!addr_is_loopback(&w->api[i]) && !n->api_token[0]) {
            snprintf(why, NODE_WHY_MAX, "--api: %.100s is not loopback, so the API asks for a token: give --api-token-file FILE", o->api[i].host);
            return GRID_EINVAL;
        }
        w->api_optional[i] = !o->api_given && i > 0;
    }
    w->api_count = (unsigned) o->api_count;
    return 0;
}

/* The token is asked for as soon as one listener is not loopback, on all but the Unix socket. */
static bool api_asks_token(const struct worker_set_options *w)
{
    for (unsigned i = 0; i < w->api_count; i++)
        if (!addr_is_loopback(&w->api[i]))
            return true;
    return false;
}

int node_peer_address(const struct node *n, struct addr *to, char why[NODE_WHY_MAX])
{
    if (resolve_api(&n->options->listen, to) == 0)
        return 0;
    snprintf(why, NODE_WHY_MAX, "--listen: \"%.100s\" is not a numeric address: give for example --listen [::]:7900", n->options->listen.host);
    return GRID_EINVAL;
}

/* A grid of one listens to nobody. */
static int take_peer_address(const struct node *n, struct addr *to, char why[NODE_WHY_MAX])
{
    return n->authority ? node_peer_address(n, to, why) : 0;
}

/* The socket's folder is made where it is missing; a group that does not exist is left out. */
static void take_api_socket(const struct node *n, struct worker_set_options *w)
{
    char folder[256], *slash;
    if (!n->options->api_socket)
        return;
    snprintf(folder, sizeof folder, "%s", n->options->api_socket);
    slash = strrchr(folder, '/');
    if (slash && slash != folder) {
        *slash = '\0';
        if (mkdir(folder, 0755) != 0 && errno != EEXIST) {
            log_line(LOG_WARN, "the API has no Unix socket: its folder cannot be made", LOGF_STR("folder", folder), LOGF_STR("why", strerror(errno)));
            return;
        }
    }
    w->api_socket = n->options->api_socket;
    w->api_socket_mode = geteuid() == 0 ? 0660 : 0600;
    w->api_socket_group = geteuid() == 0 && getgrnam("gridcontrol") ? "gridcontrol" : NULL;
}

/* ---- news from the workers ---- */

static void on_instance_refused(void *ctx, uint64_t instance_id)
{
    supervisor_report_refused(((struct node *) ctx)->supervisor, instance_id);
}

static void on_task_wanted(void *ctx, const char *task)
{
    supervisor_grow(((struct node *) ctx)->supervisor, task);
}

static void on_peer_failed(void *ctx, const char *node_id)
{
    (void) ctx;
    log_line(LOG_DEBUG, "a call link failed", LOGF_STR("id", node_id));
}

static void on_control_conn(void *ctx, struct conn *c)
{
    struct node *n = ctx;
    if (strcmp(conn_alpn(c), NODE_JOIN_ALPN) == 0)
        node_join_accept(n, c); /* a stranger: nothing else may be said on it */
    else if (node_reverse_take(n, c))
        return;
    else if (n->control_server && n->verdict && conn_tls_peer(c) && verdict_refuses(n->verdict, conn_tls_peer(c)))
        conn_close(c); /* its handshake began before the verdict did */
    else if (n->control_server)
        http_server_adopt(n->control_server, c);
    else
        conn_close(c); /* it was on its way when the node closed */
}

/* ---- news from below ---- */

void node_tasks_changed(void *ctx)
{
    struct node *n = ctx;
    if (!n->releases)
        return; /* closing: nobody is told any more */
    node_gossip_update(n);
    node_routes_changed(n);
}

static void on_releases_changed(void *ctx)
{
    node_tasks_changed(ctx);
}

/* ---- opening ---- */

/* Of the descriptors a quarter at most serves callers, another one peers, and an eighth the control plane: who opens connections without end leaves
 * the rest to tasks, links and files. */
static size_t connections_max(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < DESCRIPTORS_WANTED ? limit.rlim_cur / 4 : DESCRIPTORS_WANTED / 4;
}

/* A worker's share of --max-held, in which two of the largest requests fit whatever the number of workers. */
static size_t held_by_a_worker(const struct options *o)
{
    size_t share = o->max_held / o->workers, two = o->max_payload * 2 + HELD_OVERHEAD;
    return share > two ? share : two;
}

static int open_workers(struct node *n, char why[NODE_WHY_MAX])
{
    const struct options *o = n->options;
    struct worker_set_options w = {.count = o->workers, .connections_max = connections_max() / o->workers + 1, .busy_poll_us = o->busy_poll_us, .handshakes_per_s = o->handshakes_per_s, .control = n->loop, .peer_tls = n->server_tls, .admin = n->admin, .on_control_conn = on_control_conn,
                                   .on_instance_refused = on_instance_refused, .on_task_wanted = on_task_wanted, .on_peer_failed = on_peer_failed, .on_wanted = node_reverse_wanted, .ctx = n};
    int err = take_api_addresses(n, &w, why);
    if (err == 0)
        err = take_peer_address(n, &w.peer, why);
    if (err != 0)
        return err;
    w.ingress = (struct ingress_options){.max_payload = o->max_payload, .held_bytes = held_by_a_worker(o), .default_deadline_ms = DEFAULT_DEADLINE_MS, .grid_name = n->grid,
                                         .api_hosts = (const char *const *) n->api_hosts, .api_token = api_asks_token(&w) ? n->api_token : NULL,
                                         .metrics = node_metrics, .ready = node_is_ready, .is_task = node_is_task,
                                         .tasks_share_user = !n->task_user.own, .ctx = n};
    w.dispatch = (struct dispatch_options){.max_payload = o->max_payload, .in_flight_limit = IN_FLIGHT_PER_INSTANCE, .queue_limit = QUEUE_PER_TASK,
                                           .unstartable_ms = UNSTARTABLE_MS, .attempts = ATTEMPTS};
    take_api_socket(n, &w);
    w.api_socket_optional = option_source(o->set, "api-socket") <= OPTION_FROM_DEFAULT;
    return worker_set_create(&w, &n->workers, why);
}

static int open_releases(struct node *n, char why[NODE_WHY_MAX])
{
    struct releases_options r = {.loop = n->loop, .state_dir = n->options->state, .supervisor = n->supervisor, .publisher = node_id(n), .platform = n->host.platform,
                                 .certificate_der = buf_slice(&n->standing.certificate), .peer_tls = n->control_tls, .traffic = &n->sync_traffic, .sync_rate = n->options->sync_rate,
                                 .store_max = n->options->store_max, .keep = n->options->keep, .sign = node_sign, .verify = node_verdict_of_entry, .is_of_grid = node_verdict_is_of_grid,
                                 .peers = node_release_peers, .announce = node_announce, .on_conflict = node_deploys_conflict, .on_change = on_releases_changed, .ctx = n};
    return releases_create(&r, &n->releases, why);
}

static void on_control_request(void *node, struct http_exchange *x)
{
    if (!grpc_server_handle(((struct node *) node)->control_grpc, x))
        http_answer_unread(x, 415, NULL, 0, slice_of(NULL, 0));
}

/* The control plane's own gRPC server: gossip and chunks, for peers whose connections the workers hand over. */
static int open_control_port(struct node *n)
{
    enum { CONTROL_MESSAGE_MAX = 4 * 1024 * 1024 };
    struct http_server_limits limits = HTTP_SERVER_LIMITS_DEFAULT;
    limits.streams = 1000;
    limits.connections_max = connections_max() / 2;
    int err = grpc_server_create(n->loop, CONTROL_MESSAGE_MAX, &n->control_grpc);
    if (err == 0)
        grpc_server_set_roles(n->control_grpc, rpc_roles);
    if (err == 0)
        err = grpc_server_add(n->control_grpc, gossip_service(n->gossip));
    if (err == 0)
        err = grpc_server_add(n->control_grpc, node_trust_service(n));
    if (err == 0)
        err = grpc_server_add(n->control_grpc, node_reach_service(n));
    if (err == 0)
        err = grpc_server_add(n->control_grpc, releases_sync_service(n->releases));
    return err == 0 ? http_server_create(n->loop, &limits, on_control_request, n, &n->control_server) : err;
}


/* As many descriptors as the system allows, up to what a busy node needs. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS_WANTED)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_WANTED ? limit.rlim_max : DESCRIPTORS_WANTED;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* api_hosts as a list ended by NULL. */
static int take_api_hosts(struct node *n)
{
    n->api_hosts = calloc(n->options->api_host_count + 1, sizeof *n->api_hosts);
    for (size_t i = 0; n->api_hosts && i < n->options->api_host_count; i++)
        n->api_hosts[i] = strdup(n->options->api_hosts[i]);
    return n->api_hosts ? 0 : GRID_ENOMEM;
}

static int open_parts(struct node *n, char why[NODE_WHY_MAX])
{
    const struct group *writers = getgrnam("gridcontrol");
    snprintf(why, NODE_WHY_MAX, "out of memory");
    int err = take_api_hosts(n);
    if (err == 0)
        err = read_token(n, why);
    if (err == 0)
        err = admin_create(n->loop, NODE_CONTROL, writers ? writers->gr_gid : (gid_t) -1, n, &n->admin);
    if (err == 0)
        err = node_tasks_check(n, why);
    if (err == 0)
        err = carrier_create(n->loop, node_reverse_wanted, n, &n->carrier);
    if (err == 0)
        err = node_tunnel_open(n);
    if (err == 0)
        err = node_reach_open(n);
    if (err == 0)
        err = node_direct_open(n);
    if (err == 0)
        err = open_workers(n, why);
    if (err == 0)
        err = node_tasks_open(n, why);
    if (err == 0)
        err = open_releases(n, why);
    if (err == 0)
        err = node_gossip_open(n, why);
    if (err == 0)
        node_load_open(n);
    return err == 0 ? open_control_port(n) : err;
}

/* ---- ready ---- */

static void write_ready_file(const struct node *n)
{
    struct buf text;
    struct json_writer w;
    char api[ADDR_TEXT_MAX], listen[ADDR_TEXT_MAX] = "";
    addr_format(worker_set_api(n->workers), api);
    if (worker_set_peer(n->workers)->size != 0)
        addr_format(worker_set_peer(n->workers), listen);
    buf_init(&text, 0);
    json_writer_init(&w, &text);
    json_open_object(&w);
    json_write_key(&w, "name");
    json_write_str(&w, n->name);
    json_write_key(&w, "id");
    json_write_str(&w, node_id(n));
    json_write_key(&w, "grid");
    json_write_str(&w, n->grid);
    json_write_key(&w, "api");
    json_write_str(&w, api);
    json_write_key(&w, "listen");
    json_write_str(&w, listen);
    json_write_key(&w, "pid");
    json_write_int(&w, getpid());
    json_close_object(&w);
    buf_append_byte(&text, '\n');
    log_line(LOG_INFO, "ready", LOGF_STR("name", n->name), LOGF_STR("id", node_id(n)), LOGF_STR("grid", n->grid), LOGF_STR("api", api), LOGF_STR("listen", listen),
             LOGF_INT("workers", worker_set_count(n->workers)));
    if (n->options->ready_file && trust_file_show(n->options->ready_file, buf_slice(&text), 0644) != 0)
        log_line(LOG_ERROR, "the ready file cannot be written: give --ready-file a path in a folder that exists", LOGF_STR("path", n->options->ready_file));
    buf_dispose(&text);
    notify_service_manager("READY=1");
}

/* ---- stopping, step by step; parts that were never opened are passed over ---- */

static void signals_close(struct node *n)
{
    for (unsigned i = 0; i < n->signals_open; i++)
        uv_close((uv_handle_t *) &n->signals[i], NULL);
    loop_stop(n->loop);
}

static void join_ended(void *arg)
{
    signals_close(arg);
}

static void gossip_closed(void *arg)
{
    struct node *n = arg;
    n->gossip = NULL;
    node_records_close(n);
    node_gossip_dispose(n);
    node_found_dispose(n);
    map_destroy(n->told);
    n->told = NULL;
    token_buckets_destroy(n->member_lines);
    n->member_lines = NULL;
    node_join_close(n, join_ended, n);
}

static void discover_closed(void *arg)
{
    struct node *n = arg;
    if (n->gossip)
        gossip_close(n->gossip, gossip_closed, n);
    else
        gossip_closed(n);
}

static void tasks_stopped(void *arg)
{
    struct node *n = arg;
    node_load_stop(n); /* before it, where the start has failed */
    n->supervisor = NULL;
    node_discover_close(n, discover_closed, n);
}

static void releases_closed(void *arg)
{
    struct node *n = arg;
    n->releases = NULL;
    loop_defer_cancel(&n->route_dirty);
    if (n->supervisor)
        supervisor_close(n->supervisor, tasks_stopped, n);
    else
        tasks_stopped(n);
}

/* Nobody asks for chunks any more. */
static void control_closed(void *arg)
{
    struct node *n = arg;
    if (n->releases)
        releases_close(n->releases, releases_closed, n);
    else
        releases_closed(n);
}

/* Behind the last question that a worker has sent. */
static void workers_stopped(void *arg)
{
    struct node *n = arg;
    struct http_server *server = n->control_server;
    n->control_server = NULL;
    node_reverse_stop(n);
    node_tunnel_stop(n);
    if (server)
        http_server_close(server, control_closed, n);
    else
        control_closed(n);
}

static void drained(void *arg)
{
    struct node *n = arg;
    n->stopping = true;
    if (n->workers)
        worker_set_stop(n->workers);
    if (loop_post(n->loop, workers_stopped, n) != 0)
        workers_stopped(n);
}

static void said_goodbye(void *arg)
{
    struct node *n = arg;
    worker_set_drain(n->workers, n->options->drain_timeout_ms, drained, n);
}

static void on_stop_signal(uv_signal_t *handle, int number)
{
    struct node *n = handle->data;
    if (n->stopping)
        return;
    n->stopping = true;
    atomic_store(&n->ready, false);
    log_line(LOG_INFO, "stopping: calls in flight may end first", LOGF_INT("signal", number));
    notify_service_manager("STOPPING=1");
    loop_timer_stop(&n->join_timer);
    loop_timer_stop(&n->refused_timer);
    node_load_stop(n);
    node_ledger_stop(n);
    node_decide_stop(n);
    node_delegate_stop(n);
    node_adopt_stop(n);
    admin_stop(n->admin);
    node_ask_stop(n);
    node_logs_stop(n);
    node_reach_stop(n);
    node_direct_stop(n);
    node_watchers_stop(n);
    node_deploys_stop(n);
    if (n->gossip)
        gossip_leave(n->gossip, said_goodbye, n);
    else
        said_goodbye(n);
}

/* Reads the options again and takes what may change while running. */
static void on_reload_signal(uv_signal_t *handle, int number)
{
    struct node *n = handle->data;
    struct options again;
    struct option_error error;
    (void) number;
    if (options_read(&again, n->options->argc, n->options->argv, n->options->environment, &error) != 0) {
        log_line(LOG_ERROR, "the configuration cannot be reloaded: what was in force stays", LOGF_STR("why", error.message));
    } else {
        const char *fixed = option_fixed_change(n->options->set, again.set);
        log_set_level(again.log_level);
        if (fixed)
            log_line(LOG_WARN, "reloaded, but an option that changed needs a restart", LOGF_STR("option", fixed));
        else
            log_line(LOG_INFO, "reloaded");
    }
    options_dispose(&again);
}

static int open_signals(struct node *n)
{
    static const int NUMBERS[] = {SIGTERM, SIGINT, SIGHUP};
    signal(SIGPIPE, SIG_IGN);
    for (; n->signals_open < sizeof NUMBERS / sizeof *NUMBERS; n->signals_open++) {
        uv_signal_t *handle = &n->signals[n->signals_open];
        int number = NUMBERS[n->signals_open];
        if (uv_signal_init(loop_uv(n->loop), handle) != 0)
            return GRID_EIO;
        handle->data = n;
        if (uv_signal_start(handle, number == SIGHUP ? on_reload_signal : on_stop_signal, number) != 0)
            return GRID_EIO;
    }
    return 0;
}

/* ---- the whole ---- */

static void node_free(struct node *n)
{
    if (n->workers)
        worker_set_end(n->workers);
    if (n->loop)
        loop_destroy(n->loop); /* what workers told it last still finds their set */
    if (n->workers)
        worker_set_destroy(n->workers);
    if (n->control_grpc)
        grpc_server_destroy(n->control_grpc);
    admin_destroy(n->admin);
    carrier_destroy(n->carrier);
    node_tunnel_free(n);
    node_reach_free(n);
    node_direct_free(n);
    node_routes_close(n);
    node_trust_close(n);
    node_state_close(n);
    arena_destroy(n->self_arena);
    for (size_t i = 0; n->api_hosts && n->api_hosts[i]; i++)
        free(n->api_hosts[i]);
    free(n->api_hosts);
    free(n->certificate_memo);
    free(n);
}

static struct node *node_create(const struct options *options)
{
    struct node *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->certificate_memo = calloc(1, sizeof *n->certificate_memo);
    if (!n->certificate_memo) {
        free(n);
        return NULL;
    }
    n->options = options;
    n->state_lock = -1;
    n->started_at_ms = loop_wall_ms();
    host_info_read(&n->host);
    node_routes_init(n);
    return n;
}

static int open_identity(struct node *n, char why[NODE_WHY_MAX])
{
    int err = node_state_open(n, why);
    return err == 0 ? node_trust_open(n, why) : err;
}

/* What a start would refuse, as far as it can be told without writing or binding anything. */
static int check_all(struct node *n, char why[NODE_WHY_MAX])
{
    struct worker_set_options w = {0};
    int err = node_state_check(n, why);
    if (err == 0)
        err = node_trust_check(n, why);
    if (err == 0)
        err = node_tasks_check(n, why);
    if (err == 0)
        err = read_token(n, why);
    if (err == 0)
        err = take_api_addresses(n, &w, why);
    return err == 0 ? take_peer_address(n, &w.peer, why) : err;
}

int node_check(const struct options *options)
{
    char why[NODE_WHY_MAX] = "out of memory";
    struct node *n = node_create(options);
    int err = n ? check_all(n, why) : GRID_ENOMEM;
    if (err != 0)
        fprintf(stderr, "gridd: %s\n", why);
    if (n)
        node_free(n);
    return err == 0 ? 0 : 2;
}

/* Who gave none may not know that one was found: with a password on the command line he would take it for what lets this node in. */
static void log_way_in(const struct node *n)
{
    char path[4096], whole[PATH_MAX];
    const struct options *o = n->options;
    bool found = options_find_gridfile(o, path, sizeof path);
    if (found && strcmp(path, "Gridfile") == 0 && !o->gridfile && (o->password_file || o->password) && n->gridfile.authority_certificate)
        log_line(LOG_WARN, "a Gridfile was found here and is used: by its key this node belongs to the grid, whatever password it was given; for the password alone start it in a folder without one",
                 LOGF_STR("path", realpath(path, whole) ? whole : path));
    else if (found)
        log_line(LOG_INFO, "a Gridfile is used", LOGF_STR("path", realpath(path, whole) ? whole : path));
    if (o->listen_given && !n->authority)
        log_line(LOG_WARN, "this node has neither Gridfile nor password: it is a grid of one, and does not listen for others (--listen)");
}

static void start(struct node *n)
{
    char why[NODE_WHY_MAX];
    node_gossip_update(n);
    releases_start(n->releases);
    node_ledger_start(n);
    node_routes_changed(n);
    log_way_in(n);
    write_ready_file(n);
    node_join_start(n);
    node_reach_look_soon(n);
    if (node_discover_open(n, why) != 0)
        log_line(LOG_ERROR, "this node looks for no others", LOGF_STR("why", why));
}

/* Opens everything; on failure what was opened is closed by running the loop's stopping steps. */
static int open_all(struct node *n, char why[NODE_WHY_MAX])
{
    int err = open_identity(n, why);
    if (err == 0)
        err = loop_create(&n->loop);
    if (err == 0)
        err = open_signals(n);
    if (err == 0)
        err = open_parts(n, why);
    return err == 0 ? worker_set_start(n->workers) : err;
}

/* Neither a core dump nor another process of the node's user may show its keys. The sanitizers' leak check traces the process, which needs it. */
static void shut_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
    prctl(PR_SET_DUMPABLE, 0);
#endif
}

int node_run(const struct options *options)
{
    char why[NODE_WHY_MAX] = "out of memory";
    struct node *n = node_create(options);
    if (!n)
        return 1;
    log_configure(options->log_level, options->log_format, NULL);
    raise_descriptor_limit();
    (void) confine_view_possible(); /* asked before the memory is shut: nobody but root may write a user namespace's maps afterwards */
    shut_memory();
    umask(022); /* the tasks' own user reads the releases; what is secret is made with a mode of its own */
    int err = open_all(n, why);
    if (err != 0) {
        fprintf(stderr, "gridd: %s\n", why);
        if (n->loop)
            loop_post(n->loop, drained, n);
    } else {
        log_configure(options->log_level, options->log_format, n->name);
        start(n);
    }
    if (n->loop)
        loop_run(n->loop);
    if (err == 0)
        log_line(LOG_INFO, "stopped");
    node_free(n);
    return err == 0 ? 0 : 2;
}
