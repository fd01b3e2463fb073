/* net/http1_client.h: what the HTTP/1.1 client of net/http.h offers beyond it, for calling local tasks. One loop's thread. */
#ifndef GRID_NET_HTTP1_CLIENT_H
#define GRID_NET_HTTP1_CLIENT_H

#include "net/http.h"

/* As http_client_call, but the head asks with Expect: 100-continue and the body is held back until the task answers 100, or
 * HTTP1_EXPECT_WAIT_MS have passed. When a final answer comes first, no byte of the body was sent, and the connection is not used
 * again.
 *
 * For both: with `more`, a content-length header of the caller's gives the length of the body to come; without one it is
 * chunked. */
enum { HTTP1_EXPECT_WAIT_MS = 200 };
int http1_client_call_expect(struct http_client *c, const struct http_request_head *head, struct slice body, bool more,
                             const struct http_call_events *events, void *ctx, struct http_call **out);
/* True while the body of such a call is held back: the task has asked for none of it. */
bool http1_client_call_held(const struct http_call *call);

#endif
