/* Landlock by the versions of its interface (landlock(7)): what a kernel does not know is not asked for. The constants are here since the
 * system's header may be older than its kernel. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/confine/confine.h"

#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_REMOVE_DIR (1ULL << 4)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_ANY (0x7fULL << 6) /* CHAR, DIR, REG, SOCK, FIFO, BLOCK, SYM */
#define FS_REFER (1ULL << 13)      /* version 2 */
#define FS_TRUNCATE (1ULL << 14)   /* version 3 */
#define NET_BIND_TCP (1ULL << 0)   /* version 4 */
#define SCOPE_ABSTRACT (1ULL << 0) /* version 6 */
#define SCOPE_SIGNAL (1ULL << 1)   /* version 6 */

#define READS (FS_EXECUTE | FS_READ_FILE | FS_READ_DIR)
#define WRITES (FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_ANY | FS_REFER | FS_TRUNCATE)
#define OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE) /* the rights that a file that is no folder can have */

enum { CREATE_VERSION = 1 << 0, RULE_PATH = 1, RULE_PORT = 2 };

struct ruleset_attr {
    uint64_t fs, net, scoped;
};
struct path_attr {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));
struct port_attr {
    uint64_t allowed, port;
};

int confine_landlock_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    return version > 0 ? (int) version : 0;
}

/* What a kernel of this version is asked to handle: the part of a ruleset that it knows. */
static struct ruleset_attr handled(enum confine_landlock level, int version, size_t *size)
{
    struct ruleset_attr a = {0};
    if (level >= CONFINE_LANDLOCK_WRITES)
        a.fs = WRITES;
    if (level == CONFINE_LANDLOCK_ALL)
        a = (struct ruleset_attr){WRITES | READS, NET_BIND_TCP, SCOPE_ABSTRACT};
    a.scoped |= SCOPE_SIGNAL;
    if (version < 3)
        a.fs &= ~FS_TRUNCATE;
    if (version < 4)
        a.net = 0;
    if (version < 6)
        a.scoped = 0;
    if (a.fs == 0 && a.scoped == 0)
        a.fs = FS_REFER; /* a ruleset must handle something; this one is allowed everywhere */
    *size = version < 4 ? sizeof a.fs : version < 6 ? sizeof a.fs + sizeof a.net : sizeof a;
    return a;
}

/* Below `path`; what does not exist needs no rule. */
static int allow_path(int ruleset, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == EACCES ? 0 : -1;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rights &= OF_FILES;
    struct path_attr rule = {.allowed = rights, .fd = fd};
    long done = rights == 0 ? 0 : syscall(SYS_landlock_add_rule, ruleset, RULE_PATH, &rule, 0);
    close(fd);
    return (int) done;
}

static int allow_list(int ruleset, const char *const *paths, uint64_t rights)
{
    int done = 0;
    for (; done == 0 && *paths; paths++)
        done = allow_path(ruleset, *paths, rights);
    return done;
}

/* What programs need of any system: to be read, and the devices and facilities that everybody may write to. */
static int allow_system(int ruleset, uint64_t fs)
{
    static const char *const readable[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix/store", "/gnu/store", "/proc", "/sys",
                                           "/dev", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", NULL};
    static const char *const shared[] = {"/dev", "/proc", NULL};
    int done = allow_list(ruleset, readable, READS & fs);
    return done == 0 ? allow_list(ruleset, shared, (FS_WRITE_FILE | FS_TRUNCATE) & fs) : done;
}

static int allow_places(int ruleset, const struct confine_plan *p, uint64_t fs)
{
    static const char *const memory[] = {"/dev/shm", "/dev/mqueue", NULL};
    int done = allow_list(ruleset, memory, (WRITES | READS) & fs);
    for (size_t i = 0; done == 0 && i < p->place_count; i++)
        done = allow_path(ruleset, p->places[i].to, (p->places[i].writes ? WRITES | READS : READS) & fs);
    return done;
}

static int add_rules(int ruleset, const struct confine_plan *p, const struct ruleset_attr *a)
{
    struct port_attr port = {.allowed = NET_BIND_TCP, .port = p->port};
    if (a->fs == FS_REFER)
        return allow_path(ruleset, "/", FS_REFER);
    if (a->net != 0 && syscall(SYS_landlock_add_rule, ruleset, RULE_PORT, &port, 0) != 0)
        return -1;
    int done = a->fs != 0 ? allow_system(ruleset, a->fs) : 0;
    return done == 0 && a->fs != 0 ? allow_places(ruleset, p, a->fs) : done;
}

int confine_landlock(const struct confine_plan *p)
{
    size_t size;
    int version = confine_landlock_version();
    if (p->landlock == CONFINE_LANDLOCK_NONE || version < 2) /* version 1 forbids every rename between folders */
        return p->landlock == CONFINE_LANDLOCK_ALL ? -1 : 0;
    struct ruleset_attr a = handled(p->landlock, version, &size);
    int ruleset = (int) syscall(SYS_landlock_create_ruleset, &a, size, 0);
    if (ruleset < 0)
        return -1;
    int done = add_rules(ruleset, p, &a);
    if (done == 0)
        done = (int) syscall(SYS_landlock_restrict_self, ruleset, 0);
    close(ruleset);
    return done;
}
