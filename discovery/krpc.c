/* KRPC: fields of one bencoded dictionary to a struct, and back in the order of their keys. */
#include "discovery/krpc.h"

#include "base/err.h"
#include "discovery/bencode.h"

static const char *const METHODS[] = {"ping", "find_node", "get_peers", "announce_peer", "sample_infohashes"};

const char *krpc_method_name(enum krpc_method method)
{
    return method < KRPC_UNKNOWN ? METHODS[method] : "unknown";
}

static enum krpc_method method_of(struct slice name)
{
    enum krpc_method method = KRPC_PING;
    while (method < KRPC_UNKNOWN && !slice_equal_str(name, METHODS[method]))
        method++;
    return method;
}

static bool read_id(const struct bencode *b, const struct bencode_token *dict, const char *key, struct dht_id *out)
{
    struct slice bytes;
    if (!bencode_find_string(b, dict, key, &bytes) || bytes.size != DHT_ID_SIZE)
        return false;
    memcpy(out->bytes, bytes.data, DHT_ID_SIZE);
    return true;
}

static bool read_token(const struct bencode *b, const struct bencode_token *dict, struct slice *out)
{
    struct slice token;
    if (!bencode_find_string(b, dict, "token", &token) || token.size > KRPC_TOKEN_MAX)
        return false;
    *out = token;
    return true;
}

/* BEP 32: a list of "n4" and "n6"; others are passed over. */
static unsigned read_want(const struct bencode *b, const struct bencode_token *args)
{
    const struct bencode_token *list = bencode_find_list(b, args, "want");
    unsigned want = 0;
    for (const struct bencode_token *t = list ? bencode_first(b, list) : NULL; t; t = bencode_next(b, list, t)) {
        if (t->kind == BENCODE_STRING && slice_equal_str(bencode_bytes(b, t), "n4"))
            want |= KRPC_WANT_V4;
        if (t->kind == BENCODE_STRING && slice_equal_str(bencode_bytes(b, t), "n6"))
            want |= KRPC_WANT_V6;
    }
    return want;
}

static bool read_port(const struct bencode *b, const struct bencode_token *args, struct krpc *out)
{
    int64_t port = 0, implied = 0;
    bencode_find_integer(b, args, "implied_port", &implied);
    out->implied_port = implied == 1;
    if (!bencode_find_integer(b, args, "port", &port) || port < 0 || port > UINT16_MAX)
        return out->implied_port;
    out->port = (uint16_t) port;
    return port > 0 || out->implied_port;
}

static bool read_arguments(const struct bencode *b, const struct bencode_token *args, struct krpc *out)
{
    if (!read_id(b, args, "id", &out->id))
        return false;
    out->want = read_want(b, args);
    switch (out->method) {
    case KRPC_FIND_NODE:
    case KRPC_SAMPLE_INFOHASHES:
        return read_id(b, args, "target", &out->target);
    case KRPC_GET_PEERS:
        return read_id(b, args, "info_hash", &out->target);
    case KRPC_ANNOUNCE_PEER:
        return read_id(b, args, "info_hash", &out->target) && read_token(b, args, &out->token) && read_port(b, args, out);
    default:
        return true;
    }
}

static int read_query(const struct bencode *b, struct krpc *out)
{
    struct slice name;
    int64_t read_only = 0;
    if (!bencode_find_string(b, b->tokens, "q", &name))
        return GRID_EPROTO;
    out->method = method_of(name);
    bencode_find_integer(b, b->tokens, "ro", &read_only);
    out->read_only = read_only == 1;
    out->faulty = !read_arguments(b, bencode_find(b, b->tokens, "a"), out);
    return 0;
}

/* Compact nodes of one family: 20 bytes of id and an address each. */
static int read_nodes(const struct bencode *b, const struct bencode_token *dict, const char *key, size_t address_size, bool *has, struct krpc *out)
{
    struct slice bytes;
    size_t size = DHT_ID_SIZE + address_size;
    *has = bencode_find_string(b, dict, key, &bytes);
    if (!*has)
        return 0;
    if (bytes.size % size != 0)
        return GRID_EPROTO;
    for (size_t i = 0; i < bytes.size / size && i < KRPC_NODES_MAX; i++) {
        struct krpc_node *node = &out->nodes[out->node_count];
        struct slice at = slice_of(bytes.data + i * size + DHT_ID_SIZE, address_size);
        memcpy(node->id.bytes, bytes.data + i * size, DHT_ID_SIZE);
        bool v4 = dht_endpoint_unpack(at, &node->at) && dht_endpoint_is_v4(&node->at);
        out->node_count += v4 == (address_size == DHT_ENDPOINT_V4_SIZE); /* a mapped address among IPv6 ones is a trick */
    }
    return 0;
}

