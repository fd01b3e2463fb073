/* server/ingress/host_json.h: a node as the original shows it: {public_ip, private_ip, api_port, name, hostname, platform, ns,
 * user, grid_version, uptime, synchronized}, the own one with local:true. Pure. */
#ifndef GRID_SERVER_INGRESS_HOST_JSON_H
#define GRID_SERVER_INGRESS_HOST_JSON_H

#include "base/json.h"
#include "grid/v1/types.pb-c.h"

/* `uptime` is in milliseconds, counted from now_wall_ms (Unix time). It is left out when that is 0: as in the text that a route
 * table keeps of every node, which host_json_append_aged completes at each answer. */
void host_json_write(struct json_writer *w, const Grid__V1__Host *host, int64_t now_wall_ms);

/* Appends such a text with its `uptime`. 0, GRID_ELIMIT or GRID_ENOMEM. */
int host_json_append_aged(struct buf *out, struct slice host_json, int64_t now_wall_ms);

#endif
