/* discovery/swim_suspicion.h: a suspicion that ends in a conviction unless it is refuted, sooner the more members share it (Lifeguard, Dadgar,
 * Phillips, Currey 2017, section IV-B): it begins with the longest time, and each independent accuser takes some of it away,
 *
 *     timeout = max - (max - min) * log(c + 1) / log(k + 1)         c confirmations of the k that bring it down to min
 *
 * so that a node whose own link is bad waits long for somebody to agree, and a real death is agreed on at once. No clock; times in ms. */
#ifndef GRID_DISCOVERY_SWIM_SUSPICION_H
#define GRID_DISCOVERY_SWIM_SUSPICION_H

#include <stdbool.h>
#include <stdint.h>

enum { SWIM_ACCUSERS_MAX = 8 };

struct swim_suspicion {
    bool active;
    uint64_t incarnation; /* of the suspect: a higher one ends it */
    uint64_t began_ms;
    uint32_t min_ms, max_ms;
    unsigned needed; /* k: at most SWIM_ACCUSERS_MAX - 1 */
    unsigned accuser_count;
    uint16_t accusers[SWIM_ACCUSERS_MAX];
};

/* Begins one with its first accuser. */
void swim_suspicion_begin(struct swim_suspicion *s, uint64_t incarnation, uint16_t accuser, unsigned needed, uint32_t min_ms, uint32_t max_ms,
                          uint64_t now_ms);

/* Another accuser. True when it is news that is worth passing on: one that had not accused, among the first k to confirm. */
bool swim_suspicion_confirm(struct swim_suspicion *s, uint16_t accuser);

/* Fewer are left who could confirm. */
void swim_suspicion_need(struct swim_suspicion *s, unsigned needed);

bool swim_suspicion_accused_by(const struct swim_suspicion *s, uint16_t accuser);

/* When it ends in a conviction. */
uint64_t swim_suspicion_due_ms(const struct swim_suspicion *s);

void swim_suspicion_end(struct swim_suspicion *s);

#endif
