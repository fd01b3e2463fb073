/* server/ingress/guard.h: who may talk to the local API at all: a web page must not. Pure. CONTRACT.md, "The local API". */
#ifndef GRID_SERVER_INGRESS_GUARD_H
#define GRID_SERVER_INGRESS_GUARD_H

#include "net/http.h"

struct guard_rules {
    const char *const *hosts; /* further names to answer to; NULL-terminated, may be NULL */
    bool loopback;            /* the listener is on loopback, or a Unix socket: no token is asked for */
    bool any_host;            /* a Unix socket, or a route for monitors: the Host header does not matter */
    bool no_token;            /* a route that answers without the token too */
    const char *token;        /* asked for when not loopback */
};

/* Judges a request's Host, Origin, Sec-Fetch-Site and Authorization. Returns 0 or the HTTP status to refuse with (401, 403), and
 * `why` a sentence. *token_given tells whether the API token was given and right. */
int guard_check(const struct guard_rules *rules, const struct http_request_head *head, bool *token_given, const char **why);

/* True when the request gives this API token as "Authorization: Bearer TOKEN". False when `token` is NULL. */
bool guard_token_given(const char *token, const struct http_request_head *head);

/* True for a body type that only JSON clients send: forms and text, which a web page may send anywhere, are for the original's
 * routes. */
bool guard_json_like(struct slice content_type);

/* The media type without parameters, compared without case: "application/json; charset=utf-8" is "application/json". */
bool guard_media_type_is(struct slice content_type, const char *type);

#endif
