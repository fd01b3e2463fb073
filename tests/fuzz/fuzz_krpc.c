/* A message that unpacks is packed, unpacked and packed again: the second time the same bytes come out. */
// links: grid_discovery
// covers: discovery/krpc.c discovery/dht_endpoint.c
#include <stdlib.h>

#include "discovery/krpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool so)
{
    if (!so)
        abort();
}

static void check_endpoint(const struct dht_endpoint *e)
{
    uint8_t packed[DHT_ENDPOINT_SIZE_MAX];
    struct dht_endpoint again;
    expect(dht_endpoint_unpack(slice_of(packed, dht_endpoint_pack(e, packed)), &again) && dht_endpoint_equal(e, &again));
    expect(dht_endpoint_same_ip(e, &again) && dht_endpoint_same_net(e, &again) && dht_endpoint_scope(e) == dht_endpoint_scope(&again));
}

static void check_same(const struct krpc *a, const struct krpc *b)
{
    expect(a->kind == b->kind && slice_equal(a->transaction, b->transaction) && slice_equal(a->version, b->version));
    expect(dht_id_equal(&a->id, &b->id) && dht_id_equal(&a->target, &b->target) && a->read_only == b->read_only && a->want == b->want);
    expect(a->method == b->method && a->faulty == b->faulty && a->implied_port == b->implied_port && a->port == b->port);
    expect(slice_equal(a->token, b->token) && a->node_count == b->node_count && a->value_count == b->value_count);
    expect(a->has_nodes == b->has_nodes && a->has_nodes6 == b->has_nodes6 && a->has_values == b->has_values);
    expect(a->error_code == b->error_code && slice_equal(a->error_text, b->error_text) && slice_equal(a->samples, b->samples));
    for (size_t i = 0; i < a->node_count; i++) {
        expect(dht_id_equal(&a->nodes[i].id, &b->nodes[i].id));
        check_endpoint(&a->nodes[i].at);
    }
    for (size_t i = 0; i < a->value_count; i++)
        check_endpoint(&a->values[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct krpc first, second;
    struct buf once, twice;
    if (krpc_unpack(slice_of(data, size), &first) != 0 || first.faulty || first.method == KRPC_UNKNOWN)
        return 0; /* what was wrong in a query is not kept */
    buf_init(&once, 0);
    buf_init(&twice, 0);
    expect(krpc_pack(&first, &once) == 0 && krpc_unpack(buf_slice(&once), &second) == 0);
    check_same(&first, &second);
    expect(krpc_pack(&second, &twice) == 0 && slice_equal(buf_slice(&once), buf_slice(&twice)));
    buf_dispose(&once);
    buf_dispose(&twice);
    return 0;
}
