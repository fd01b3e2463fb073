/* The original's host object. */
#include "server/ingress/host_json.h"

#include <inttypes.h>

#include "api/pb.h"

static void member(struct json_writer *w, const char *key, ProtobufCBinaryData value)
{
    json_write_key(w, key);
    json_write_string(w, pb_slice(value));
}

static int64_t uptime_ms(int64_t started_at_ms, int64_t now_wall_ms)
{
    return now_wall_ms > started_at_ms ? now_wall_ms - started_at_ms : 0;
}

void host_json_write(struct json_writer *w, const Grid__V1__Host *host, int64_t now_wall_ms)
{
    json_open_object(w);
    member(w, "public_ip", host->public_ip);
    member(w, "private_ip", host->private_ip);
    json_write_key(w, "api_port");
    json_write_uint(w, host->api_port);
    member(w, "name", host->name);
    member(w, "hostname", host->hostname);
    member(w, "platform", host->platform);
    member(w, "ns", host->grid);
    member(w, "user", host->user);
    member(w, "grid_version", host->version);
    json_write_key(w, "started_at");
    json_write_int(w, host->started_at_ms);
    if (now_wall_ms != 0) {
        json_write_key(w, "uptime");
        json_write_int(w, uptime_ms(host->started_at_ms, now_wall_ms));
    }
    json_write_key(w, "synchronized");
    json_write_bool(w, host->synchronized);
    if (host->local) {
        json_write_key(w, "local");
        json_write_bool(w, true);
    }
    member(w, "id", host->id);
    json_close_object(w);
}

int host_json_append_aged(struct buf *out, struct slice host_json, int64_t now_wall_ms)
{
    struct slice raw;
    int64_t started_at_ms;
    if (json_object_get(host_json, "started_at", &raw) != 0 || json_int_decode(raw, 0, INT64_MAX, &started_at_ms) != 0)
        return buf_append(out, host_json);
    int err = buf_append(out, slice_first(host_json, host_json.size - 1));
    return err == 0 ? buf_printf(out, ",\"uptime\":%" PRId64 "}", uptime_ms(started_at_ms, now_wall_ms)) : err;
}
