/* Questions from worker threads to the control thread and the answers back, each a message in the other's mailbox.
 *
 * A call has two halves. The worker's ends when on_end was called, the control's when admin_finish was; the memory goes with the
 * last reference, of which every message under way holds one. */
#include "server/admin.h"

#include <grp.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "net/grpc.h"
#include "net/tls.h"

enum { GROUPS_MAX = 256 };

struct admin {
    struct loop *control;
    const struct admin_method *methods;
    gid_t writers_group;
    void *ctx;
    struct lookup *lookups; /* under way */
    bool stopped;
};

struct admin_call {
    _Atomic unsigned references;
    struct admin *admin;
    const struct admin_method *method;
    struct admin_caller caller;
    uint8_t *request;
    size_t request_size;
    /* Worker's half. */
    struct loop *from;
    const struct admin_events *events;
    void *ctx;
    bool asker_left;
    /* Control's half. */
    bool finished;
    bool cancelled;
    void (*on_cancel)(void *arg, struct admin_call *call);
    void *on_cancel_arg;
};

static void call_unref(struct admin_call *call)
{
    if (atomic_fetch_sub(&call->references, 1) != 1)
        return;
    explicit_bzero(call->request, call->request_size); /* a password, perhaps */
    free(call->request);
    free(call);
}

/* A message to the worker: a packed answer, or the end. */
struct admin_message {
    struct admin_call *call;
    bool end;
    int status;
    size_t size;
    uint8_t bytes[];
};

static void message_deliver(void *arg)
{
    struct admin_message *m = arg;
    struct admin_call *call = m->call;
    if (m->end) {
        bool left = call->asker_left;
        call->events->on_end(call->ctx, left ? GRPC_CANCELLED : m->status, m->size > 0 ? (const char *) m->bytes : "");
    } else if (!call->asker_left) {
        call->events->on_message(call->ctx, slice_of(m->bytes, m->size));
    }
    free(m);
    call_unref(call);
}

static void message_send(struct admin_call *call, bool end, int status, struct slice bytes)
{
    struct admin_message *m = malloc(sizeof *m + bytes.size + 1);
    if (!m)
        abort(); /* an answer that cannot be told of would leave its asker waiting for ever */
    *m = (struct admin_message){.call = call, .end = end, .status = status, .size = bytes.size};
    if (bytes.size > 0)
        memcpy(m->bytes, bytes.data, bytes.size);
    m->bytes[bytes.size] = '\0';
    atomic_fetch_add(&call->references, 1);
    if (loop_post(call->from, message_deliver, m) != 0)
        abort();
}

void admin_reply(struct admin_call *call, struct slice packed)
{
    if (!call->cancelled)
        message_send(call, false, 0, packed);
}

void admin_finish(struct admin_call *call, int status, const char *message)
{
    call->finished = true;
    message_send(call, true, status, slice_of_str(message));
    call_unref(call);
}

void admin_on_cancel(struct admin_call *call, void (*fn)(void *arg, struct admin_call *call), void *arg)
{
    call->on_cancel = fn;
    call->on_cancel_arg = arg;
}

bool admin_cancelled(const struct admin_call *call)
{
    return call->cancelled;
}

const struct admin_caller *admin_call_caller(const struct admin_call *call)
{
    return &call->caller;
}

/* A process's credentials name one group; its user may be in more. Asks the user database, which may read files. */
static bool user_is_in_group(uid_t uid, gid_t group)
{
    char room[4096];
    struct passwd entry, *found = NULL;
    gid_t groups[GROUPS_MAX];
    int count = GROUPS_MAX;
    if (getpwuid_r(uid, &entry, room, sizeof room, &found) != 0 || !found)
        return false;
    if (getgrouplist(entry.pw_name, entry.pw_gid, groups, &count) < 0)
        count = GROUPS_MAX;
    for (int i = 0; i < count; i++)
        if (groups[i] == group)
            return true;
    return false;
}

enum standing { MAY_READ, MAY_WRITE, MUST_BE_LOOKED_UP };

/* What a process has given up counts as well: the user database is asked only where its own groups are not known. */
static enum standing standing_by_group(const struct admin_caller *caller, gid_t group)
{
    if (group == (gid_t) -1 || caller->gid == group)
        return group == (gid_t) -1 ? MAY_READ : MAY_WRITE;
    for (size_t i = 0; caller->groups_known && i < caller->group_count; i++)
        if (caller->groups[i] == group)
            return MAY_WRITE;
    return caller->groups_known ? MAY_READ : MUST_BE_LOOKED_UP;
}

/* Who may change things: root, the node's own user, the group's members, whoever has the API token or the role admin. */
static enum standing standing_of(const struct admin *a, const struct admin_caller *caller)
{
    if (caller->token)
        return MAY_WRITE;
    if (caller->remote)
        return caller->roles & TLS_ROLE_ADMIN ? MAY_WRITE : MAY_READ;
    if (!caller->uid_known)
        return MAY_READ;
    return caller->uid == 0 || caller->uid == geteuid() ? MAY_WRITE : standing_by_group(caller, a->writers_group);
}

