/* Rows of a table: docs/http-api.md and tests/e2e/test_certificates.py hold the same one. */
#include "server/ingress/rpc_roles.h"

#include <stddef.h>

#include "net/tls.h"

enum {
    MEMBERS = TLS_ROLE_NODE,
    WRITERS = TLS_ROLE_ADMIN,
    LOG_READERS = TLS_ROLE_NODE | TLS_ROLE_ADMIN, /* tasks print what callers are not meant to see */
    ANYBODY = TLS_ROLE_NODE | TLS_ROLE_ADMIN | TLS_ROLE_INVOKE,
};

static const struct {
    const char *path;
    unsigned roles;
} ROWS[] = {
    {"/grid.v1.Invoke/Call", ANYBODY},
    {"/grid.v1.Invoke/CallStream", ANYBODY},
    {"/grid.v1.Invoke/Broadcast", ANYBODY},
    {"/grid.v1.Control/GetNode", ANYBODY},
    {"/grid.v1.Control/ListNodes", ANYBODY},
    {"/grid.v1.Control/WatchNodes", ANYBODY},
    {"/grid.v1.Control/ListTasks", ANYBODY},
    {"/grid.v1.Control/ListProcesses", ANYBODY},
    {"/grid.v1.Control/ListProcessing", ANYBODY},
    {"/grid.v1.Control/ListReleases", ANYBODY},
    {"/grid.v1.Control/Logs", LOG_READERS},
    {"/grid.v1.Control/Deploy", WRITERS},
    {"/grid.v1.Control/Rollback", WRITERS},
    {"/grid.v1.Control/Clear", WRITERS},
    {"/grid.v1.Control/Evict", WRITERS},
    {"/grid.v1.Control/Rotate", WRITERS},
    {"/grid.v1.Control/SetPassword", WRITERS},
    {"/grid.v1.Control/Adopt", WRITERS},
    {"/grid.v1.PeerGossip/Link", MEMBERS},
    {"/grid.v1.PeerReach/Look", MEMBERS},
    {"/grid.v1.PeerReach/Tunnel", MEMBERS},
    {"/grid.v1.PeerTrust/Renew", MEMBERS},
    {"/grid.v1.PeerTrust/Hand", MEMBERS},
    {"/grid.v1.PeerTrust/Decide", MEMBERS},
    {"/grid.v1.SyncChunk/Fetch", MEMBERS},
    {"/grid.v1.SyncChunk/Have", MEMBERS},
    {"/grid.v1.SyncChunk/History", MEMBERS},
    {"/grpc.health.v1.Health/Check", ANYBODY},
    {"/grpc.health.v1.Health/Watch", ANYBODY},
    {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ANYBODY},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", ANYBODY},
};

unsigned rpc_roles(struct slice path)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        if (slice_equal_str(path, ROWS[i].path))
            return ROWS[i].roles;
    return TLS_ROLE_NONE;
}
