/* Processes of `grid dev`. Nothing here may run after gRPC was loaded: it forks. */
#include "cli/dev_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_SIZE = 16 * 1024, KILL_ROUNDS = 64, CHILDREN_AT_ONCE = 256, NAME_SIZE = 64 };

extern char **environ;

/* The variables that are options of gridd or grid would configure the local grid by accident. */
static void scrub_environment(void)
{
    for (char **at = environ; *at;) {
        char name[NAME_SIZE];
        size_t length = strcspn(*at, "=");
        bool is_option = strncmp(*at, "GRID_", 5) == 0 || (length == 4 && strncmp(*at, "GRID", 4) == 0);
        if (is_option && length < sizeof name) {
            memcpy(name, *at, length);
            name[length] = '\0';
            unsetenv(name);
            at = environ;
        } else {
            at++;
        }
    }
}

/* In the new process. */
static void become(char *const argv[], int output, pid_t parent)
{
    sigset_t none;
    int nothing = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(127);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    scrub_environment();
    dup2(nothing, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execv(argv[0], argv);
    fprintf(stderr, "%s cannot be started: %s\n", argv[0], strerror(errno));
    fflush(stderr);
    _exit(127);
}

int dev_child_start(struct dev_child *c, char *const argv[])
{
    int ends[2];
    pid_t parent = getpid();
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    c->pid = fork();
    if (c->pid == 0)
        become(argv, ends[1], parent);
    close(ends[1]);
    if (c->pid < 0) {
        c->pid = 0;
        close(ends[0]);
        return -1;
    }
    setpgid(c->pid, c->pid);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    c->output = ends[0];
    return 0;
}

bool dev_child_read(struct dev_child *c, struct buf *out)
{
    char bytes[READ_SIZE];
    ssize_t got = read(c->output, bytes, sizeof bytes);
    if (got > 0) {
        merge_feed(&c->merge, slice_of(bytes, (size_t) got), out);
        return true;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    merge_flush(&c->merge, out);
    close(c->output);
    c->output = -1;
    return false;
}

void dev_child_signal(const struct dev_child *c, int number)
{
    if (c->pid > 0)
        kill(-c->pid, number);
}

void dev_child_describe(int status, char out[32])
{
    if (WIFSIGNALED(status))
        snprintf(out, 32, "signal %d", WTERMSIG(status));
    else
        snprintf(out, 32, "exit %d", WEXITSTATUS(status));
}

/* Kills and reaps the direct children of now; how many there were. Those of theirs become ours by that. */
static size_t kill_children(void)
{
    char path[64];
    int pids[CHILDREN_AT_ONCE];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int) getpid());
    FILE *file = fopen(path, "re");
    while (file && count < CHILDREN_AT_ONCE && fscanf(file, "%d", &pids[count]) == 1)
        kill(pids[count++], SIGKILL);
    if (file)
        fclose(file);
    for (size_t i = 0; i < count; i++)
        waitpid(pids[i], NULL, 0);
    return count;
}

void dev_children_kill_all(void)
{
    for (int round = 0; round < KILL_ROUNDS && kill_children() > 0; round++)
        ;
}
