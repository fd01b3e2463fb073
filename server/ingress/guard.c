/* Refuses what a browser would send on behalf of a stranger's page: foreign Host (DNS rebinding), foreign Origin, cross-site
 * fetches. */
#include "server/ingress/guard.h"

#include <stdio.h>
#include <string.h>

#include "net/addr.h"

/* The host of "host[:port]" or "[v6][:port]", without the dot of a fully-qualified name; empty when it is neither. */
static struct slice host_of(struct slice authority)
{
    ptrdiff_t end = authority.size > 0 && authority.data[0] == '[' ? slice_find_byte(authority, 0, ']') + 1
                                                                   : slice_find_byte(authority, 0, ':');
    struct slice host = end < 0 ? authority : slice_first(authority, (size_t) end);
    struct slice port = slice_from(authority, host.size);
    uint64_t number;
    if (port.size > 1 && slice_parse_u64(slice_from(port, 1), UINT16_MAX, &number) != 0)
        return slice_of(NULL, 0);
    if (port.size > 0 && port.data[0] != ':')
        return slice_of(NULL, 0);
    return slice_has_suffix(host, SLICE(".")) ? slice_first(host, host.size - 1) : host;
}

/* "127.0.0.1", "[::1]" and whatever else is an address of loopback. */
static bool is_loopback_address(struct slice host)
{
    char text[ADDR_TEXT_MAX];
    struct addr address;
    if (host.size == 0 || host.size > INET6_ADDRSTRLEN + 1)
        return false;
    snprintf(text, sizeof text, "%.*s:1", SLICE_FMT(host));
    return addr_parse(slice_of_str(text), &address) == 0 && addr_is_loopback(&address);
}

/* RFC 6761 section 6.3: localhost and all names under it. */
static bool is_loopback_name(struct slice host)
{
    static const struct slice UNDER = SLICE_INIT(".localhost");
    return slice_equal_nocase(host, SLICE("localhost")) ||
           (host.size > UNDER.size && slice_equal_nocase(slice_from(host, host.size - UNDER.size), UNDER));
}

/* An IPv6 address is listed without its brackets. */
static bool is_listed(const struct guard_rules *rules, struct slice host)
{
    if (host.size > 2 && host.data[0] == '[')
        host = slice_of(host.data + 1, host.size - 2);
    for (const char *const *name = rules->hosts; host.size > 0 && name && *name; name++)
        if (slice_equal_nocase(host, slice_of_str(*name)))
            return true;
    return false;
}

static bool host_allowed(const struct guard_rules *rules, struct slice host)
{
    if (rules->any_host || (!rules->loopback && (!rules->hosts || !*rules->hosts)))
        return true;
    return is_loopback_name(host) || is_loopback_address(host) || is_listed(rules, host);
}

static bool origin_allowed(const struct guard_rules *rules, struct slice origin)
{
    for (const char *const *scheme = (const char *const[]){"http://", "https://", NULL}; *scheme; scheme++)
        if (slice_has_prefix(origin, slice_of_str(*scheme)))
            return is_listed(rules, host_of(slice_from(origin, strlen(*scheme))));
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

bool guard_token_given(const char *token, const struct http_request_head *head)
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
    *token_given = guard_token_given(rules->token, head);
    *why = NULL;
    if (!host_allowed(rules, host_of(head->authority)))
        *why = "the Host header is neither a loopback name nor one of --api-host: add the name there to be answered under it";
    else if (origin.data && !origin_allowed(rules, origin))
        *why = "requests from web pages of other origins are refused: add the origin's host to --api-host to allow it";
    else if (slice_equal_str(site, "cross-site"))
        *why = "cross-site requests from web pages are refused";
    if (*why)
        return 403;
    if (!rules->loopback && !rules->no_token && !*token_given) {
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
    return !guard_media_type_is(content_type, "application/x-www-form-urlencoded") &&
           !guard_media_type_is(content_type, "multipart/form-data") && !guard_media_type_is(content_type, "text/plain");
}
