/* tests/sim/sim_net.h: kernels and cables in virtual time: TCP connections between the hosts of a simulation, with what is lost sent again,
 * order kept within a connection, resets, and connections that a kernel gives up. Frames are never torn: a frame is a segment.
 *
 *   a host:   RUNNING <-> STOPPED (SIGSTOP: its kernel still acknowledges)     NO_PROCESS: dials are refused     NO_HOST: silence
 *   a path:   one direction between two hosts: blocked or not, delay, loss */
#ifndef GRID_TESTS_SIM_NET_H
#define GRID_TESTS_SIM_NET_H

#include "base/slice.h"
#include "discovery/members.h"
#include "tests/sim/sim_wheel.h"

enum sim_host { SIM_NO_PROCESS, SIM_RUNNING, SIM_STOPPED, SIM_NO_HOST };

/* Event kinds below it are the network's. */
enum { SIM_NET_KINDS = 16, SIM_LOST_RUN = 3 };

/* To the process on `node`, which runs. They may send, close and dial. */
struct sim_net_events {
    void (*up)(void *ctx, uint32_t node, uint32_t link, uint32_t peer, uint64_t token); /* token 0: accepted */
    void (*frame)(void *ctx, uint32_t node, uint32_t link, struct slice bytes);
    void (*lost)(void *ctx, uint32_t node, uint32_t link, enum members_loss loss);
    void (*dial_connected)(void *ctx, uint32_t node, uint64_t token); /* by the kernel; the handshake goes on */
    void (*dial_failed)(void *ctx, uint32_t node, uint64_t token, enum members_dial_fault fault);
};

struct sim_traffic {
    uint64_t frames_in, bytes_in, frames_out, bytes_out, dials;
};

struct sim_net;

/* `wheel`, `events` and `times` (handshake_ms and unacknowledged_ms, the driver's) must outlive it. Aborts without memory. All hosts are NO_PROCESS. */
struct sim_net *sim_net_create(struct sim_wheel *wheel, uint32_t count, uint64_t seed, const struct sim_net_events *events, void *ctx,
                               const struct members_times *times);
void sim_net_destroy(struct sim_net *net);

/* An event of the wheel with a kind below SIM_NET_KINDS. */
void sim_net_happen(struct sim_net *net, const struct sim_event *e);

/* ---- what processes do ---- */
void sim_net_send(struct sim_net *net, uint32_t node, uint32_t link, struct slice bytes);
/* In order: what was sent before still arrives. */
void sim_net_close(struct sim_net *net, uint32_t node, uint32_t link);
/* TCP's part has connect_ms. */
void sim_net_dial(struct sim_net *net, uint32_t from, uint32_t to, uint64_t token, uint32_t connect_ms);

/* ---- what befalls them ---- */
/* To NO_PROCESS from RUNNING or STOPPED its connections are ended by its kernel; to NO_HOST they fall silent. From STOPPED to RUNNING what has
 * waited comes in at once. */
void sim_net_set_host(struct sim_net *net, uint32_t node, enum sim_host host);
enum sim_host sim_net_host(const struct sim_net *net, uint32_t node);
/* Blocks are counted: by = 1 blocks, by = -1 takes one block away. */
void sim_net_block(struct sim_net *net, uint32_t from, uint32_t to, int by);
bool sim_net_blocked(const struct sim_net *net, uint32_t from, uint32_t to);
/* Of every packet, in percent. */
void sim_net_set_loss(struct sim_net *net, uint32_t percent);
/* Of this share of the frames a second copy arrives up to 2 s later. */
void sim_net_set_duplication(struct sim_net *net, uint32_t percent);
/* Every way takes base + 0 .. jitter ms. */
void sim_net_set_delay(struct sim_net *net, uint32_t base_ms, uint32_t jitter_ms);
/* On all ways to and from a host besides. */
void sim_net_set_node_delay(struct sim_net *net, uint32_t node, uint32_t extra_ms);
/* Resets one of the node's connections, of its own choice. */
void sim_net_reset_one(struct sim_net *net, uint32_t node);
/* Open connections of a process into `links`, at most `max`. */
size_t sim_net_links(const struct sim_net *net, uint32_t node, uint32_t *links, size_t max);

/* When the last dial between the two came to nothing of which loss took a packet, as of SIM_LOST_RUN at least before it, one after the other; 0: there was no such run. */
uint32_t sim_net_run_lost_at(const struct sim_net *net, uint32_t a, uint32_t b);

const struct sim_traffic *sim_net_traffic(const struct sim_net *net, uint32_t node);
/* Over all that was sent: two runs of one seed have the same. */
uint64_t sim_net_fingerprint(const struct sim_net *net);

#endif
