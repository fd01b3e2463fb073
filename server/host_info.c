/* Host name, platform, user and addresses, from the kernel and libc. */
#include "server/host_info.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "net/loop.h"

static const char *architecture(const char *machine)
{
    static const char *const NAMES[][2] = {{"x86_64", "x64"}, {"aarch64", "arm64"}, {"i686", "ia32"}, {"armv7l", "arm"}, {"riscv64", "riscv64"}};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (strcmp(machine, NAMES[i][0]) == 0)
            return NAMES[i][1];
    return machine;
}

static void add_address(struct host_info *out, const uv_interface_address_t *interface)
{
    struct addr address = {0};
    if (out->address_count >= HOST_ADDRESSES_MAX)
        return;
    if (interface->address.address4.sin_family == AF_INET) {
        address.u.v4 = interface->address.address4;
        address.size = sizeof address.u.v4;
    } else {
        if (IN6_IS_ADDR_LINKLOCAL(&interface->address.address6.sin6_addr))
            return;
        address.u.v6 = interface->address.address6;
        address.size = sizeof address.u.v6;
    }
    addr_format_host(&address, out->addresses[out->address_count++]);
}

static void read_addresses(struct host_info *out)
{
    uv_interface_address_t *interfaces;
    int count;
    if (uv_interface_addresses(&interfaces, &count) != 0)
        count = 0;
    for (int family = 0; family < 2; family++)
        for (int i = 0; i < count; i++)
            if (!interfaces[i].is_internal && (interfaces[i].address.address4.sin_family == AF_INET) == (family == 0))
                add_address(out, &interfaces[i]);
    if (count > 0)
        uv_free_interface_addresses(interfaces, count);
    if (out->address_count == 0)
        snprintf(out->addresses[out->address_count++], ADDR_TEXT_MAX, "127.0.0.1");
    snprintf(out->private_ip, sizeof out->private_ip, "%s", out->addresses[0]);
}

void host_info_read(struct host_info *out)
{
    struct utsname kernel;
    const struct passwd *user = getpwuid(geteuid());
    *out = (struct host_info){0};
    if (gethostname(out->hostname, sizeof out->hostname - 1) != 0)
        snprintf(out->hostname, sizeof out->hostname, "localhost");
    if (uname(&kernel) == 0)
        snprintf(out->platform, sizeof out->platform, "linux-%.20s", architecture(kernel.machine));
    snprintf(out->user, sizeof out->user, "%.64s", user ? user->pw_name : "unknown");
    read_addresses(out);
}

uint64_t host_resident_bytes(int pid)
{
    char path[48];
    uint64_t total, resident = 0;
    if (pid == 0)
        snprintf(path, sizeof path, "/proc/self/statm");
    else
        snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%" SCNu64 " %" SCNu64, &total, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t) sysconf(_SC_PAGESIZE);
}

void host_cpu_times(uint64_t *busy, uint64_t *total)
{
    uint64_t t[8] = {0}; /* user, nice, system, idle, iowait, irq, softirq, steal: proc_stat(5) */
    FILE *file = fopen("/proc/stat", "re");
    *busy = *total = 0;
    if (!file)
        return;
    if (fscanf(file, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6],
               &t[7]) == 8) {
        for (size_t i = 0; i < 8; i++)
            *total += t[i];
        *busy = *total - t[3] - t[4];
    }
    fclose(file);
}
