/* Form parameters become a tree in an arena, in order of appearance; the tree is then written as JSON. */
#include "base/form.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/percent.h"

enum { ARENA_BLOCK = 4096, INDEX_DIGITS = 6 };

struct node {
    struct node *next; /* the next child of the same parent */
    struct node *first, *last;
    struct slice key;
    struct slice value; /* of a leaf */
    uint32_t key_hash;
    uint32_t children;
    uint32_t index;      /* what the key is as an index, NOT_INDEX when it is none */
    uint32_t next_index; /* one above the greatest index among the children */
    bool is_leaf;
    bool is_repeated; /* an array made of a plain name that came more than once */
};

#define NOT_INDEX UINT32_MAX

struct parser {
    struct arena *arena;
    struct buf text; /* the current name, then its value, with escapes undone */
    struct node root;
    const char *reason;
};

static int refuse(struct parser *p, int err, const char *reason)
{
    p->reason = reason;
    return err;
}

/* FNV-1a: saves comparing long keys, decides nothing. */
static uint32_t hash_key(struct slice key)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ key.data[i]) * 16777619u;
    return hash;
}

/* Only the canonical spelling of a small number is an index: "0", "17", not "01". */
static uint32_t index_of(struct slice key)
{
    uint64_t index;
    if (key.size > INDEX_DIGITS || (key.size > 1 && key.data[0] == '0') || slice_parse_u64(key, NOT_INDEX - 1, &index) != 0)
        return NOT_INDEX;
    return (uint32_t) index;
}

static struct node *find_child(const struct node *parent, struct slice key)
{
    uint32_t hash = hash_key(key);
    for (struct node *child = parent->first; child; child = child->next)
        if (child->key_hash == hash && slice_equal(child->key, key))
            return child;
    return NULL;
}

static struct node *add_child(struct parser *p, struct node *parent, struct slice key)
{
    struct node *child = arena_calloc(p->arena, 1, sizeof *child);
    struct slice copy = arena_copy(p->arena, key);
    if (!child || !copy.data)
        return NULL;
    *child = (struct node){.key = copy, .key_hash = hash_key(copy), .index = index_of(copy)};
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->children++;
    if (child->index != NOT_INDEX && child->index >= parent->next_index)
        parent->next_index = child->index + 1;
    return child;
}

static struct node *append_child(struct parser *p, struct node *parent)
{
    const char *key = arena_printf(p->arena, "%u", (unsigned) parent->next_index);
    return key ? add_child(p, parent, slice_of_str(key)) : NULL;
}

/* Steps down to the child that a segment of a name says, making it where it is missing; an empty segment always makes a new one. */
static int descend(struct parser *p, struct node **node, struct slice segment)
{
    if ((*node)->is_leaf || (*node)->is_repeated)
        return refuse(p, GRID_EPROTO, "gives fields to a name that has a plain value already");
    struct node *child = segment.size == 0 ? NULL : find_child(*node, segment);
    if (!child)
        child = segment.size == 0 ? append_child(p, *node) : add_child(p, *node, segment);
    if (!child)
        return GRID_ENOMEM;
    *node = child;
    return 0;
}

static int set_leaf(struct parser *p, struct node *node, struct slice value)
{
    struct slice copy = arena_copy(p->arena, value);
    if (!copy.data)
        return GRID_ENOMEM;
    node->is_leaf = true;
    node->value = copy;
    return 0;
}

/* The second plain value of a name moves the first one into an array. */
static int make_repeated(struct parser *p, struct node *node)
{
    struct slice first = node->value;
    node->is_leaf = false;
    node->is_repeated = true;
    struct node *child = append_child(p, node);
    return child ? set_leaf(p, child, first) : GRID_ENOMEM;
}

static int add_value(struct parser *p, struct node *node, struct slice value)
{
    if (node->children > 0 && !node->is_repeated)
        return refuse(p, GRID_EPROTO, "gives a plain value to a name that has fields already");
    if (node->is_leaf && make_repeated(p, node) != 0)
        return GRID_ENOMEM;
    if (!node->is_repeated)
        return set_leaf(p, node, value);
    struct node *child = append_child(p, node);
    return child ? set_leaf(p, child, value) : GRID_ENOMEM;
}

/* Takes "[segment]" from the front of `rest`. */
static int take_bracketed(struct parser *p, struct slice *rest, struct slice *segment)
{
    ptrdiff_t close = slice_find_byte(*rest, 0, ']');
    if (rest->data[0] != '[' || close < 0)
        return refuse(p, GRID_EPROTO, "has brackets that do not pair");
    *segment = slice_of(rest->data + 1, (size_t) close - 1);
    if (slice_find_byte(*segment, 0, '[') >= 0)
        return refuse(p, GRID_EPROTO, "has brackets that do not pair");
    *rest = slice_from(*rest, (size_t) close + 1);
    return 0;
}

