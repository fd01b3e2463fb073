/* The original's host object. */
#include "server/ingress/host_json.h"

#include "api/pb.h"

static void member(struct json_writer *w, const char *key, ProtobufCBinaryData value)
{
    json_write_key(w, key);
    json_write_string(w, pb_slice(value));
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
    if (now_wall_ms != 0) {
        json_write_key(w, "uptime");
        json_write_int(w, now_wall_ms > host->started_at_ms ? now_wall_ms - host->started_at_ms : 0);
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
