/* net/http1.h: HTTP/1.x as pure bytes (RFC 9112): a strict incremental parser of requests and responses, and serializers that
 * always write anew. No sockets, no clock, no threads. Why our own: docs/decisions/http1-parser.md.
 *
 *   HEAD --> BODY (length, chunks, until close) --> DONE --http1_parser_reset--> HEAD
 *     \_____________________ FAILED _____________________/
 *
 * Requests are judged strictly: CRLF only, token names, no blank before the colon, no folding, one valid Host, one framing,
 * HTTP/1.0 or 1.1. Responses (from local tasks) may end lines with a bare LF and leave the reason out; the rest is the same. */
#ifndef GRID_NET_HTTP1_H
#define GRID_NET_HTTP1_H

#include "base/buf.h"
#include "net/http.h"

enum {
    HTTP1_TARGET_MAX = 8192,      /* bytes of a request-target */
    HTTP1_METHOD_MAX = 32,        /* bytes of a method */
    HTTP1_CHUNK_EXT_MAX = 256,    /* bytes of one chunk's size line behind the size */
    HTTP1_NAMED_MAX = 16,         /* header names in Connection */
    HTTP1_INFORMATIONAL_MAX = 16, /* 1xx heads before the final one */
};

enum http1_kind { HTTP1_REQUEST, HTTP1_RESPONSE };

/* What http1_parser_next found. */
enum http1_event {
    HTTP1_MORE,          /* everything was taken; more input is needed (or the message is done) */
    HTTP1_HEAD,          /* parser.head is filled */
    HTTP1_INFORMATIONAL, /* a 1xx head; parser.head.status says which. The final head follows */
    HTTP1_DATA,          /* parser.data holds bytes of body, borrowed from the input */
    HTTP1_END,           /* the message is complete; trailers stand in parser.head */
    HTTP1_FAILED,        /* parser.status and parser.why say what is wrong; nothing more is taken */
};

/* A parsed head. The slices live until http1_parser_reset; header names are lower-case. Headers that belong to the connection
 * (host, connection and those it names, framing, expect, upgrade, te, trailer, keep-alive, proxy-connection, http2-settings) are
 * left out. */
struct http1_head {
    struct http_request_head request; /* of a response only headers and header_count are set */
    int status;                       /* responses */
    bool version_1_0;
    bool keep_alive;        /* by version and Connection; false for a body that ends with the connection */
    bool chunked;
    bool until_close;       /* responses */
    bool expect_continue;   /* requests */
    int64_t content_length; /* -1 when absent */
    const struct http_header *trailers; /* from HTTP1_END on */
    size_t trailer_count;
};

struct http1_parser {
    struct http1_head head;
    struct slice data;
    int status;      /* after HTTP1_FAILED on a request: 400, 414, 431, 501 or 505 */
    const char *why; /* a sentence without its full stop; static storage */
    /* The rest is the parser's own. */
    enum http1_kind kind;
    int state;
    size_t header_list_max;
    struct buf store;       /* the head */
    struct buf trail_store; /* the trailers */
    size_t line_size;       /* of the unfinished line, over all inputs */
    size_t first_line_size; /* 0 until its end has come */
    uint8_t last_byte;
    uint8_t blank_lines;
    uint8_t host_count;
    uint8_t named_count;
    uint8_t informational_count;
    bool head_only; /* the answer to a HEAD request */
    bool close_said, keep_alive_said;
    unsigned digits;      /* of a chunk's size */
    unsigned ext_size;    /* bytes of its extension */
    uint64_t remaining;   /* of a body or chunk */
    struct slice absolute; /* the authority of an absolute-form target */
    struct slice named[HTTP1_NAMED_MAX];          /* by Connection */
    struct http_header headers[HTTP_HEADERS_MAX]; /* headers, then trailers */
};

/* header_list_max: bytes of all header lines together (0: 16 KiB); the same cap holds for trailers. Takes no memory yet. */
void http1_parser_init(struct http1_parser *p, enum http1_kind kind, size_t header_list_max);
void http1_parser_dispose(struct http1_parser *p);

/* Ready for the next message of the connection; the slices of the last one are gone, its memory is kept. */
void http1_parser_reset(struct http1_parser *p);

/* Responses: says before its head that the answer is to a HEAD request and has no body. */
void http1_parser_expect_head_only(struct http1_parser *p, bool head_only);

/* Finds the next event and moves `in` behind what it took. Call until it gives HTTP1_MORE. After HTTP1_END it takes nothing until
 * http1_parser_reset: what is left in `in` belongs to the next message. Out of memory is HTTP1_FAILED with status 500. */
enum http1_event http1_parser_next(struct http1_parser *p, struct slice *in);

/* The other side ended its half: HTTP1_END for a body that ends so, HTTP1_MORE between messages and
 * behind an interim head, HTTP1_FAILED inside one. */
enum http1_event http1_parser_eof(struct http1_parser *p);

/* True when no byte of the next message has been seen. */
bool http1_parser_idle(const struct http1_parser *p);

/* How a body is framed when it is written. */
enum http1_framing { HTTP1_BODY_NONE, HTTP1_BODY_LENGTH, HTTP1_BODY_CHUNKED, HTTP1_BODY_UNTIL_CLOSE };

struct http1_framed {
    enum http1_framing framing;
    uint64_t length; /* HTTP1_BODY_LENGTH */
    bool close;      /* writes Connection: close */
    bool expect_continue; /* requests */
};

/* Append a head with its empty line. The caller's headers are written as given but for those that are the connection's (as above,
 * and date in answers), which are left out: framing is written anew. 0; GRID_EINVAL when a name is no token, or a value, method,
 * target or authority holds CR, LF, NUL or another control character; GRID_ENOMEM. On an error nothing has been appended. `date` is
 * an IMF-fixdate, or empty. */
int http1_write_request(struct buf *out, const struct http_request_head *head, const struct http1_framed *framed);
int http1_write_response(struct buf *out, int status, const struct http_header *headers, size_t count,
                         const struct http1_framed *framed, struct slice date);

/* Appends one chunk; nothing for an empty one, which would end the body. */
int http1_write_chunk(struct buf *out, struct slice bytes);
/* Appends the last chunk with trailers (framing fields are left out, as is all that is no valid field). */
int http1_write_last_chunk(struct buf *out, const struct http_header *trailers, size_t count);

/* Token characters only, and no control character but the tab (RFC 9110 sections 5.1 and 5.5). */
bool http1_name_valid(struct slice name);
bool http1_value_valid(struct slice value);
/* True for the names that belong to the connection and are never handed on. `name` is lower-case. */
bool http1_name_is_hop(struct slice name);

/* "OK" for 200; "Unknown" for what is not in the registry. Static storage. */
const char *http1_reason(int status);

#endif
