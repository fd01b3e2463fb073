/* --task-sandbox strict: what is forbidden, by name. */
#include "server/supervise/task_filter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILTER_BYTES_MAX = 32 * 1024, FAMILY_UNIX = 1, FAMILY_INET = 2, FAMILY_INET6 = 10, FAMILY_NETLINK = 16 };

static const char *const FORBIDDEN[] = {
    /* other processes */
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    /* the file system's shape */
    "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
    "swapon", "swapoff", "quotactl", "quotactl_fd", "open_by_handle_at", "name_to_handle_at", "fanotify_init", "mknod", "mknodat",
    /* the kernel */
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "kexec_load", "kexec_file_load", "init_module",
    "finit_module", "delete_module", "create_module", "query_module", "get_kernel_syms", "syslog", "reboot", "acct", "iopl", "ioperm", "lookup_dcookie",
    "nfsservctl", "vm86", "vm86old", "modify_ldt", "personality", "vhangup", "uselib", "ustat", "sysfs", "_sysctl", "move_pages", "migrate_pages",
    /* keys */
    "keyctl", "add_key", "request_key",
    /* namespaces */
    "unshare", "setns", "sethostname", "setdomainname",
    /* the clock */
    "settimeofday", "stime", "clock_settime", "clock_adjtime", "adjtimex",
};

static int forbid(scmp_filter_ctx filter, const char *name)
{
    int call = seccomp_syscall_resolve_name(name);
    if (call == __NR_SCMP_ERROR)
        return 0; /* the library is older than the call */
    int err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
    return err == -EDOM ? 0 : err; /* this architecture has none */
}

/* clone without a namespace; the argument of the flags is the first on all architectures but s390, where it is the second. */
static int forbid_namespaces(scmp_filter_ctx filter)
{
    static const uint64_t flags[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP};
    unsigned at = seccomp_arch_native() == SCMP_ARCH_S390X ? 1 : 0;
    int err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    for (size_t i = 0; err == 0 && i < sizeof flags / sizeof *flags; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, SCMP_CMP(at, SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
    return err;
}

/* Only these families of sockets: the others are kernel code that few have looked at. */
static int forbid_families(scmp_filter_ctx filter)
{
    int err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, SCMP_CMP(0, SCMP_CMP_GT, FAMILY_NETLINK, 0));
    for (uint64_t family = 0; err == 0 && family < FAMILY_NETLINK; family++)
        if (family != FAMILY_UNIX && family != FAMILY_INET && family != FAMILY_INET6)
            err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, SCMP_CMP(0, SCMP_CMP_EQ, family, 0));
    return err;
}

/* TIOCSTI and TIOCLINUX put words into a terminal's mouth. */
static int forbid_terminal_input(scmp_filter_ctx filter)
{
    static const uint64_t requests[] = {0x5412, 0x541C};
    int err = 0;
    for (size_t i = 0; err == 0 && i < sizeof requests / sizeof *requests; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, SCMP_CMP(1, SCMP_CMP_MASKED_EQ, 0xffffffff, requests[i]));
    return err;
}

static int fill(scmp_filter_ctx filter)
{
    int err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree: few comparisons for each call */
    for (size_t i = 0; err == 0 && i < sizeof FORBIDDEN / sizeof *FORBIDDEN; i++)
        err = forbid(filter, FORBIDDEN[i]);
    if (err == 0)
        err = forbid_namespaces(filter);
    if (err == 0)
        err = forbid_families(filter);
    return err == 0 ? forbid_terminal_input(filter) : err;
}

static char *to_hex(const uint8_t *bytes, size_t size)
{
    char *hex = malloc(2 * size + 1);
    for (size_t i = 0; hex && i < size; i++)
        sprintf(hex + 2 * i, "%02x", bytes[i]);
    return hex;
}

/* libseccomp writes a filter to a descriptor alone. */
static char *export_hex(scmp_filter_ctx filter)
{
    static uint8_t bytes[FILTER_BYTES_MAX];
    char *hex = NULL;
    int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd >= 0 && seccomp_export_bpf(filter, fd) == 0) {
        ssize_t size = pread(fd, bytes, sizeof bytes, 0);
        hex = size > 0 && (size_t) size < sizeof bytes ? to_hex(bytes, (size_t) size) : NULL;
    }
    if (fd >= 0)
        close(fd);
    return hex;
}

char *task_filter_make(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    char *hex = filter && fill(filter) == 0 ? export_hex(filter) : NULL;
    if (filter)
        seccomp_release(filter);
    return hex;
}
