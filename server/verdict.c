/* The verifier as a shared, immutable snapshot, and what TLS asks of it. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "server/verdict.h"

struct verdict {
    atomic_int references;
    struct verifier *verifier;
};

struct verdict *verdict_create(struct verifier *v)
{
    struct verdict *made = calloc(1, sizeof *made);
    if (!made) {
        verifier_destroy(v);
        return NULL;
    }
    atomic_init(&made->references, 1);
    made->verifier = v;
    return made;
}

struct verdict *verdict_ref(struct verdict *v)
{
    atomic_fetch_add_explicit(&v->references, 1, memory_order_relaxed);
    return v;
}

void verdict_unref(struct verdict *v)
{
    if (!v || atomic_fetch_sub_explicit(&v->references, 1, memory_order_acq_rel) != 1)
        return;
    verifier_destroy(v->verifier);
    free(v);
}

const struct verifier *verdict_verifier(const struct verdict *v)
{
    return v->verifier;
}

/* On whatever thread the handshake runs. */
int verdict_judge(void *arg, struct x509_st *const *chain, size_t count, struct tls_peer *peer, char why[160])
{
    const struct verdict *v = arg;
    struct verify_holder holder;
    int err = verify_parsed(v->verifier, chain, count, (int64_t) time(NULL), &holder, why);
    peer->revoked = holder.evicted;
    peer->untimely = holder.untimely;
    if (err != 0)
        return err;
    memcpy(peer->id, holder.id, sizeof peer->id);
    memcpy(peer->name, holder.name, sizeof peer->name);
    memcpy(peer->issuer, holder.issuer, sizeof peer->issuer);
    peer->roles = holder.roles;
    peer->ahead = holder.ahead;
    return 0;
}

void verdict_release(void *verdict)
{
    verdict_unref(verdict);
}

bool verdict_refuses(const void *verdict, const struct tls_peer *peer)
{
    const struct verdict *v = verdict;
    return verifier_refuses(v->verifier, peer->id, peer->issuer);
}

bool verdict_evicts(const void *verdict, const struct tls_peer *peer)
{
    return verifier_has_evicted(((const struct verdict *) verdict)->verifier, peer->id);
}
