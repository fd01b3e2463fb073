/* Two lists of 64 words. */
#include "server/moniker.h"

#include <stdio.h>

static const char *const ADJECTIVES[64] = {
    "agile",  "amber",  "ample",  "azure",  "bold",   "brave",  "breezy", "bright", "brisk",  "calm",   "candid", "cheery", "clever", "cosy",   "crisp",  "curly",
    "daring", "dapper", "deft",   "eager",  "early",  "easy",   "fair",   "fancy",  "fluffy", "fond",   "frank",  "fresh",  "gentle", "giddy",  "glad",   "golden",
    "grand",  "happy",  "hardy",  "hazel",  "humble", "jolly",  "keen",   "kind",   "lively", "lucky",  "mellow", "merry",  "mighty", "misty",  "neat",   "nimble",
    "noble",  "plucky", "proud",  "quick",  "quiet",  "rapid",  "rosy",   "silver", "sleek",  "snappy", "sturdy", "sunny",  "swift",  "tidy",   "witty",  "zesty",
};
static const char *const ANIMALS[64] = {
    "alpaca",  "badger", "beaver", "bison",  "bobcat",  "camel",  "condor", "corgi",   "cougar", "coyote", "crane",  "dingo",  "dolphin", "donkey", "eagle",  "egret",
    "falcon",  "ferret", "finch",  "fox",    "gazelle", "gecko",  "gibbon", "giraffe", "goose",  "gopher", "hare",   "heron",  "hippo",   "ibex",   "iguana", "jackal",
    "jaguar",  "koala",  "lemur",  "lynx",   "magpie",  "marmot", "marten", "mole",    "moose",  "newt",   "ocelot", "okapi",  "orca",    "osprey", "otter",  "owl",
    "panda",   "pelican", "pony",  "puffin", "puma",    "quail",  "rabbit", "raven",   "robin",  "seal",   "stork",  "tapir",  "tiger",   "toucan", "walrus", "wombat",
};

void moniker_make(uint32_t random, char out[MONIKER_MAX])
{
    snprintf(out, MONIKER_MAX, "%s-%s", ADJECTIVES[random & 63], ANIMALS[random >> 6 & 63]);
}
