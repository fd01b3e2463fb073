/* What a node keeps of its place in a grid: the Gridfile and STATE/trust read and put together, and kept. */
#include "server/node_standing.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"

/* ---- the Gridfile ---- */

static void warn_unknown(void *ctx, const struct toml_entry *entry)
{
    (void) ctx;
    if (entry->table.size > 0 || !options_is_known(entry->key))
        log_line(LOG_WARN, "the Gridfile has a key that this version does not know: it is passed over", LOGF_SLICE("key", entry->key), LOGF_INT("line", entry->line));
}

/* A card without an authority will do where a password is what lets in. */
static bool is_password_card(const struct node *n)
{
    const struct options *o = n->options;
    return o->password_file || o->password || o->open || (n->gridfile.grid_password && *n->gridfile.grid_password);
}

/* Its authority. Who gave none may not know that one is used: what is wrong with it names its whole path. */
static int judge_gridfile(const struct node *n, const char *path, struct authority **card, char why[NODE_WHY_MAX])
{
    char sentence[TRUST_SENTENCE_MAX], whole[PATH_MAX];
    if (!realpath(path, whole))
        snprintf(whole, sizeof whole, "%.4000s", path);
    int err = gridfile_authority(&n->gridfile, n->options->grid, card, sentence);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "%.200s: %.560s", whole, sentence);
    return err;
}

/* *card: its authority, NULL when there is no Gridfile or it names none. */
int node_standing_load_card(struct node *n, struct authority **card, char why[NODE_WHY_MAX])
{
    char path[4096];
    *card = NULL;
    if (!options_find_gridfile(n->options, path, sizeof path))
        return 0;
    char sentence[TRUST_SENTENCE_MAX];
    int err = gridfile_load(path, warn_unknown, NULL, &n->gridfile, sentence);
    if (err != 0) {
        snprintf(why, NODE_WHY_MAX, "%s%.700s", n->options->gridfile ? "--gridfile: " : "", sentence);
        return err;
    }
    err = judge_gridfile(n, path, card, why);
    n->keyless = err == 0 && !authority_can_issue(*card);
    return err == GRID_ENOENT && is_password_card(n) ? 0 : err;
}

/* ---- what the state folder has ---- */

/* An authority of the ledger, with its key where one of the kept ones is its own. */
static int load_authority(const struct standing *s, struct slice der, struct authority **out, char clause[TRUST_WHY_MAX])
{
    for (size_t i = 0; i < STANDING_KEYS_MAX; i++)
        if (s->keys[i].size > 0 && authority_load_der(der, buf_slice(&s->keys[i]), out, clause) == 0)
            return 0;
    return authority_load_der(der, slice_of(NULL, 0), out, clause);
}

/* Ledger and root as kept; *kept is NULL when there is none. */
static int load_kept(struct node *n, struct authority **kept, char why[NODE_WHY_MAX])
{
    char clause[TRUST_WHY_MAX] = "it is damaged";
    *kept = NULL;
    if (n->standing.ledger.size == 0)
        return 0;
    int err = ledger_load(buf_slice(&n->standing.ledger), &n->ledger);
    if (err == 0)
        err = ledger_load_owed(n->ledger, buf_slice(&n->standing.owed));
    if (err == 0)
        err = load_authority(&n->standing, ledger_root(n->ledger)->der, kept, clause);
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "the ledger in %.300s/trust cannot be used (%s): move that file away and join the grid anew", n->options->state, clause);
    return err;
}

static int refuse_card(const struct node *n, const struct authority *card, const struct authority *kept, char why[NODE_WHY_MAX])
{
    snprintf(why, NODE_WHY_MAX,
             "--gridfile: the Gridfile's authority %.8s of grid \"%s\" is not %.8s of grid \"%s\", which this node belongs to by its state folder %.200s: run "
             "\"grid adopt\" to change sides, or give the other Gridfile or another --state",
             authority_id(card), authority_grid_name(card), authority_id(kept), authority_grid_name(kept), n->options->state);
    return GRID_EPERM;
}

/* Which of the two counts; the other is destroyed. *taken: it is the Gridfile's, new here. */
static int choose_authority(struct node *n, struct authority *card, struct authority *kept, bool *taken, char why[NODE_WHY_MAX])
{
    *taken = false;
    if (!card || !kept) {
        n->authority = card ? card : kept;
        *taken = card != NULL;
        return 0;
    }
    bool same = strcmp(authority_id(card), authority_id(kept)) == 0, stale = standing_is_former(&n->standing, authority_id(card));
    if (same || (!stale && n->standing.provisional)) {
        bool keep_kept = same && authority_can_issue(kept);
        n->authority = keep_kept ? kept : card;
        *taken = !same;
        authority_destroy(keep_kept ? card : kept);
        return 0;
    }
    n->authority = kept;
    int err = stale ? 0 : refuse_card(n, card, kept, why);
    if (stale)
        log_line(LOG_WARN, "the Gridfile is from before the grid's authority was replaced: what the state folder has is used", LOGF_STR("gridfile", authority_id(card)),
                 LOGF_STR("authority", authority_id(kept)));
    authority_destroy(card);
    return err;
}

