/* A table with one chain: what comes by another interface than loopback and wants one of the ports is dropped. */
#include "server/supervise/firewall.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"

enum { TABLE_NAME_MAX = 64 };

struct port_list {
    uint16_t ports[FIREWALL_PORTS_MAX];
    size_t count;
};

struct firewall {
    struct loop *loop;
    char table[TABLE_NAME_MAX];
    struct port_list wanted, trying, shut;
    uv_process_t nft;
    bool running, dirty, warned, closing, failed;
    bool used; /* nft has been run: there may be a table */
    loop_fn on_change;
    void *ctx;
    struct loop_deferred begin;
    loop_fn done;
    void *done_arg;
};

/* Adding before deleting makes deleting sure to find one. */
int firewall_script(const char *table, const uint16_t *ports, size_t count, struct buf *out)
{
    int err = buf_printf(out, "add table inet %s; delete table inet %s; ", table, table);
    if (err != 0 || count == 0)
        return err;
    err = buf_printf(out, "table inet %s { chain input { type filter hook input priority -10; policy accept; iifname != \"lo\" tcp dport { ", table);
    for (size_t i = 0; err == 0 && i < count; i++)
        err = buf_printf(out, "%s%u", i ? ", " : "", ports[i]);
    return err == 0 ? buf_append_str(out, " } drop; }; }") : err;
}

static bool equal(const struct port_list *a, const struct port_list *b)
{
    return a->count == b->count && memcmp(a->ports, b->ports, a->count * sizeof *a->ports) == 0;
}

static void apply(void *arg);

static void finish(struct firewall *f)
{
    loop_fn done = f->done;
    void *arg = f->done_arg;
    loop_defer_cancel(&f->begin);
    free(f);
    done(arg);
}

/* Only who has something to shut off hears that it cannot be. */
static void warn_once(struct firewall *f, const char *why)
{
    if (f->warned || f->trying.count == 0)
        return;
    f->warned = true;
    log_line(LOG_WARN, "tasks that listen on all interfaces cannot be shut off from outside: install nftables, or close their ports yourself", LOGF_STR("why", why));
}

static void ended(struct firewall *f, bool taken)
{
    f->running = false;
    if (taken)
        f->shut = f->trying;
    if (f->closing && !f->dirty) {
        finish(f);
        return;
    }
    if (f->dirty)
        loop_defer(f->loop, &f->begin, apply, f);
    if (!f->closing)
        f->on_change(f->ctx);
}

static void on_closed(uv_handle_t *handle)
{
    struct firewall *f = handle->data;
    ended(f, !f->failed);
}

static void on_exit_status(uv_process_t *nft, int64_t status, int signal)
{
    struct firewall *f = nft->data;
    f->failed = status != 0 || signal != 0;
    if (f->failed)
        warn_once(f, "nft failed: it needs CAP_NET_ADMIN and a kernel with nf_tables");
    uv_close((uv_handle_t *) nft, on_closed);
}

static int run_nft(struct firewall *f, const char *script)
{
    char *args[] = {(char *) "nft", (char *) script, NULL};
    uv_stdio_container_t none[3] = {{.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_IGNORE}};
    uv_process_options_t options = {.exit_cb = on_exit_status, .file = "nft", .args = args, .stdio = none, .stdio_count = 3};
    f->nft.data = f;
    return uv_spawn(loop_uv(f->loop), &f->nft, &options);
}

static void apply(void *arg)
{
    struct firewall *f = arg;
    struct buf script;
    if (f->running)
        return;
    f->used = true;
    buf_init(&script, 0);
    f->dirty = false;
    f->running = true;
    f->trying = f->wanted;
    bool ready = firewall_script(f->table, f->trying.ports, f->trying.count, &script) == 0 && buf_cstr(&script);
    int err = ready ? run_nft(f, buf_cstr(&script)) : UV_ENOMEM;
    if (err != 0) {
        warn_once(f, uv_strerror(err));
        f->failed = true;
        if (ready)
            uv_close((uv_handle_t *) &f->nft, on_closed); /* libuv wants that of a spawn that failed, too */
        else
            ended(f, false);
    }
    buf_dispose(&script);
}

struct firewall *firewall_create(struct loop *l, const char *table, bool leftovers, loop_fn on_change, void *ctx)
{
    struct firewall *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->loop = l;
    f->on_change = on_change;
    f->ctx = ctx;
    f->dirty = leftovers;
    strncpy(f->table, table, sizeof f->table - 1);
    if (leftovers)
        loop_defer(l, &f->begin, apply, f);
    return f;
}

void firewall_set(struct firewall *f, const uint16_t *ports, size_t count)
{
    struct port_list list = {.count = count < FIREWALL_PORTS_MAX ? count : FIREWALL_PORTS_MAX};
    if (list.count > 0)
        memcpy(list.ports, ports, list.count * sizeof *ports);
    if (equal(&list, &f->wanted))
        return;
    f->wanted = list;
    f->dirty = true;
    loop_defer(f->loop, &f->begin, apply, f);
}

static void finish_unused(void *arg)
{
    finish(arg);
}

void firewall_close(struct firewall *f, loop_fn done, void *arg)
{
    f->closing = true;
    f->done = done;
    f->done_arg = arg;
    if (!f->used && !f->dirty) {
        loop_defer(f->loop, &f->begin, finish_unused, f);
        return;
    }
    f->wanted.count = 0;
    f->dirty = true;
    loop_defer(f->loop, &f->begin, apply, f);
}

bool firewall_is_shut(const struct firewall *f, uint16_t port)
{
    for (size_t i = 0; i < f->shut.count; i++)
        if (f->shut.ports[i] == port)
            return true;
    return false;
}
