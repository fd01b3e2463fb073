/* The kernel's clock and signals. */
#include "cli/waiting.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>

uint64_t waiting_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

int waiting_sooner(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static void make_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCHLD);
}

int waiting_catch_signals(void)
{
    sigset_t set;
    make_set(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

void waiting_release_signals(void)
{
    sigset_t set;
    make_set(&set);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGPIPE, SIG_DFL);
}
