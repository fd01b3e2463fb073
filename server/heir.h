/* server/heir.h: to whom an issuer hands the authority's key, of the members that it is linked with. No sockets, no clock. One thread at a time.
 *
 * So many issuers are wanted that the grid outlives any two of them, and no more. A member's own word, that it is an issuer and lacks the newest key or password, gives it no right to them: it
 * must have been given the key before, or have shown that it holds it, by the ledger, which the authority's key signs. Who says so is counted as an issuer all the same: it may be about to show
 * it. Of those that do not say so the one that was linked first comes first. */
#ifndef GRID_SERVER_HEIR_H
#define GRID_SERVER_HEIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEIR_ISSUERS_WANTED = 3 };

/* A member that is linked, alive, and may have the key. */
struct heir_candidate {
    bool says_issuer; /* its own word: that it holds the key */
    bool lacks;       /* something that this node has: the newest key, or the password; by its own word too */
    bool proven;      /* the ledger says that it holds the key */
    bool before;      /* its id is smaller than this node's */
    uintptr_t seen;   /* the number in which it was linked here */
};

/* Zeroed: nobody was considered. */
struct heir_choice {
    size_t issuers;  /* beside this node, by their own word */
    bool others_turn; /* of several issuers that lack nothing the one with the smallest id looks for an heir, so that not two find one each */
    bool entitled;   /* somebody is given what he lacks whoever's turn it is */
    bool any;
    uintptr_t seen;
    const void *who;
};

/* One after the other; `who` is what heir_chosen gives. */
void heir_consider(struct heir_choice *c, const struct heir_candidate *candidate, const void *who);
/* NULL: nobody is handed anything now. */
const void *heir_chosen(const struct heir_choice *c);

#endif
