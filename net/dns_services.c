/* One walk over questions and answers. Names are expanded by c-ares, which bounds them and their pointers. */
#include "net/dns_services.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include <ares.h>
#include <ares_nameser.h>

#include "base/err.h"

enum { MESSAGE_HEADER = 12, QUESTION_FIXED = 4, RECORD_FIXED = 10, SERVICE_FIXED = 6 };

struct walk {
    struct slice answer;
    size_t at;
};

static uint16_t number_at(const struct walk *w, size_t at)
{
    return (uint16_t) (w->answer.data[at] << 8 | w->answer.data[at + 1]);
}

static bool has(const struct walk *w, size_t bytes)
{
    return w->answer.size - w->at >= bytes;
}

/* The name at hand, which ends before `end`; `text` may be NULL. */
static int take_name(struct walk *w, size_t end, char text[DNS_NAME_MAX + 1])
{
    char *name = NULL;
    long encoded;
    if (w->at >= end)
        return GRID_EPROTO;
    int status = ares_expand_name(w->answer.data + w->at, w->answer.data, (int) w->answer.size, &name, &encoded);
    if (status != ARES_SUCCESS)
        return status == ARES_ENOMEM ? GRID_ENOMEM : GRID_EPROTO;
    size_t size = strlen(name);
    bool fits = size <= DNS_NAME_MAX && encoded > 0 && (size_t) encoded <= end - w->at;
    if (fits && text)
        memcpy(text, name, size + 1);
    if (fits)
        w->at += (size_t) encoded;
    ares_free_string(name);
    return fits ? 0 : GRID_EPROTO;
}

static int skip_questions(struct walk *w, uint16_t count)
{
    int err = 0;
    while (err == 0 && count-- > 0) {
        err = take_name(w, w->answer.size, NULL);
        if (err == 0 && !has(w, QUESTION_FIXED))
            err = GRID_EPROTO;
        if (err == 0)
            w->at += QUESTION_FIXED;
    }
    return err;
}

/* Labels of letters, digits, hyphens and underscores. What c-ares has escaped, or cut at a NUL, is none. */
static bool is_host(const char *name)
{
    static const char LABEL[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    for (;;) {
        size_t size = strspn(name, LABEL);
        if (size == 0 || (name[size] != '.' && name[size] != '\0'))
            return false;
        if (name[size] == '\0')
            return true;
        name += size + 1;
    }
}

/* The fixed part and the name of one SRV record, which fills its place to `end`. */
static int take_service(struct walk *w, size_t end, struct dns_services *out)
{
    struct dns_service s;
    if (end - w->at < SERVICE_FIXED)
        return GRID_EPROTO;
    s.priority = number_at(w, w->at);
    s.weight = number_at(w, w->at + 2);
    s.port = number_at(w, w->at + 4);
    w->at += SERVICE_FIXED;
    int err = take_name(w, end, s.host);
    if (err == 0 && w->at != end)
        err = GRID_EPROTO;
    if (err == 0 && is_host(s.host) && s.port != 0 && out->count < DNS_SERVICES_MAX)
        out->at[out->count++] = s;
    return err;
}

static int take_record(struct walk *w, struct dns_services *out)
{
    int err = take_name(w, w->answer.size, NULL);
    if (err != 0 || !has(w, RECORD_FIXED))
        return err != 0 ? err : GRID_EPROTO;
    uint16_t type = number_at(w, w->at), class = number_at(w, w->at + 2);
    uint32_t ttl = (uint32_t) number_at(w, w->at + 4) << 16 | number_at(w, w->at + 6);
    size_t size = number_at(w, w->at + 8);
    w->at += RECORD_FIXED;
    if (!has(w, size))
        return GRID_EPROTO;
    size_t end = w->at + size, before = out->count;
    if (type == ns_t_srv && class == ns_c_in)
        err = take_service(w, end, out);
    if (out->count > before)
        out->ttl_s = before == 0 || ttl < out->ttl_s ? ttl : out->ttl_s;
    w->at = end;
    return err;
}

int dns_services_read(struct slice answer, struct dns_services *out)
{
    struct walk w = {.answer = answer, .at = MESSAGE_HEADER};
    out->count = 0;
    out->ttl_s = 0;
    if (answer.size < MESSAGE_HEADER || answer.size > INT_MAX)
        return GRID_EPROTO;
    int err = skip_questions(&w, number_at(&w, 4));
    for (uint16_t left = number_at(&w, 6); err == 0 && left > 0; left--)
        err = take_record(&w, out);
    return err;
}
