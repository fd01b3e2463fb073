/* The profiles: what one network or another gives time for, one row for each time. The figures are explained where they are used. */
#include "discovery/members.h"

#include <string.h>

enum { DAY_MS = 24 * 3600 * 1000 };

#define TIMES(T)                                          \
    /*                           lan      wan    local */ \
    T(beat_ms,                    600,    1500,     300)  \
    T(late_ms,                    800,    2500,     400)  \
    T(ack_ms,                     250,    1000,     150)  \
    T(probe_ms,                  2000,    5000,    1000)  \
    T(stalled_ping_ms,           1000,    2000,     500)  \
    T(silent_ms,                15000,   30000,   15000)  \
    T(gone_ms,                   5300,   15000,    3000)  \
    T(suspect_min_ms,             500,    2000,     250)  \
    T(suspect_max_ms,            7000,   30000,    6000)  \
    T(hello_ms,                  5000,   15000,    5000)  \
    T(redial_min_ms,              250,     500,     100)  \
    T(redial_max_ms,              500,    2000,     500)  \
    T(redial_dead_ms,            1500,    5000,    1000)  \
    T(redial_slow_ms,           30000,   60000,   10000)  \
    T(redial_slow_after_ms,    600000,  600000,  600000)  \
    T(mesh_ms,                   1000,    3000,     500)  \
    T(spread_ms,                  100,     250,      50)  \
    T(sync_ms,                  30000,   60000,   15000)  \
    T(denied_ms,                30000,   30000,   30000)  \
    T(reap_ms,                 DAY_MS,  DAY_MS,  DAY_MS)  \
    T(connect_ms,                1000,    4000,    1000)  \
    T(handshake_ms,              4000,   10000,    4000)  \
    T(unacknowledged_ms,         3000,   10000,    2000)
#define OF_LAN(time, lan, wan, local) .time = (lan),
#define OF_WAN(time, lan, wan, local) .time = (wan),
#define OF_LOCAL(time, lan, wan, local) .time = (local),

const struct members_times MEMBERS_LAN = {TIMES(OF_LAN)};
const struct members_times MEMBERS_WAN = {TIMES(OF_WAN)};
const struct members_times MEMBERS_LOCAL = {TIMES(OF_LOCAL)};

const struct members_times *members_times_named(const char *profile)
{
    static const struct {
        const char *name;
        const struct members_times *times;
    } PROFILES[] = {{"lan", &MEMBERS_LAN}, {"wan", &MEMBERS_WAN}, {"local", &MEMBERS_LOCAL}};
    for (size_t i = 0; i < sizeof PROFILES / sizeof *PROFILES; i++)
        if (strcmp(PROFILES[i].name, profile) == 0)
            return PROFILES[i].times;
    return NULL;
}