static void read_values(const struct bencode *b, const struct bencode_token *dict, struct krpc *out)
{
    const struct bencode_token *list = bencode_find_list(b, dict, "values");
    out->has_values = list != NULL;
    for (const struct bencode_token *t = list ? bencode_first(b, list) : NULL; t; t = bencode_next(b, list, t))
        if (t->kind == BENCODE_STRING && out->value_count < KRPC_VALUES_MAX)
            out->value_count += dht_endpoint_unpack(bencode_bytes(b, t), &out->values[out->value_count]);
}

static int read_samples(const struct bencode *b, const struct bencode_token *dict, struct krpc *out)
{
    out->has_samples = bencode_find_string(b, dict, "samples", &out->samples);
    if (!out->has_samples)
        return 0;
    bencode_find_integer(b, dict, "interval", &out->interval);
    bencode_find_integer(b, dict, "num", &out->num);
    return out->samples.size % DHT_ID_SIZE == 0 ? 0 : GRID_EPROTO;
}

static int read_answer(const struct bencode *b, struct krpc *out)
{
    const struct bencode_token *dict = bencode_find(b, b->tokens, "r");
    struct slice external;
    if (!read_id(b, dict, "id", &out->id))
        return GRID_EPROTO;
    if (bencode_find_string(b, b->tokens, "ip", &external) && !dht_endpoint_unpack(external, &out->external))
        out->external.port = 0;
    read_token(b, dict, &out->token);
    read_values(b, dict, out);
    int err = read_nodes(b, dict, "nodes", DHT_ENDPOINT_V4_SIZE, &out->has_nodes, out);
    if (err == 0)
        err = read_nodes(b, dict, "nodes6", DHT_ENDPOINT_V6_SIZE, &out->has_nodes6, out);
    return err == 0 ? read_samples(b, dict, out) : err;
}

/* A list of a number and a text. */
static int read_error(const struct bencode *b, struct krpc *out)
{
    const struct bencode_token *list = bencode_find_list(b, b->tokens, "e");
    const struct bencode_token *code = list ? bencode_first(b, list) : NULL;
    const struct bencode_token *text = code ? bencode_next(b, list, code) : NULL;
    if (!text || code->kind != BENCODE_INTEGER || text->kind != BENCODE_STRING)
        return GRID_EPROTO;
    out->error_code = code->number;
    out->error_text = slice_first(bencode_bytes(b, text), 128);
    return 0;
}

int krpc_unpack(struct slice in, struct krpc *out)
{
    struct bencode b;
    struct slice kind;
    int err = bencode_parse(in, &b);
    memset(out, 0, sizeof *out);
    if (err != 0)
        return err;
    if (!bencode_find_string(&b, b.tokens, "y", &kind) || !bencode_find_string(&b, b.tokens, "t", &out->transaction) || out->transaction.size > KRPC_TRANSACTION_MAX)
        return GRID_EPROTO;
    if (bencode_find_string(&b, b.tokens, "v", &out->version))
        out->version = slice_first(out->version, 8);
    out->kind = slice_equal_str(kind, "q") ? KRPC_QUERY : slice_equal_str(kind, "r") ? KRPC_ANSWER : KRPC_ERROR;
    if (out->kind == KRPC_QUERY)
        return read_query(&b, out);
    if (out->kind == KRPC_ANSWER)
        return read_answer(&b, out);
    return slice_equal_str(kind, "e") ? read_error(&b, out) : GRID_EPROTO;
}

/* Writing: the first error sticks. */
struct writer {
    struct buf *out;
    int err;
};

static void put_raw(struct writer *w, const char *text)
{
    if (w->err == 0)
        w->err = buf_append_str(w->out, text);
}

static void put_string(struct writer *w, struct slice s)
{
    if (w->err == 0)
        w->err = bencode_put_string(w->out, s);
}

static void put_text(struct writer *w, const char *key, struct slice value)
{
    put_string(w, slice_of_str(key));
    put_string(w, value);
}

static void put_number(struct writer *w, const char *key, int64_t number)
{
    put_string(w, slice_of_str(key));
    if (w->err == 0)
        w->err = bencode_put_integer(w->out, number);
}

