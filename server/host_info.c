/* Host name, platform, user and addresses, from the kernel and libc. */
#include "server/host_info.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "net/loop.h"

enum { INTERFACE_NAME_MAX = 16 }; /* IF_NAMESIZE */

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

/* The interface that the default route of IPv4 leads through, "" when there is none. */
static void find_default_interface(char out[INTERFACE_NAME_MAX])
{
    char line[256], name[INTERFACE_NAME_MAX];
    unsigned destination, gateway, flags, mask;
    FILE *file = fopen("/proc/net/route", "re");
    out[0] = '\0';
    while (file && out[0] == '\0' && fgets(line, sizeof line, file))
        if (sscanf(line, "%15s %x %x %x %*d %*d %*d %x", name, &destination, &gateway, &flags, &mask) == 5 && destination == 0 && mask == 0)
            snprintf(out, INTERFACE_NAME_MAX, "%s", name);
    if (file)
        fclose(file);
}

/* The less, the likelier others reach this host by it: first what leads out, last a bridge that leads to guests of this host alone. */
static int rank_of(const char *interface, const char *leads_out)
{
    char path[64 + INTERFACE_NAME_MAX];
    snprintf(path, sizeof path, "/sys/class/net/%s/bridge", interface);
    return strcmp(interface, leads_out) == 0 ? 0 : access(path, F_OK) == 0 ? 2 : 1;
}

static void add_ranked(struct host_info *out, const uv_interface_address_t *interfaces, int count, int rank)
{
    char leads_out[INTERFACE_NAME_MAX];
    find_default_interface(leads_out);
    for (int family = 0; family < 2; family++)
        for (int i = 0; i < count; i++)
            if (!interfaces[i].is_internal && (interfaces[i].address.address4.sin_family == AF_INET) == (family == 0) && rank_of(interfaces[i].name, leads_out) == rank)
                add_address(out, &interfaces[i]);
}

static void read_addresses(struct host_info *out)
{
    uv_interface_address_t *interfaces;
    int count;
    if (uv_interface_addresses(&interfaces, &count) != 0)
        count = 0;
    for (int rank = 0; rank < 3; rank++)
        add_ranked(out, interfaces, count, rank);
    if (count > 0)
        uv_free_interface_addresses(interfaces, count);
    if (out->address_count == 0)
        snprintf(out->addresses[out->address_count++], ADDR_TEXT_MAX, "127.0.0.1");
    snprintf(out->private_ip, sizeof out->private_ip, "%s", out->addresses[0]);
}

bool host_addresses_read(struct host_info *h)
{
    struct host_info now = {0};
    read_addresses(&now);
    if (now.address_count == h->address_count && memcmp(now.addresses, h->addresses, sizeof now.addresses) == 0)
        return false;
    memcpy(h->addresses, now.addresses, sizeof h->addresses);
    memcpy(h->private_ip, now.private_ip, sizeof h->private_ip);
    h->address_count = now.address_count;
    return true;
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
