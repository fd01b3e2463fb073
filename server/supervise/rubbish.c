/* One job in the pool at a time, and the next from the loop, so that others' jobs come between. */
#include "server/supervise/rubbish.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "fs/materialize.h"

struct rubbish {
    struct loop *loop;
    int fd;
    bool working;
    int err; /* of the last step */
    loop_fn closed; /* NULL: goes on */
    void *closed_arg;
};

static void step_work(void *arg)
{
    struct rubbish *r = arg;
    r->err = materialize_clean_some(r->fd, RUBBISH_STEP);
}

static void step(struct rubbish *r);

static void rubbish_free(struct rubbish *r)
{
    loop_fn closed = r->closed;
    void *arg = r->closed_arg;
    close(r->fd);
    free(r);
    closed(arg);
}

static void step_done(void *arg)
{
    struct rubbish *r = arg;
    r->working = false;
    if (r->closed)
        rubbish_free(r);
    else if (r->err == GRID_EAGAIN)
        step(r);
    else if (r->err != 0)
        log_line(LOG_WARN, "some of what tasks have left in their temporary folders cannot be deleted: look into the state folder's .old-*", LOGF_ERR(r->err));
}

static void step(struct rubbish *r)
{
    r->working = loop_work(r->loop, step_work, step_done, r) == 0;
}

int rubbish_create(struct loop *l, const char *folder, struct rubbish **out)
{
    struct rubbish *r = calloc(1, sizeof *r);
    if (!r)
        return GRID_ENOMEM;
    r->loop = l;
    r->fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->fd < 0) {
        free(r);
        return GRID_EIO;
    }
    step(r);
    *out = r;
    return 0;
}

void rubbish_close(struct rubbish *r, loop_fn done, void *arg)
{
    r->closed = done;
    r->closed_arg = arg;
    if (!r->working)
        rubbish_free(r);
}
