/* server/ingress/host_json.h: a node as the original shows it: {public_ip, private_ip, api_port, name, hostname, platform, ns,
 * user, grid_version, uptime, synchronized}, the own one with local:true. Pure. */
#ifndef GRID_SERVER_INGRESS_HOST_JSON_H
#define GRID_SERVER_INGRESS_HOST_JSON_H

#include "base/json.h"
#include "grid/v1/types.pb-c.h"

/* `uptime` is in milliseconds, counted from now_wall_ms (Unix time); left out when that is 0, as in the `server` of answers, whose
 * text is made once. */
void host_json_write(struct json_writer *w, const Grid__V1__Host *host, int64_t now_wall_ms);

#endif