static void call_judge(struct admin_call *call, bool may)
{
    if (may)
        call->method->handle(call->admin->ctx, call, slice_of(call->request, call->request_size));
    else if (call->method->tells)
        admin_finish(call, GRPC_PERMISSION_DENIED, "what tasks print is not for everybody: ask as root, as the node's user, or as a member of the group gridcontrol");
    else
        admin_finish(call, GRPC_PERMISSION_DENIED,
                     "this user may read and invoke, not change the node: ask as root, as the node's user, or as a member of the "
                     "group gridcontrol");
}

/* A question of the user database, which files or a directory server answer in their own time. */
struct lookup {
    struct admin *admin;
    struct admin_call *call; /* NULL once it has been answered, since the node stops */
    struct lookup *next;
    uid_t uid;
    gid_t group;
    bool found;
};

/* On the pool. */
static void look_up(void *arg)
{
    struct lookup *l = arg;
    l->found = user_is_in_group(l->uid, l->group);
}

static void unlink_lookup(struct lookup *l)
{
    struct lookup **at = &l->admin->lookups;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
}

static void looked_up(void *arg)
{
    struct lookup *l = arg;
    struct admin_call *call = l->call;
    if (call)
        unlink_lookup(l);
    if (call && call->cancelled)
        admin_finish(call, GRPC_CANCELLED, NULL); /* nobody has begun it */
    else if (call)
        call_judge(call, l->found);
    free(l);
}

static int start_lookup(struct admin_call *call)
{
    struct lookup *l = malloc(sizeof *l);
    if (!l)
        return GRID_ENOMEM;
    *l = (struct lookup){.admin = call->admin, .call = call, .uid = call->caller.uid, .group = call->admin->writers_group};
    int err = loop_work(call->admin->control, look_up, looked_up, l);
    if (err != 0) {
        free(l);
        return err;
    }
    l->next = call->admin->lookups;
    call->admin->lookups = l;
    return 0;
}

void admin_stop(struct admin *a)
{
    a->stopped = true;
    while (a->lookups) {
        struct lookup *l = a->lookups;
        struct admin_call *call = l->call;
        a->lookups = l->next;
        l->call = NULL;
        admin_finish(call, GRPC_UNAVAILABLE, "the node is stopping: ask another one");
    }
}

static void call_handle(void *arg)
{
    struct admin_call *call = arg;
    bool asks = call->method->writes || (call->method->tells && !call->caller.remote);
    enum standing standing = asks ? standing_of(call->admin, &call->caller) : MAY_WRITE;
    if (standing != MUST_BE_LOOKED_UP)
        call_judge(call, standing == MAY_WRITE);
    else if (call->admin->stopped)
        admin_finish(call, GRPC_UNAVAILABLE, "the node is stopping: ask another one");
    else if (start_lookup(call) != 0)
        admin_finish(call, GRPC_UNAVAILABLE, "the node is out of memory: try again later");
}

static const struct admin_method *method_find(const struct admin *a, const char *name)
{
    for (const struct admin_method *m = a->methods; m->name; m++)
        if (strcmp(m->name, name) == 0)
            return m;
    return NULL;
}

int admin_start(struct admin *a, struct loop *from, const char *method, const struct admin_caller *caller, struct slice request,
                const struct admin_events *events, void *ctx, struct admin_call **out)
{
    const struct admin_method *found = method_find(a, method);
    if (!found)
        return GRID_ENOENT;
    struct admin_call *call = calloc(1, sizeof *call);
    uint8_t *copy = malloc(request.size + 1);
    if (!call || !copy) {
        free(call);
        free(copy);
        return GRID_ENOMEM;
    }
    if (request.size > 0)
        memcpy(copy, request.data, request.size);
    *call = (struct admin_call){.references = 1,
                                .admin = a,
                                .method = found,
                                .caller = *caller,
                                .request = copy,
                                .request_size = request.size,
                                .from = from,
                                .events = events,
                                .ctx = ctx};
    if (loop_post(a->control, call_handle, call) != 0) {
        call_unref(call);
        return GRID_ENOMEM;
    }
    *out = call;
    return 0;
}

static void call_cancel(void *arg)
{
    struct admin_call *call = arg;
    if (!call->finished && !call->cancelled) {
        call->cancelled = true;
        if (call->on_cancel)
            call->on_cancel(call->on_cancel_arg, call);
    }
    call_unref(call);
}

void admin_cancel(struct admin_call *call)
{
    if (call->asker_left)
        return;
    call->asker_left = true;
    atomic_fetch_add(&call->references, 1);
    if (loop_post(call->admin->control, call_cancel, call) != 0)
        call_unref(call);
}

int admin_create(struct loop *control, const struct admin_method *methods, gid_t writers_group, void *ctx, struct admin **out)
{
    struct admin *a = calloc(1, sizeof *a);
    if (!a)
        return GRID_ENOMEM;
    *a = (struct admin){.control = control, .methods = methods, .writers_group = writers_group, .ctx = ctx};
    *out = a;
    return 0;
}

void admin_destroy(struct admin *a)
{
    free(a);
}