static void put_id(struct writer *w, const char *key, const struct dht_id *id)
{
    put_text(w, key, slice_of(id->bytes, DHT_ID_SIZE));
}

static void put_want(struct writer *w, unsigned want)
{
    if (want == 0)
        return;
    put_string(w, SLICE("want"));
    put_raw(w, "l");
    if (want & KRPC_WANT_V4)
        put_string(w, SLICE("n4"));
    if (want & KRPC_WANT_V6)
        put_string(w, SLICE("n6"));
    put_raw(w, "e");
}

static void put_arguments(struct writer *w, const struct krpc *m)
{
    bool announces = m->method == KRPC_ANNOUNCE_PEER, looks_up = m->method == KRPC_GET_PEERS;
    put_raw(w, "1:ad");
    put_id(w, "id", &m->id);
    if (announces)
        put_number(w, "implied_port", m->implied_port);
    if (announces || looks_up)
        put_id(w, "info_hash", &m->target);
    if (announces)
        put_number(w, "port", m->port);
    if (m->method == KRPC_FIND_NODE || m->method == KRPC_SAMPLE_INFOHASHES)
        put_id(w, "target", &m->target);
    if (announces)
        put_text(w, "token", m->token);
    put_want(w, m->want);
    put_raw(w, "e1:q");
    put_string(w, slice_of_str(krpc_method_name(m->method)));
    if (m->read_only)
        put_number(w, "ro", 1);
}

static void put_nodes(struct writer *w, const struct krpc *m, const char *key, bool v4)
{
    uint8_t packed[KRPC_NODES_MAX * (DHT_ID_SIZE + DHT_ENDPOINT_SIZE_MAX)];
    size_t size = 0, count = 0;
    for (size_t i = 0; i < m->node_count && count < KRPC_NODES_MAX; i++) {
        if (dht_endpoint_is_v4(&m->nodes[i].at) != v4)
            continue;
        memcpy(packed + size, m->nodes[i].id.bytes, DHT_ID_SIZE);
        size += DHT_ID_SIZE + dht_endpoint_pack(&m->nodes[i].at, packed + size + DHT_ID_SIZE);
        count++;
    }
    put_text(w, key, slice_of(packed, size));
}

static void put_values(struct writer *w, const struct krpc *m)
{
    uint8_t packed[DHT_ENDPOINT_SIZE_MAX];
    put_string(w, SLICE("values"));
    put_raw(w, "l");
    for (size_t i = 0; i < m->value_count; i++)
        put_string(w, slice_of(packed, dht_endpoint_pack(&m->values[i], packed)));
    put_raw(w, "e");
}

static void put_answer(struct writer *w, const struct krpc *m)
{
    uint8_t external[DHT_ENDPOINT_SIZE_MAX];
    if (m->external.port != 0)
        put_text(w, "ip", slice_of(external, dht_endpoint_pack(&m->external, external)));
    put_raw(w, "1:rd");
    put_id(w, "id", &m->id);
    if (m->has_samples)
        put_number(w, "interval", m->interval);
    if (m->has_nodes)
        put_nodes(w, m, "nodes", true);
    if (m->has_nodes6)
        put_nodes(w, m, "nodes6", false);
    if (m->has_samples) {
        put_number(w, "num", m->num);
        put_text(w, "samples", m->samples);
    }
    if (m->token.size > 0)
        put_text(w, "token", m->token);
    if (m->has_values)
        put_values(w, m);
    put_raw(w, "e");
}

static void put_error(struct writer *w, const struct krpc *m)
{
    put_raw(w, "1:el");
    if (w->err == 0)
        w->err = bencode_put_integer(w->out, m->error_code);
    put_string(w, m->error_text);
    put_raw(w, "e");
}

int krpc_pack(const struct krpc *m, struct buf *out)
{
    struct writer w = {out, 0};
    size_t before = out->size;
    put_raw(&w, "d");
    if (m->kind == KRPC_QUERY)
        put_arguments(&w, m);
    else if (m->kind == KRPC_ANSWER)
        put_answer(&w, m);
    else
        put_error(&w, m);
    put_text(&w, "t", m->transaction);
    if (m->version.size > 0)
        put_text(&w, "v", m->version);
    put_raw(&w, m->kind == KRPC_QUERY ? "1:y1:qe" : m->kind == KRPC_ANSWER ? "1:y1:re" : "1:y1:ee");
    if (w.err != 0)
        buf_truncate(out, before);
    return w.err;
}
