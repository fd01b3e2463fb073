/* A look every few seconds: where the peers' port is, whether the grid has others, whether the table is to be kept. */
#include "server/node_dht.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "discovery/dht_uv.h"
#include "server/kept_file.h"

enum {
    LOOK_MS = 1000,
    KEEP_FIRST_MS = 30 * 1000,
    KEEP_MS = 10 * 60 * 1000,
};

struct node_dht {
    struct node *node;
    struct dht_uv *dht;
    struct loop_timer timer;
    loop_fn on_found;
    void *arg;
    uint16_t peer_port; /* as it was announced last */
    bool looking;
    uint64_t keep_ms;
    bool closing;
    struct kept_file file;
    loop_fn done;
    void *done_arg;
};

static const struct kept_file_words WORDS = {.not_read = "what was known of the DHT cannot be read: it is looked for anew", .not_kept = "what is known of the DHT cannot be kept for the next start"};

/* ---- keeping ---- */

static void on_closed(void *arg)
{
    struct node_dht *d = arg;
    loop_fn done = d->done;
    void *done_arg = d->done_arg;
    free(d);
    done(done_arg);
}

static void on_kept(void *arg)
{
    struct node_dht *d = arg;
    dht_uv_close(d->dht, on_closed, d);
}

/* What knows nobody is not kept in the place of what did. */
static void keep(struct node_dht *d)
{
    struct buf *out = kept_file_pack(&d->file);
    struct dht_counts counts;
    dht_uv_count(d->dht, &counts);
    if (out && counts.nodes[0] + counts.nodes[1] > 0 && dht_uv_save(d->dht, out) == 0)
        (void) kept_file_write(&d->file); /* without memory the next time */
}

/* ---- looking ---- */

static uint16_t peer_port(const struct node *n)
{
    size_t given;
    const struct option_hostport *advertise = option_hostports(n->options->set, "advertise", &given);
    return given > 0 ? advertise[0].port : addr_port(worker_set_peer(n->workers));
}

static void look(void *arg)
{
    struct node_dht *d = arg;
    struct node *n = d->node;
    uint64_t now = loop_now_ms(n->loop);
    uint16_t port = worker_set_peer(n->workers)->size > 0 ? peer_port(n) : 0;
    if (d->closing)
        return;
    if (!d->looking || port != d->peer_port)
        (void) dht_uv_look_for(d->dht, slice_of_str(n->grid), port); /* names are short */
    d->looking = true;
    d->peer_port = port;
    dht_uv_set_lonely(d->dht, atomic_load(&n->metric_members) <= 1);
    if (now >= d->keep_ms && !kept_file_is_writing(&d->file)) {
        d->keep_ms = now + KEEP_MS;
        keep(d);
    }
    loop_timer_start(n->loop, &d->timer, LOOK_MS, look, d);
}

static void on_found(void *ctx)
{
    struct node_dht *d = ctx;
    d->on_found(d->arg);
}

bool node_dht_next(struct node_dht *d, char out[ADDR_TEXT_MAX])
{
    struct addr at;
    if (d->closing || !dht_uv_next(d->dht, &at, NULL))
        return false;
    addr_format(&at, out);
    return true;
}

/* ---- life ---- */

/* Where peers are listened on, or will be. */
static void listen_address(const struct node *n, struct addr *out)
{
    *out = *worker_set_peer(n->workers);
    if (out->size == 0 && addr_parse(slice_of_str(option_string(n->options->set, "listen")), out) != 0)
        (void) addr_parse(SLICE("[::]:0"), out);
}

int node_dht_open(struct node *n, loop_fn found, void *arg, struct node_dht **out)
{
    struct node_dht *d = calloc(1, sizeof *d);
    struct dht_uv_config c = {.bootstrap = n->options->dht_bootstrap, .bootstrap_count = n->options->dht_bootstrap_count};
    if (!d)
        return GRID_ENOMEM;
    *d = (struct node_dht){.node = n, .on_found = found, .arg = arg, .keep_ms = loop_now_ms(n->loop) + KEEP_FIRST_MS};
    kept_file_init(&d->file, n->loop, n->options->state, "dht", &WORDS);
    listen_address(n, &c.listen);
    c.saved = kept_file_read(&d->file);
    int err = dht_uv_create(n->loop, &c, on_found, d, &d->dht);
    if (err != 0) {
        kept_file_dispose(&d->file);
        free(d);
        return err;
    }
    log_line(LOG_INFO, "other nodes are looked for in the mainline DHT", LOGF_INT("udp_port_v4", dht_uv_port(d->dht, 0)), LOGF_INT("udp_port_v6", dht_uv_port(d->dht, 1)));
    *out = d;
    look(d);
    return 0;
}

void node_dht_close(struct node_dht *d, loop_fn done, void *arg)
{
    d->done = done;
    d->done_arg = arg;
    loop_timer_stop(&d->timer);
    keep(d);
    d->closing = true;
    kept_file_close(&d->file, on_kept, d);
}
