/* server/verdict.h: who is let in: an immutable verifier that handshakes on any thread hold while they use it. Reference-counted; any thread. */
#ifndef GRID_SERVER_VERDICT_H
#define GRID_SERVER_VERDICT_H

#include "net/tls.h"
#include "trust/verify.h"

struct verdict;

/* Takes the verifier over, also on failure (NULL). */
struct verdict *verdict_create(struct verifier *v);
struct verdict *verdict_ref(struct verdict *v);
void verdict_unref(struct verdict *v);
const struct verifier *verdict_verifier(const struct verdict *v);

/* For struct tls_config: judges a chain (a tls_verify_fn), and gives the context's reference back. */
int verdict_judge(void *verdict, struct x509_st *const *chain, size_t count, struct tls_peer *peer, char why[160]);
void verdict_release(void *verdict);

/* True when this peer has been evicted. */
bool verdict_evicts(const void *verdict, const struct tls_peer *peer);
/* True when this peer, let in by an earlier verdict, would not be let in any more. `verdict` is a struct verdict. */
bool verdict_refuses(const void *verdict, const struct tls_peer *peer);

#endif
