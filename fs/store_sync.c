/* Making what a store has written last. */
#include <pthread.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/store_internal.h"

/* Takes a segment that was written to, with a reference; NULL when there is none. */
static struct segment *take_dirty(struct store *s)
{
    struct segment *dirty = NULL;
    pthread_mutex_lock(&s->append);
    pthread_mutex_lock(&s->index);
    for (uint32_t i = 0; i < s->segment_count && !dirty; i++)
        if (s->segments[i]->dirty)
            dirty = s->segments[i];
    if (dirty) {
        dirty->dirty = false;
        dirty->refs++;
    }
    pthread_mutex_unlock(&s->index);
    pthread_mutex_unlock(&s->append);
    return dirty;
}

static bool take_dir_dirty(struct store *s)
{
    pthread_mutex_lock(&s->index);
    bool dirty = s->dir_dirty;
    s->dir_dirty = false;
    pthread_mutex_unlock(&s->index);
    return dirty;
}

static int mark_broken(struct store *s)
{
    pthread_mutex_lock(&s->append);
    s->broken = true;
    pthread_mutex_unlock(&s->append);
    return GRID_EIO;
}

static bool is_broken(struct store *s)
{
    pthread_mutex_lock(&s->append);
    bool broken = s->broken;
    pthread_mutex_unlock(&s->append);
    return broken;
}

/* What is on disk now, and is written to no more, is told by hints from now on. */
static void write_hints(struct store *s)
{
    pthread_mutex_lock(&s->append);
    if (!s->dir_dirty && s->segment_count > 1)
        store_hints_write(s, s->segments, s->segment_count - 1);
    pthread_mutex_unlock(&s->append);
}

static int sync_taken(struct store *s)
{
    for (struct segment *segment; (segment = take_dirty(s));) {
        int err = segment_sync(segment);
        store_segment_unref(s, segment);
        if (err != 0)
            return mark_broken(s);
    }
    if (take_dir_dirty(s) && fsync(s->dir_fd) != 0)
        return mark_broken(s);
    write_hints(s);
    return 0;
}

/* One at a time: a second caller waits until what the first one took is on disk. */
int store_sync(struct store *s)
{
    pthread_mutex_lock(&s->sync);
    int err = is_broken(s) ? GRID_EIO : sync_taken(s);
    pthread_mutex_unlock(&s->sync);
    return err;
}
