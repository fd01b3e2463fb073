/* discovery/krpc.h: messages of the mainline DHT to bytes and back: BEP 5, BEP 32 (IPv6), BEP 42 (`ip`), BEP 43 (`ro`), BEP 51. No sockets, no state. Any thread. */
#ifndef GRID_DISCOVERY_KRPC_H
#define GRID_DISCOVERY_KRPC_H

#include "base/buf.h"
#include "discovery/dht_id.h"

enum {
    KRPC_MESSAGE_MAX = 1472, /* bytes of what is sent: one Ethernet frame. Read is up to BENCODE_INPUT_MAX */
    KRPC_TRANSACTION_MAX = 20,
    KRPC_TOKEN_MAX = 64,
    KRPC_NODES_MAX = 16, /* of each family */
    KRPC_VALUES_MAX = 128,
    KRPC_WANT_V4 = 1,
    KRPC_WANT_V6 = 2
};

enum krpc_kind { KRPC_QUERY, KRPC_ANSWER, KRPC_ERROR };
enum krpc_method { KRPC_PING, KRPC_FIND_NODE, KRPC_GET_PEERS, KRPC_ANNOUNCE_PEER, KRPC_SAMPLE_INFOHASHES, KRPC_UNKNOWN };
enum { KRPC_ERROR_GENERIC = 201, KRPC_ERROR_SERVER = 202, KRPC_ERROR_PROTOCOL = 203, KRPC_ERROR_METHOD = 204 };

struct krpc_node {
    struct dht_id id;
    struct dht_endpoint at;
};

/* One message. Slices are borrowed: of the input when it was read. Fields that a kind does not have are zero. */
struct krpc {
    enum krpc_kind kind;
    struct slice transaction;
    struct slice version; /* `v`; empty when there is none */
    struct dht_id id;     /* whose word it is: of queries and answers */
    bool read_only;       /* a query of one that answers none itself (BEP 43) */

    enum krpc_method method;
    bool faulty;          /* a query whose arguments are missing or wrong: error 203 */
    struct dht_id target; /* of find_node and sample_infohashes; the info hash of get_peers and announce_peer */
    unsigned want;        /* KRPC_WANT_*; 0: not said */
    uint16_t port;        /* of announce_peer */
    bool implied_port;    /* it counts as the port that the datagram came from */

    struct slice token; /* of announce_peer, and of answers to get_peers; at most KRPC_TOKEN_MAX */

    struct dht_endpoint external; /* `ip` of an answer: how the one who asked is seen; port 0 when it was not said */
    bool has_nodes, has_nodes6, has_values, has_samples;
    struct krpc_node nodes[2 * KRPC_NODES_MAX]; /* both families' */
    size_t node_count;
    struct dht_endpoint values[KRPC_VALUES_MAX]; /* peers */
    size_t value_count;
    struct slice samples;  /* info hashes, 20 bytes each */
    int64_t interval, num; /* of sample_infohashes */

    int64_t error_code;
    struct slice error_text;
};

/* 0; GRID_EPROTO for what is no KRPC message, or an answer with a field that cannot be right; GRID_ELIMIT. More nodes or values than there is
 * room for are passed over, and so are values of an odd size. */
int krpc_unpack(struct slice in, struct krpc *out);

/* Appends the message with its keys in order. 0, GRID_ELIMIT (of `out`), GRID_ENOMEM. */
int krpc_pack(const struct krpc *m, struct buf *out);

/* "ping" and so on. Static storage. */
const char *krpc_method_name(enum krpc_method method);

#endif
