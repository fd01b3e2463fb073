/* server/supervise/instance.h: what the data plane knows of one running process of a task: reference-counted, shared between the
 * supervisor (control thread) and the workers. All fields but the atomics are fixed at creation. */
#ifndef GRID_SERVER_SUPERVISE_INSTANCE_H
#define GRID_SERVER_SUPERVISE_INSTANCE_H

#include <stdatomic.h>
#include <stdint.h>

/* How POST / is spoken to the task; learnt from its first answer, shared by all workers. */
enum instance_method { INSTANCE_METHOD_UNKNOWN, INSTANCE_METHOD_POST, INSTANCE_METHOD_GET };

/* Whether it serves one connection at a time; then none is kept open (server/exec/task_http.h). */
enum instance_serial { INSTANCE_SERIAL_NO, INSTANCE_SERIAL_SUSPECTED, INSTANCE_SERIAL_YES };

struct instance {
    _Atomic uint32_t references;
    uint64_t id;      /* unique within the node's life; a restarted process is a new instance */
    uint16_t port;    /* on 127.0.0.1 */
    uint32_t number;  /* 0-based among the task's instances */
    char task[129];
    _Atomic uint32_t in_flight; /* calls sent and not yet answered, all workers */
    _Atomic int method;         /* enum instance_method */
    _Atomic int draining;       /* set by the supervisor: no new calls */
    _Atomic uint32_t idle_connections; /* kept open, all workers */
    _Atomic int serial;         /* enum instance_serial */
};

/* One reference for the caller. NULL when out of memory. */
struct instance *instance_create(uint64_t id, const char *task, uint32_t number, uint16_t port);
struct instance *instance_ref(struct instance *i);
void instance_unref(struct instance *i);

#endif