/* Splits what stands before the first bracket off a name; "[a][b]" is read as "a[b]", as in qs. */
static int take_first_segment(struct parser *p, struct slice *rest, struct slice *segment)
{
    size_t length = 0;
    while (length < rest->size && rest->data[length] != '[' && rest->data[length] != ']')
        length++;
    if (length == 0)
        return take_bracketed(p, rest, segment);
    *segment = slice_first(*rest, length);
    *rest = slice_from(*rest, length);
    return 0;
}

static int add_parameter(struct parser *p, struct slice name, struct slice value)
{
    struct node *node = &p->root;
    struct slice segment;
    int err = take_first_segment(p, &name, &segment);
    if (err == 0)
        err = descend(p, &node, segment);
    for (int depth = 0; err == 0 && name.size > 0; depth++) {
        if (depth == FORM_MAX_DEPTH)
            return refuse(p, GRID_ELIMIT, "is nested too deeply");
        err = take_bracketed(p, &name, &segment);
        if (err == 0)
            err = descend(p, &node, segment);
    }
    return err ? err : add_value(p, node, value);
}

/* Both parts go into one buffer; their slices are taken when it no longer moves. */
static int parse_parameter(struct parser *p, struct slice parameter)
{
    ptrdiff_t equals = slice_find_byte(parameter, 0, '=');
    size_t name_length = equals < 0 ? parameter.size : (size_t) equals;
    if (name_length == 0)
        return 0;
    buf_clear(&p->text);
    int err = percent_decode(&p->text, slice_first(parameter, name_length), PERCENT_PLUS_IS_SPACE);
    size_t decoded_name = p->text.size;
    if (err == 0)
        err = percent_decode(&p->text, slice_from(parameter, name_length + 1), PERCENT_PLUS_IS_SPACE);
    if (err == GRID_EPROTO)
        return refuse(p, err, "has a '%' without two hexadecimal digits");
    if (err != 0)
        return err;
    struct slice name = slice_first(buf_slice(&p->text), decoded_name), value = slice_from(buf_slice(&p->text), decoded_name);
    if (!slice_is_utf8(name) || !slice_is_utf8(value))
        return refuse(p, GRID_EPROTO, "is not UTF-8");
    return add_parameter(p, name, value);
}

static int parse_form(struct parser *p, struct slice form, size_t *count)
{
    int err = 0;
    while (err == 0 && form.size > 0) {
        ptrdiff_t end = slice_find_byte(form, 0, '&');
        struct slice parameter = end < 0 ? form : slice_first(form, (size_t) end);
        form = slice_from(form, parameter.size + 1);
        if (parameter.size > 0 && ++*count > FORM_MAX_PARAMETERS)
            return refuse(p, GRID_ELIMIT, "is one too many");
        err = parse_parameter(p, parameter);
    }
    return err;
}

static int write_node(struct parser *p, struct json_writer *w, const struct node *node);

static int write_array(struct parser *p, struct json_writer *w, const struct node *node)
{
    const struct node **by_index = arena_calloc(p->arena, node->children, sizeof *by_index);
    int err = by_index ? 0 : GRID_ENOMEM;
    json_open_array(w);
    for (const struct node *child = node->first; err == 0 && child; child = child->next)
        by_index[child->index] = child;
    for (uint32_t i = 0; err == 0 && i < node->children; i++)
        err = write_node(p, w, by_index[i]);
    json_close_array(w);
    return err;
}

static int write_object(struct parser *p, struct json_writer *w, const struct node *node)
{
    int err = 0;
    json_open_object(w);
    for (const struct node *child = node->first; err == 0 && child; child = child->next) {
        json_write_key_slice(w, child->key);
        err = write_node(p, w, child);
    }
    json_close_object(w);
    return err;
}

/* Keys differ from one another, so n of them that are all indices below n are exactly 0 to n-1. */
static bool is_array(const struct node *node)
{
    if (node->next_index != node->children)
        return false;
    for (const struct node *child = node->first; child; child = child->next)
        if (child->index == NOT_INDEX)
            return false;
    return true;
}

static int write_node(struct parser *p, struct json_writer *w, const struct node *node)
{
    if (!node->is_leaf)
        return is_array(node) ? write_array(p, w, node) : write_object(p, w, node);
    json_write_string(w, node->value);
    return 0;
}

static int write_root(struct parser *p, struct buf *out)
{
    struct json_writer w;
    size_t mark = out->size;
    json_writer_init(&w, out);
    int err = write_object(p, &w, &p->root);
    if (err == 0)
        err = json_writer_finish(&w);
    if (err != 0)
        buf_truncate(out, mark);
    return err;
}

int form_to_json(struct slice form, struct buf *out_json, struct form_error *out_error)
{
    struct parser p = {.arena = arena_create(ARENA_BLOCK, 0)};
    size_t count = 0;
    if (!p.arena)
        return GRID_ENOMEM;
    buf_init(&p.text, 0);
    int err = parse_form(&p, form, &count);
    if (err == 0)
        err = write_root(&p, out_json);
    if (err != 0 && out_error)
        *out_error = (struct form_error){.parameter = count, .reason = p.reason ? p.reason : grid_err_text(err)};
    buf_dispose(&p.text);
    arena_destroy(p.arena);
    return err;
}
