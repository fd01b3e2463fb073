/* News from workers to control, and messages to workers: one small allocation each. */
#include <stdio.h>
#include <stdlib.h>

#include "server/worker_internal.h"

enum worker_news_kind { NEWS_INSTANCE_REFUSED, NEWS_TASK_WANTED, NEWS_PEER_FAILED, NEWS_DRAINED };

struct worker_news {
    struct worker_set *set;
    enum worker_news_kind kind;
    uint64_t instance_id;
    char text[129];
};

void worker_drain_finish(struct worker_set *s)
{
    if (s->drained || !s->drain_done)
        return;
    s->drained = true;
    loop_timer_stop(&s->drain_timer);
    s->drain_done(s->drain_arg);
}

static void news_deliver(void *arg)
{
    struct worker_news *news = arg;
    struct worker_set *s = news->set;
    switch (news->kind) {
    case NEWS_INSTANCE_REFUSED:
        s->options.on_instance_refused(s->options.ctx, news->instance_id);
        break;
    case NEWS_TASK_WANTED:
        s->options.on_task_wanted(s->options.ctx, news->text);
        break;
    case NEWS_PEER_FAILED:
        s->options.on_peer_failed(s->options.ctx, news->text);
        break;
    case NEWS_DRAINED:
        if (--s->draining == 0)
            worker_drain_finish(s);
        break;
    }
    free(news);
}

static void news_send(struct worker_set *s, enum worker_news_kind kind, uint64_t instance_id, const char *text)
{
    struct worker_news *news = calloc(1, sizeof *news);
    if (!news)
        return; /* news only hastens what the supervisor and the gossip find out themselves */
    news->set = s;
    news->kind = kind;
    news->instance_id = instance_id;
    snprintf(news->text, sizeof news->text, "%s", text ? text : "");
    if (loop_post(s->options.control, news_deliver, news) != 0)
        free(news);
}

void worker_instance_refused(void *ctx, uint64_t instance_id)
{
    news_send(((struct worker *) ctx)->set, NEWS_INSTANCE_REFUSED, instance_id, NULL);
}

void worker_task_wanted(void *ctx, const char *task)
{
    news_send(((struct worker *) ctx)->set, NEWS_TASK_WANTED, 0, task);
}

void worker_peer_failed(void *ctx, const char *node_id)
{
    news_send(((struct worker *) ctx)->set, NEWS_PEER_FAILED, 0, node_id);
}

void worker_drained(struct worker *w)
{
    news_send(w->set, NEWS_DRAINED, 0, NULL);
}

bool worker_send(struct worker *w, loop_fn deliver, const struct worker_message *message)
{
    struct worker_message *copy = malloc(sizeof *copy);
    if (!copy)
        return false;
    *copy = *message;
    copy->worker = w;
    if (loop_post(w->loop, deliver, copy) == 0)
        return true;
    free(copy);
    return false;
}
