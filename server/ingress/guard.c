/* Refuses what a browser would send on behalf of a stranger's page: foreign Host (DNS rebinding), foreign Origin, cross-site fetches. */
#include "server/ingress/guard.h"

#include <stdlib.h>
#include <string.h>

#include "net/addr.h"

static struct slice host_without_port(struct slice authority)
{
    if (authority.size > 0 && authority.data[0] == '[') {
        ptrdiff_t end = slice_find_byte(authority, 0, ']');
        return end < 0 ? authority : slice_of(authority.data + 1, (size_t) end - 1);
    }
    ptrdiff_t colon = slice_find_byte(authority, 0, ':');
    return colon < 0 ? authority : slice_first(authority, (size_t) colon);
}

static bool is_loopback_name(struct slice host)
{
    uint64_t octet;
    if (slice_equal_nocase(host, SLICE("localhost")) || slice_equal_str(host, "::1"))
        return true;
    if (host.size > 10 && slice_equal_nocase(slice_from(host, host.size - 10), SLICE(".localhost")))
        return true;
    if (!slice_has_prefix(host, SLICE("127.")))
        return false;
    for (int i = 0; i < 4; i++) {
        ptrdiff_t dot = slice_find_byte(host, 0, '.');
        if ((dot < 0) != (i == 3) || slice_parse_u64(dot < 0 ? host : slice_first(host, (size_t) dot), 255, &octet) != 0)
            return false;
        host = slice_from(host, (size_t) dot + 1);
    }
    return true;
}

static bool is_listed(const struct guard_rules *rules, struct slice host)
{
    for (const char *const *name = rules->hosts; name && *name; name++)
        if (slice_equal_nocase(host, slice_of_str(*name)))
            return true;
    return false;
}

static bool host_allowed(const struct guard_rules *rules, struct slice host)
{
    return is_loopback_name(host) || is_listed(rules, host);
}

static bool origin_allowed(const struct guard_rules *rules, struct slice origin)
{
    for (const char *const *scheme = (const char *const[]){"http://", "https://", NULL}; *scheme; scheme++)
        if (slice_has_prefix(origin, slice_of_str(*scheme)))
            return is_listed(rules, host_without_port(slice_from(origin, strlen(*scheme))));
    return false; /* "null" and everything else */
}

/* Compares without leaking where two tokens differ. */
static bool token_equal(struct slice given, const char *token)
{
    size_t size = strlen(token);
    unsigned difference = given.size == size ? 0 : 1;
    for (size_t i = 0; i < given.size; i++)
        difference |= (unsigned) (given.data[i] ^ (uint8_t) token[i % (size ? size : 1)]);
    return size > 0 && difference == 0;
}

static bool token_in(const struct http_request_head *head, const char *token)
{
    struct slice value = http_header_find(head->headers, head->header_count, "authorization");
    if (!token || value.size < 7 || !slice_equal_nocase(slice_first(value, 7), SLICE("bearer ")))
        return false;
    return token_equal(slice_trim(slice_from(value, 7)), token);
}

int guard_check(const struct guard_rules *rules, const struct http_request_head *head, bool *token_given, const char **why)
{
    struct slice origin = http_header_find(head->headers, head->header_count, "origin");
    struct slice site = http_header_find(head->headers, head->header_count, "sec-fetch-site");
    *token_given = token_in(head, rules->token);
    *why = NULL;
    if (!host_allowed(rules, host_without_port(head->authority)) && (rules->loopback || rules->hosts))
        *why = "the Host header is neither a loopback name nor one of --api-host: add the name there to be answered under it";
    else if (origin.data && !origin_allowed(rules, origin))
        *why = "requests from web pages of other origins are refused: add the origin's host to --api-host to allow it";
    else if (slice_equal_str(site, "cross-site"))
        *why = "cross-site requests from web pages are refused";
    if (*why)
        return 403;
    if (!rules->loopback && !*token_given) {
        *why = "this listener asks for the API token: send it as \"Authorization: Bearer TOKEN\"";
        return 401;
    }
    return 0;
}

bool guard_media_type_is(struct slice content_type, const char *type)
{
    ptrdiff_t semicolon = slice_find_byte(content_type, 0, ';');
    struct slice media = semicolon < 0 ? content_type : slice_first(content_type, (size_t) semicolon);
    return slice_equal_nocase(slice_trim(media), slice_of_str(type));
}

bool guard_json_like(struct slice content_type)
{
    return !guard_media_type_is(content_type, "application/x-www-form-urlencoded") && !guard_media_type_is(content_type, "multipart/form-data") &&
           !guard_media_type_is(content_type, "text/plain");
}
