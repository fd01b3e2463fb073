/* server/host_info.h: what a node says of the machine it runs on. Reads the system. Any thread. */
#ifndef GRID_SERVER_HOST_INFO_H
#define GRID_SERVER_HOST_INFO_H

#include <stdint.h>

#include "net/addr.h"

enum { HOST_ADDRESSES_MAX = 8 };

struct host_info {
    char hostname[65];
    char platform[32]; /* "linux-x64", "linux-arm64" */
    char user[65];     /* that the daemon runs as */
    char private_ip[ADDR_TEXT_MAX]; /* first address that is not loopback, "127.0.0.1" when there is none */
    /* Addresses that others may reach this host by, without port, IPv4 first; loopback only when there is nothing else. */
    char addresses[HOST_ADDRESSES_MAX][ADDR_TEXT_MAX];
    unsigned address_count;
};

void host_info_read(struct host_info *out);
/* Its addresses alone, anew: true when they are others than before. */
bool host_addresses_read(struct host_info *h);

/* Resident memory of a process in bytes, 0 when it cannot be told. pid 0: this one. */
uint64_t host_resident_bytes(int pid);

/* Time that all cores together have been busy, and all time, since the machine started, in the kernel's ticks. 0 and 0 when it cannot be told. */
void host_cpu_times(uint64_t *busy, uint64_t *total);

#endif
