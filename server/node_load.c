/* Once a second: how busy this node is, for its acknowledgements, and a copy of membership's counters, for /metrics on any thread. */
#include <inttypes.h>
#include <string.h>

#include "server/node_internal.h"
#include "server/node_tunnel.h"

enum { SAMPLE_MS = 1000 };

/* ---- how busy ---- */

static uint32_t calls_in_flight(struct node *n)
{
    size_t count;
    uint32_t sum = 0;
    const struct supervisor_task *tasks = supervisor_list(n->supervisor, &count);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < tasks[i].instance_count; k++)
            sum += atomic_load_explicit(&tasks[i].instances[k].instance->in_flight, memory_order_relaxed);
    return sum;
}

static uint32_t calls_waiting(const struct node *n)
{
    uint32_t sum = 0;
    for (struct map_iter it = map_begin(n->task_shared); map_next(&it);) {
        struct route_task_shared *shared = it.value;
        sum += atomic_load_explicit(&shared->queued, memory_order_relaxed);
    }
    return sum;
}

/* Since the last time it was asked. */
static uint32_t cpu_percent(struct node *n)
{
    uint64_t busy, total;
    host_cpu_times(&busy, &total);
    uint64_t busy_since = busy - n->cpu_busy, since = total - n->cpu_total;
    bool first = n->cpu_total == 0;
    n->cpu_busy = busy;
    n->cpu_total = total;
    return first || since == 0 || busy_since > since ? 0 : (uint32_t) (busy_since * 100 / since);
}

/* ---- what membership counts ---- */

static void copy_counters(struct node *n)
{
    const struct members *view = gossip_members(n->gossip);
    struct node_gossip_metrics now = {.counters = *members_counters(view), .health = members_health(view)};
    for (size_t i = 1; i < members_count(view); i++)
        now.links += members_at(view, i)->linked;
    node_records_count(n, &now);
    uv_mutex_lock(&n->metric_lock);
    n->metric_gossip = now;
    uv_mutex_unlock(&n->metric_lock);
}

static void on_sample(void *arg)
{
    struct node *n = arg;
    uint32_t cpu = cpu_percent(n);
    atomic_store_explicit(&n->route_shared->cpu_percent, cpu, memory_order_relaxed);
    gossip_update_load(n->gossip, calls_in_flight(n), calls_waiting(n), cpu);
    copy_counters(n);
    loop_timer_start(n->loop, &n->load_timer, SAMPLE_MS, on_sample, n);
}

void node_load_open(struct node *n)
{
    on_sample(n);
}

void node_load_stop(struct node *n)
{
    loop_timer_stop(&n->load_timer);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n%s %" PRIu64 "\n", name, help, name, name, value);
}

static void gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %" PRIu64 "\n", name, help, name, name, value);
}

/* Each bucket holds those before it too. */
static void round_trips(struct buf *out, const struct members_counters *c)
{
    static const char name[] = "grid_gossip_probe_rtt_seconds";
    uint64_t count = 0;
    buf_printf(out, "# HELP %s Round trips of probes that were answered.\n# TYPE %s histogram\n", name, name);
    for (size_t i = 0; i < MEMBERS_RTT_BOUNDS; i++) {
        count += c->probe_rtts[i];
        buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, MEMBERS_RTT_BOUNDS_US[i] / 1e6, count);
    }
    count += c->probe_rtts[MEMBERS_RTT_BOUNDS];
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %" PRIu64 ".%06u\n%s_count %" PRIu64 "\n", name, count, name, c->probe_rtt_us / 1000000,
               (unsigned) (c->probe_rtt_us % 1000000), name, count);
}

void node_load_metrics(struct node *n, struct buf *out)
{
    uv_mutex_lock(&n->metric_lock);
    const struct node_gossip_metrics m = n->metric_gossip;
    uv_mutex_unlock(&n->metric_lock);
    const struct members_counters *c = &m.counters;
    gauge(out, "grid_gossip_links", "Control links that stand.", m.links);
    gauge(out, "grid_gossip_health", "How much this node distrusts itself: 0 (well) to 8.", m.health);
    counter(out, "grid_gossip_probes_total", "Probes sent.", c->probes);
    round_trips(out, c);
    counter(out, "grid_gossip_stalls_total", "Members found silent by this node.", c->stalls);
    counter(out, "grid_gossip_suspicions_total", "Members suspected by this node.", c->suspicions);
    counter(out, "grid_gossip_deaths_total", "Members held for dead, found so here or believed.", c->deaths);
    counter(out, "grid_gossip_false_positives_total", "Of these, processes that lived on and refuted it.", c->false_positives);
    counter(out, "grid_gossip_refutations_total", "Times this node refuted its own death.", c->refutations);
    counter(out, "grid_gossip_frames_received_total", "Gossip frames received.", c->frames_in);
    counter(out, "grid_gossip_frames_sent_total", "Gossip frames sent.", c->frames_out);
    counter(out, "grid_gossip_received_bytes_total", "Their bytes, without HTTP/2, TLS and TCP.", c->bytes_in);
    counter(out, "grid_gossip_sent_bytes_total", "Their bytes, without HTTP/2, TLS and TCP.", c->bytes_out);
    counter(out, "grid_gossip_signature_checks_total", "Signatures of member records checked.", m.signatures);
    counter(out, "grid_gossip_certificate_checks_total", "Certificates of member records judged.", m.certificates);
    counter(out, "grid_gossip_records_known_total", "Member records whose signature had been checked before.", m.remembered);
    node_tunnel_metrics(n, out);
    counter(out, "grid_gossip_records_refused_total", "Member records that were not their owner's word.", m.refused);
}
