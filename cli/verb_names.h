/* cli/verb_names.h: the verbs' rows, one per file cli/verb_NAME.c. */
#ifndef GRID_CLI_VERB_NAMES_H
#define GRID_CLI_VERB_NAMES_H

#include "cli/verb.h"

#define VERB_NAMES(X)                                                                                                               \
    X(new)                                                                                                                          \
    X(cert)                                                                                                                         \
    X(sample)                                                                                                                       \
    X(dev)                                                                                                                          \
    X(deploy)                                                                                                                       \
    X(releases)                                                                                                                     \
    X(rollback)                                                                                                                     \
    X(clear)                                                                                                                        \
    X(evict)                                                                                                                        \
    X(rotate)                                                                                                                      \
    X(password)                                                                                                                    \
    X(adopt)                                                                                                                        \
    X(invoke)                                                                                                                       \
    X(broadcast)                                                                                                                    \
    X(list)                                                                                                                         \
    X(tasks)                                                                                                                        \
    X(ps)                                                                                                                           \
    X(processing)                                                                                                                   \
    X(logs)                                                                                                                         \
    X(doctor)                                                                                                                       \
    X(version)                                                                                                                      \
    X(completion)                                                                                                                   \
    X(help)

#define VERB_DECLARE(name) extern const struct verb VERB_##name;
VERB_NAMES(VERB_DECLARE)
#undef VERB_DECLARE

#endif
