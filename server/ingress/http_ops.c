/* What monitors ask: is the process alive, may it get calls, and its counters in Prometheus text (exposition format 0.0.4). */
#include "server/ingress/http_ops.h"

static void healthz(struct door_request *r)
{
    door_answer(r, 200, "text/plain", SLICE("ok\n"));
}

static void readyz(struct door_request *r)
{
    char why[160] = "";
    if (r->ingress->options.ready(r->ingress->options.ctx, why))
        door_answer(r, 200, "text/plain", SLICE("ready\n"));
    else
        door_answer_error(r, 503, "UNAVAILABLE", why, -1);
}

static void metrics(struct door_request *r)
{
    struct buf text;
    buf_init(&text, 0);
    r->ingress->options.metrics(r->ingress->options.ctx, &text);
    door_answer(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&text));
    buf_dispose(&text);
}

const struct door HTTP_OPS[] = {
    {.method = "GET",
     .path = "/healthz",
     .any_body_type = true,
     .any_host = true,
     .no_token = true,
     .for_tasks = true,
     .handle = healthz},
    {.method = "GET",
     .path = "/readyz",
     .any_body_type = true,
     .any_host = true,
     .no_token = true,
     .for_tasks = true,
     .handle = readyz},
    {.method = "GET", .path = "/metrics", .any_body_type = true, .any_host = true, .handle = metrics},
    {0},
};
