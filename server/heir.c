/* Whom an issuer hands the key to. */
#include "server/heir.h"

static void note_first(struct heir_choice *c, const struct heir_candidate *candidate, const void *who)
{
    if (c->any && c->seen <= candidate->seen)
        return;
    c->any = true;
    c->seen = candidate->seen;
    c->who = who;
}

void heir_consider(struct heir_choice *c, const struct heir_candidate *candidate, const void *who)
{
    bool whole = candidate->says_issuer && !candidate->lacks, entitled = candidate->says_issuer && candidate->lacks && candidate->proven;
    if (c->entitled)
        return;
    if (entitled) {
        *c = (struct heir_choice){.entitled = true, .who = who};
        return;
    }
    c->issuers += candidate->says_issuer;
    c->others_turn |= whole && candidate->before;
    if (!candidate->says_issuer)
        note_first(c, candidate, who);
}

const void *heir_chosen(const struct heir_choice *c)
{
    return c->entitled || (!c->others_turn && c->issuers + 1 < HEIR_ISSUERS_WANTED) ? c->who : NULL;
}