static int check_grid_name(const struct node *n, char why[NODE_WHY_MAX])
{
    const char *asked = n->options->grid;
    if (!n->authority || !asked || strcmp(asked, authority_grid_name(n->authority)) == 0)
        return 0;
    snprintf(why, NODE_WHY_MAX, "--grid: this node belongs to grid \"%s\" by its state folder %.200s, not to \"%s\": run \"grid adopt\", or give another --state",
             authority_grid_name(n->authority), n->options->state, asked);
    return GRID_EINVAL;
}

int node_standing_load(struct node *n, bool *taken, char why[NODE_WHY_MAX])
{
    struct authority *card = NULL, *kept = NULL;
    int err = standing_load(n->options->state, &n->standing, why);
    if (err == 0)
        err = node_standing_load_card(n, &card, why);
    if (err == 0)
        err = load_kept(n, &kept, why);
    if (err != 0) {
        authority_destroy(card);
        authority_destroy(kept);
        return err;
    }
    err = choose_authority(n, card, kept, taken, why);
    if (err == 0)
        err = check_grid_name(n, why);
    const char *name = n->authority ? authority_grid_name(n->authority) : n->options->grid ? n->options->grid : n->gridfile.grid_name;
    if (err == 0 && name)
        snprintf(n->grid, sizeof n->grid, "%s", name);
    return err;
}

/* The Gridfile's authority becomes the state folder's. */
int node_standing_adopt_card(struct node *n)
{
    standing_dispose(&n->standing);
    standing_init(&n->standing);
    ledger_destroy(n->ledger);
    n->ledger = NULL;
    return ledger_create(authority_certificate_der(n->authority), &n->ledger);
}

/* The Gridfile's key, where it has one, stays with this node: an issuer is one at later starts too. */
int node_standing_keep_key(struct node *n)
{
    struct slice der = authority_can_issue(n->authority) ? key_private_der(authority_key(n->authority)) : slice_of(NULL, 0);
    for (size_t i = 0; i < STANDING_KEYS_MAX; i++)
        if (der.size == 0 || slice_equal(der, buf_slice(&n->standing.keys[i])))
            return 0;
    return standing_set(&n->standing.keys[n->standing.keys[0].size > 0], der);
}

/* ---- on disk, and as authorities ---- */

/* Keys of authorities that count no more are forgotten. */
static void drop_old_keys(struct node *n)
{
    for (size_t i = 0; i < STANDING_KEYS_MAX; i++) {
        struct slice der = buf_slice(&n->standing.keys[i]);
        const struct authority *const all[] = {n->authority, n->next};
        bool counts = false;
        for (size_t a = 0; a < 2; a++)
            counts |= all[a] && authority_can_issue(all[a]) && slice_equal(der, key_private_der(authority_key(all[a])));
        for (size_t b = 0; b < i; b++)
            counts &= !slice_equal(der, buf_slice(&n->standing.keys[b]));
        if (der.size > 0 && !counts)
            (void) standing_set(&n->standing.keys[i], slice_of(NULL, 0));
    }
}

int node_standing_keep(struct node *n, char why[NODE_WHY_MAX])
{
    struct buf packed;
    buf_init(&packed, LEDGER_BYTES_MAX);
    drop_old_keys(n);
    int err = ledger_pack(n->ledger, &packed);
    if (err == 0)
        err = standing_set(&n->standing.ledger, buf_slice(&packed));
    buf_clear(&packed);
    if (err == 0)
        err = ledger_pack_owed(n->ledger, &packed);
    if (err == 0)
        err = standing_set(&n->standing.owed, buf_slice(&packed));
    if (err != 0)
        snprintf(why, NODE_WHY_MAX, "the ledger cannot be kept: %s", grid_err_text(err));
    buf_dispose(&packed);
    return err == 0 ? standing_store(n->options->state, &n->standing, why) : err;
}

/* The ledger's root is at hand with its key: reading keys is a good part of a start. */
static bool has_root(const struct node *n)
{
    return n->authority && authority_can_issue(n->authority) && slice_equal(authority_certificate_der(n->authority), ledger_root(n->ledger)->der);
}

int node_standing_load_authorities(struct node *n, char why[NODE_WHY_MAX])
{
    char clause[TRUST_WHY_MAX];
    const struct ledger_authority *next = ledger_next(n->ledger);
    bool stays = has_root(n);
    struct authority *root = n->authority, *coming = NULL;
    int err = stays ? 0 : load_authority(&n->standing, ledger_root(n->ledger)->der, &root, clause);
    if (err == 0 && next && (err = load_authority(&n->standing, next->der, &coming, clause)) != 0 && !stays)
        authority_destroy(root);
    if (err != 0) {
        snprintf(why, NODE_WHY_MAX, "the grid's authority cannot be used: %s", clause);
        return err;
    }
    if (!stays)
        authority_destroy(n->authority);
    authority_destroy(n->next);
    n->authority = root;
    n->next = coming;
    return 0;
}
