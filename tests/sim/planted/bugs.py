"""Bugs to plant into the membership core: (file, exact text that stands in it once, what takes its place, what that breaks)."""

MERGE = "discovery/members_merge.c"
HEAR = "discovery/members_hear.c"
ASK = "discovery/members_ask.c"
SUSPECT = "discovery/members_suspect.c"
JUDGE = "discovery/members_judge.c"
DIAL = "discovery/members_dial.c"
SYNC = "discovery/members_sync.c"
TICK = "discovery/members_tick.c"
NAME = "discovery/members_name.c"

BUGS = [
    # Claims and refutation (SWIM, section 4.2)
    (MERGE, "next.incarnation = incarnation + 1;", "next.incarnation = incarnation;", "a refutation that does not raise the incarnation"),
    (MERGE, "if (accused || taken || claim_compare(claim, self) > 0)", "if (false)", "a skipped refutation of a claim"),
    (ASK, "    members_refute(m, f->incarnation);", "", "a skipped refutation of a suspicion"),
    (MERGE, "int order = compare_u64(claim->member->incarnation, known->incarnation);", "int order = 0;", "a stale incarnation accepted"),
    (MERGE, "order = rank_of(claim->state) - rank_of(known->state);", "order = 0;", "the death of the incarnation that is known is not believed"),
    (MERGE, "    if (order < 0)\n        members_link_mark(m, from, e);", "", "a stale view is not put right"),
    (MERGE, "if (claim->state == MEMBER_DEAD && members_lives(e) && doubt(m, e, claim))", "if (false && doubt(m, e, claim))", "hearsay of a death beats one's own link"),
    (MERGE, "        members_state_set(m, e, MEMBER_ALIVE);", "", "a refuted death stays"),
    (MERGE, "    m->counters.refutations++;\n    members_spread(m, m->self, NULL);\n    members_pass_on(m, m->self);", "    m->counters.refutations++;",
     "a refutation that nobody is told of"),
    (MERGE, "    bool forged = asked && !m->admit(m->ctx, claim);", "    bool forged = false;", "forged records count"),
    # Names
    (NAME, "!has_come(m, from, rival, id)", "false", "a name lost to one that is made up"),
    (NAME, "(!holder->link || v.excused)", "true", "a name lost to one member and whom it runs"),
    (NAME, "(died_by_it(rival, holder) || ", "(", "a name that two halves of a split go on giving to two"),
    # Who is heard, and who is silent
    (HEAR, "    e->pinged_ms = 0;\n    e->told", "    e->told", "an answer that does not count"),
    (HEAR, "    if (e->member.state == MEMBER_STALLED)\n        resume(m, e);", "", "who is heard again stays stalled"),
    (JUDGE, "        if (m->now_ms < late)\n            return late;\n", "", "no time for an acknowledgement"),
    (ASK, "    if (e->link && e->pinged_ms == 0 && e->heard_ms < m->now_ms)\n        members_ping(m, e);", "", "nobody looks when others tell of a silence"),
    (JUDGE, "if (e->pinged_ms == 0 && e == m->watched)", "if (false)", "nobody watches his neighbour"),
    (JUDGE, "} else if (e->pinged_ms == 0 && e->member.state == MEMBER_STALLED) {", "} else if (false) {", "a silence goes on, on a link that nobody has asked on"),
    (JUDGE, "members_later(e->link->heard_ms, e->pinged_ms) + m->times->silent_ms", "e->link->heard_ms + m->times->silent_ms",
     "a standstill counted from before anybody asked"),
    (HEAR, "    members_ask_others(m, e);\n}", "}", "a silence that nobody else is asked about"),
    (JUDGE, "    members_ask_others(m, e);\n    if (e->vouched_ms", "    if (e->vouched_ms", "nobody else is asked before a suspicion"),
    (JUDGE, "swim_health_scale(&m->health, m->times->ack_ms)", "m->times->ack_ms", "one's own slowness gives others no more time"),
    (HEAR, "    if (rtt_us <= m->times->ack_ms * UINT64_C(1000))\n", "", "an answer that comes late is held for one's own health"),
    (TICK, "    forgive_pause(m);\n", "", "others are judged by the time one stood still oneself"),
    (TICK, "    beat(m);\n", "", "no sign of life that nobody asked for"),
    (HEAR, "    members_touch(m, e);\n    look_at_all(m);", "    members_touch(m, e);", "two are silent, and nobody looks at the rest"),
    # Suspicion (Lifeguard, section IV) and conviction
    (JUDGE, "e->gone = loss == MEMBERS_LOST_TIMEOUT;", "e->gone = false;", "what the kernel gave up is not held for gone"),
    (SUSPECT, "e->witness_count >= 2)", "e->witness_count >= 100)", "refused dials are no witnesses"),
    (SUSPECT, "    if (frame->incarnation != e->member.incarnation)\n        return;\n", "", "a witness of another life counts"),
    (SUSPECT, "        members_queue_all(m, &frame, e);\n    swim_suspicion_end", "        (void) frame;\n    swim_suspicion_end", "a suspicion that is taken back for oneself alone"),
    (ASK, "        tell_suspect(m, e);\n", "", "the suspect is not told"),
    (ASK, "    if (kernel_answers(m, e))\n        vouch(m, l, e);\n    else\n        look_for", "    look_for", "nobody vouches for a kernel that answers"),
    (JUDGE, "    if (m->now_ms >= due)\n        members_convict(m, e);\n    return due;", "    return due;", "a standstill without end"),
    ("discovery/swim_suspicion.c", "    s->accusers[s->accuser_count++] = accuser;\n", "", "a lost confirmation"),
    ("discovery/swim_suspicion.c", "    if (confirmed >= s->needed)", "    if (true)", "a suspicion that needs no confirmation"),
    ("discovery/swim_health.c", "h->score < SWIM_HEALTH_MAX", "1", "local health without a limit"),
    (HEAR, "    e->gone = false;\n    e->failures = 0;\n    e->vouched_ms = m->now_ms;\n", "    return;\n", "a host that takes a dial stays gone"),
    (MERGE, "        swim_health_note(&m->health, SWIM_HEALTH_ANSWERED);", "        (void) l;", "who was cut off distrusts itself for long"),
    # Probing and passing on
    ("discovery/swim_probe.c", "    if (at < p->at)\n        p->at++;", "", "a newcomer takes another's turn"),
    ("discovery/swim_probe.c", "        p->at = 0;", "", "the round of probes ends for ever"),
    ("discovery/swim_spread.c", "if (item.sent >= limit)", "if (false)", "news that is told for ever"),
    (SYNC, "    swim_spread_put(&m->spread, e->slot);", "    (void) e;", "news that is not passed on"),
    (SYNC, "    if (f->view == m->view) {\n", "    if (m) {\n", "views that differ are not compared"),
    (SYNC, "    m->view -= e->hash;\n", "", "a digest that no two views share"),
    # Dialling
    (DIAL, "    if (fault == MEMBERS_DIAL_TIMEOUT)\n        return 1 +", "    if (false)\n        return 1 +", "who is gone is seldom knocked for"),
    (DIAL, "        e->dial_at_ms = members_redial_dead(m, e);\n        return;", "        e->dial_at_ms = MEMBERS_NEVER;\n        return;", "the dead are dialled once"),
    (DIAL, "if (m->now_ms >= e->ended_ms + m->times->redial_slow_after_ms)", "if (true)", "the dead are dialled seldom from the beginning"),
    (DIAL, "    if (s->id[0] == '\\0')\n        return true;", "    if (s->id[0] == '\\0')\n        return s->failures == 0;", "a seed that fails once is not dialled again"),
    (DIAL, "if (e->meeting && m->now_ms >= late)", "if (false)", "dials to those that stand still hold up all others"),
    (DIAL, "e->member.state != MEMBER_ALIVE; /* who is doubted", "false; /* who is doubted", "beyond the active view a doubt stays"),
    (MERGE, "    if (!e->link && !members_wanted(m, e))\n        members_seek(m, e);", "    if (!m)\n        return true;", "beyond the active view nobody looks for whom others have convicted"),
    (DIAL, "    m->watcher = down;", "    m->watcher = up;", "signs of life go to the wrong neighbour"),
]
