/* Services that were read are written as an answer of their own, which must read as the same ones. */
// links: grid_net
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/dns_services.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORD_SRV = 33, CLASS_IN = 1, LABEL_MAX = 63 };

static void put_u16(struct buf *b, uint32_t value)
{
    const uint8_t bytes[2] = {(uint8_t) (value >> 8), (uint8_t) value};
    buf_append(b, slice_of(bytes, 2));
}

/* Labels as they stand between dots. */
static void put_name(struct buf *b, const char *name)
{
    for (const char *label = name; *label != '\0';) {
        size_t size = strcspn(label, ".");
        uint8_t length = (uint8_t) size;
        if (size == 0 || size > LABEL_MAX)
            abort();
        buf_append(b, slice_of(&length, 1));
        buf_append(b, slice_of(label, size));
        label += size + (label[size] == '.');
    }
    buf_append(b, slice_of("", 1));
}

static void put_service(struct buf *b, const struct dns_service *s, uint32_t ttl_s)
{
    struct buf data;
    buf_init(&data, 0);
    put_u16(&data, s->priority);
    put_u16(&data, s->weight);
    put_u16(&data, s->port);
    put_name(&data, s->host);
    buf_append(b, slice_of("", 1));
    put_u16(b, RECORD_SRV);
    put_u16(b, CLASS_IN);
    put_u16(b, ttl_s >> 16);
    put_u16(b, ttl_s & 0xffff);
    put_u16(b, (uint32_t) data.size);
    buf_append(b, buf_slice(&data));
    buf_dispose(&data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_services *read = malloc(sizeof *read), *again = malloc(sizeof *again);
    struct buf b;
    buf_init(&b, 0);
    if (!read || !again)
        abort();
    if (dns_services_read(slice_of(data, size), read) == 0 && read->count > 0) {
        const uint32_t header[] = {1, 0x8580, 0, (uint32_t) read->count, 0, 0};
        for (size_t i = 0; i < 6; i++)
            put_u16(&b, header[i]);
        for (size_t i = 0; i < read->count; i++)
            put_service(&b, &read->at[i], read->ttl_s);
        if (dns_services_read(buf_slice(&b), again) != 0 || again->count != read->count || again->ttl_s != read->ttl_s)
            abort();
        for (size_t i = 0; i < read->count; i++)
            if (strcmp(read->at[i].host, again->at[i].host) != 0 || read->at[i].port != again->at[i].port)
                abort();
    }
    buf_dispose(&b);
    free(read);
    free(again);
    return 0;
}
