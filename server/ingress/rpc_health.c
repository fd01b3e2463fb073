/* grpc.health.v1.Health: "" and every service serve while the node is ready; unknown ones are NOT_FOUND on Check and
 * SERVICE_UNKNOWN on Watch, which stays open (grpc/doc/health-checking.md). */
#include <stdlib.h>

#include "api/pb.h"
#include "grpc/health/v1/health.pb-c.h"
#include "server/ingress/ingress_internal.h"

enum { WATCH_INTERVAL_MS = 1000 };

struct health_call {
    struct ingress *ingress;
    struct grpc_call *call;
    bool watch;
    int last; /* status sent last, -1 before the first */
    struct loop_timer timer;
    struct slice service;
    struct arena *arena;
};

static bool service_known(const struct ingress *i, struct slice name)
{
    for (size_t n = 0; n < grpc_server_service_count(i->api_grpc); n++)
        if (slice_equal_str(name, grpc_server_service(i->api_grpc, n)->name))
            return true;
    return name.size == 0;
}

static int service_status(const struct health_call *h)
{
    char why[160];
    if (!service_known(h->ingress, h->service))
        return GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
    return h->ingress->options.ready(h->ingress->options.ctx, why)
               ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
               : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
}

static void send_status(struct health_call *h, int status)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    struct buf packed;
    buf_init(&packed, 0);
    response.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus) status;
    if (pb_append(&packed, &response.base) == 0)
        grpc_call_send(h->call, buf_slice(&packed));
    buf_dispose(&packed);
    h->last = status;
}

/* A watch has no end of its own, and a stop waits for calls: so it ends when the node drains. */
static void watch_tick(void *arg)
{
    struct health_call *h = arg;
    bool draining = grpc_call_draining(h->call);
    int status = draining ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING : service_status(h);
    if (status != h->last)
        send_status(h, status);
    if (draining)
        grpc_call_finish(h->call, GRPC_UNAVAILABLE, "the node stops");
    else
        loop_timer_start(h->ingress->loop, &h->timer, WATCH_INTERVAL_MS, watch_tick, h);
}

static void on_message(void *ctx, struct grpc_call *call, struct slice message)
{
    struct health_call *h = ctx;
    const Grpc__Health__V1__HealthCheckRequest *request =
        pb_unpack(&grpc__health__v1__health_check_request__descriptor, h->arena, message);
    if (!request) {
        grpc_call_finish(call, GRPC_INVALID_ARGUMENT, "the message is not a HealthCheckRequest");
        return;
    }
    h->service = pb_slice(request->service);
    if (h->watch) {
        watch_tick(h);
    } else if (!service_known(h->ingress, h->service)) {
        grpc_call_finish(call, GRPC_NOT_FOUND, "no such service: server reflection lists them");
    } else {
        send_status(h, service_status(h));
        grpc_call_finish(call, GRPC_OK, NULL);
    }
}

static void on_close(void *ctx, struct grpc_call *call, int err)
{
    struct health_call *h = ctx;
    (void) call;
    (void) err;
    loop_timer_stop(&h->timer);
    arena_destroy(h->arena);
    free(h);
}

static const struct grpc_call_events CALL_EVENTS = {.on_message = on_message, .on_close = on_close};

static void call_begin(struct ingress *i, struct grpc_call *call, bool watch)
{
    struct health_call *h = calloc(1, sizeof *h);
    struct arena *arena = arena_create(512, 64 * 1024);
    if (!h || !arena) {
        free(h);
        arena_destroy(arena);
        grpc_call_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
        return;
    }
    *h = (struct health_call){.ingress = i, .call = call, .watch = watch, .last = -1, .arena = arena};
    grpc_call_bind(call, &CALL_EVENTS, h);
}

static void on_check(void *ctx, struct grpc_call *call)
{
    call_begin(ctx, call, false);
}

static void on_watch(void *ctx, struct grpc_call *call)
{
    call_begin(ctx, call, true);
}

static const struct grpc_method METHODS[] = {
    {.path = "/grpc.health.v1.Health/Check", .on_call = on_check, .max_message = 4096},
    {.path = "/grpc.health.v1.Health/Watch",
     .server_streams = true,
     .on_call = on_watch,
     .max_message = 4096},
};

const struct grpc_service RPC_HEALTH = {
    .name = "grpc.health.v1.Health", .methods = METHODS, .method_count = sizeof METHODS / sizeof *METHODS};
