/* grid.v1.PeerGossip and grid.v1.SyncChunk as the local API has them: named, so that reflection and health tell of them, and spoken
 * between nodes alone. A release's chunks and the members' news are not for callers: Control shows what is theirs to see. */
#include "server/ingress/ingress_internal.h"

static void on_call(void *ctx, struct grpc_call *call)
{
    (void) ctx;
    grpc_call_finish(call, GRPC_PERMISSION_DENIED,
                     "this service is spoken between nodes alone, with their certificates: ask grid.v1.Control instead");
}

static const struct grpc_method GOSSIP_METHODS[] = {
    {.path = "/grid.v1.PeerGossip/Link", .client_streams = true, .server_streams = true, .on_call = on_call},
};
static const struct grpc_method CHUNK_METHODS[] = {
    {.path = "/grid.v1.SyncChunk/Fetch", .server_streams = true, .on_call = on_call},
    {.path = "/grid.v1.SyncChunk/Have", .server_streams = true, .on_call = on_call},
    {.path = "/grid.v1.SyncChunk/History", .server_streams = true, .on_call = on_call},
};

const struct grpc_service RPC_PEER_GOSSIP = {.name = "grid.v1.PeerGossip", .methods = GOSSIP_METHODS, .method_count = 1};
const struct grpc_service RPC_SYNC_CHUNK = {.name = "grid.v1.SyncChunk", .methods = CHUNK_METHODS, .method_count = sizeof CHUNK_METHODS / sizeof *CHUNK_METHODS};
