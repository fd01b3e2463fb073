/* server/release/sync_service.h: grid.v1.SyncChunk: gives other nodes the objects of this node's store. Control thread; the store is read on
 * the thread pool, a batch at a time and no faster than the peer takes them. */
#ifndef GRID_SERVER_RELEASE_SYNC_SERVICE_H
#define GRID_SERVER_RELEASE_SYNC_SERVICE_H

#include "fs/store.h"
#include "net/grpc_server.h"

struct sync_service;

/* `store` is borrowed and must outlive it. 0 or GRID_ENOMEM. */
int sync_service_create(struct loop *l, struct store *store, struct sync_service **out);
/* After the server that serves it is gone, and when sync_service_idle. */
void sync_service_destroy(struct sync_service *s);
/* No read is under way on the thread pool. */
bool sync_service_idle(const struct sync_service *s);
const struct grpc_service *sync_service_grpc(const struct sync_service *s);

#endif
