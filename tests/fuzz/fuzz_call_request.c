/* A CallRequest that decodes is packed again by protobuf-c and must decode to
 * the same call; and a Lambda name to its own parts. */
// links: server_ingress
// covers: server/ingress/call_request.c server/ingress/lambda_name.c
#include <stdlib.h>

#include "api/pb.h"
#include "grid/v1/invoke.pb-c.h"
#include "server/ingress/call_request.h"
#include "server/ingress/lambda_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
  if (!condition)
    abort();
}

/* The invocation as a message, its metadata in `pairs` and `list`. */
static void message_of(const struct invocation *inv, bool json,
                       Grid__V1__StringPair *pairs, Grid__V1__StringPair **list,
                       Grid__V1__CallRequest *m) {
  grid__v1__call_request__init(m);
  m->task = pb_bytes(inv->task);
  m->handler = pb_bytes(inv->handler);
  m->input_case = json ? GRID__V1__CALL_REQUEST__INPUT_JSON
                       : GRID__V1__CALL_REQUEST__INPUT_PAYLOAD;
  m->payload =
      pb_bytes(inv->payload); /* the union's `json` is of the same type */
  m->content_type = pb_bytes(inv->content_type);
  m->key = pb_bytes(inv->key);
  m->node = pb_bytes(inv->node);
  m->idempotency_key = pb_bytes(inv->idempotency_key);
  m->strategy = inv->strategy == INVOCATION_LOCAL
                    ? GRID__V1__STRATEGY__STRATEGY_LOCAL
                    : GRID__V1__STRATEGY__STRATEGY_ROUND_ROBIN;
  m->metadata = list;
  for (m->n_metadata = 0; m->n_metadata < inv->metadata_count;
       m->n_metadata++) {
    grid__v1__string_pair__init(&pairs[m->n_metadata]);
    pairs[m->n_metadata].key = pb_bytes(inv->metadata[m->n_metadata].name);
    pairs[m->n_metadata].value = pb_bytes(inv->metadata[m->n_metadata].value);
    list[m->n_metadata] = &pairs[m->n_metadata];
  }
}

static void require_same(const struct invocation *a,
                         const struct invocation *b) {
  require(slice_equal(a->task, b->task) &&
          slice_equal(a->handler, b->handler) &&
          slice_equal(a->payload, b->payload));
  require(slice_equal(a->content_type, b->content_type) &&
          slice_equal(a->key, b->key) && slice_equal(a->node, b->node));
  require(slice_equal(a->idempotency_key, b->idempotency_key) &&
          a->strategy == b->strategy);
  require(a->metadata_count == b->metadata_count);
  for (size_t i = 0; i < a->metadata_count; i++)
    require(slice_equal(a->metadata[i].name, b->metadata[i].name) &&
            slice_equal(a->metadata[i].value, b->metadata[i].value));
}

static void again(const struct invocation *inv, bool json) {
  Grid__V1__StringPair pairs[CALL_METADATA_MAX], *list[CALL_METADATA_MAX];
  Grid__V1__CallRequest m;
  struct invocation *second = invocation_create();
  struct buf packed;
  const char *why;
  bool second_json;
  buf_init(&packed, 0);
  message_of(inv, json, pairs, list, &m);
  require(second && pb_append(&packed, &m.base) == 0);
  require(call_request_decode(buf_slice(&packed), second, &second_json, &why) ==
              0 &&
          second_json == json);
  require_same(inv, second);
  buf_dispose(&packed);
  invocation_destroy(second);
}

static void name(struct slice text) {
  struct slice function, qualifier, same;
  if (lambda_name_parse(text, &function, &qualifier) != 0)
    return;
  require(function.data >= text.data &&
          function.data + function.size <= text.data + text.size);
  require(qualifier.size == 0 ||
          qualifier.data + qualifier.size == text.data + text.size);
  require(lambda_name_parse(function, &same, &qualifier) == 0 &&
          slice_equal(function, same) && qualifier.size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct invocation *inv = invocation_create();
  const char *why = NULL;
  bool json;
  require(inv != NULL);
  if (call_request_decode(slice_of(data, size), inv, &json, &why) == 0)
    again(inv, json);
  else
    require(why != NULL);
  invocation_destroy(inv);
  name(slice_of(data, size));
  return 0;
}
