/* Three files from one order: everything is composed and looked at before the first is written. */
#include "cli/cert_issue.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/cli.h"
#include "trust/gridfile.h"
#include "trust/ledger.h"
#include "trust/standing.h"

int cert_authority_of_gridfile(const char *path, struct authority **out)
{
    char sentence[TRUST_SENTENCE_MAX];
    struct gridfile card;
    int err = gridfile_load(path, NULL, NULL, &card, sentence);
    if (err == GRID_ENOENT)
        return cli_fail(GRID_FAILED, "there is no %s: run this where the grid's Gridfile is, name it with --gridfile, or name an issuer's state folder with --state (of a grid by password: one that has the key)", path);
    if (err != 0)
        return cli_fail(GRID_FAILED, "%s", sentence);
    err = gridfile_authority(&card, NULL, out, sentence);
    gridfile_dispose(&card);
    if (err != 0)
        return cli_fail(GRID_FAILED, "%s", sentence);
    if (authority_can_issue(*out))
        return GRID_DONE;
    authority_destroy(*out);
    return cli_fail(GRID_FAILED, "%s has no authority_key: only the Gridfile that \"grid new\" wrote, or a copy of it, can issue certificates", path);
}

/* The ledger's root, when one of the kept keys is its own. */
static int find_authority(const struct standing *s, struct authority **out)
{
    char clause[TRUST_WHY_MAX];
    struct ledger *l;
    int err = ledger_load(buf_slice(&s->ledger), &l);
    if (err != 0)
        return err;
    err = GRID_ENOENT;
    for (size_t i = 0; err != 0 && i < STANDING_KEYS_MAX; i++)
        if (s->keys[i].size > 0 && authority_load_der(ledger_root(l)->der, buf_slice(&s->keys[i]), out, clause) == 0)
            err = 0;
    ledger_destroy(l);
    return err;
}

int cert_authority_of_state(const char *folder, struct authority **out)
{
    char sentence[TRUST_SENTENCE_MAX];
    struct standing s;
    standing_init(&s);
    int code = GRID_DONE;
    if (standing_load(folder, &s, sentence) != 0)
        code = cli_fail(GRID_FAILED, "%s", sentence);
    else if (s.ledger.size == 0)
        code = cli_fail(GRID_FAILED, "--state: %s is not the state folder of a member of a grid: name another, or use the Gridfile", folder);
    else if (find_authority(&s, out) != 0)
        code = cli_fail(GRID_FAILED, "--state: the node of %s does not hold the key of its grid's authority: run this on one that does, or use the Gridfile", folder);
    else if (s.provisional)
        fprintf(stderr, "grid: the grid's authority is provisional until the first join or deploy: should it yield to another before, certificates of it end\n");
    standing_dispose(&s);
    return code;
}

/* The files' contents. */
struct pem_texts {
    struct buf key, certificate, authority;
};

const char *cert_name_fault(const char *name)
{
    if (!trust_name_valid(slice_of_str(name)))
        return "give 1 to 63 characters without control characters";
    if (strchr(name, '/') || name[0] == '.')
        return "it also names the files: give one without \"/\" and without a dot in front";
    return strcmp(name, "ca") == 0 ? "ca.crt is the authority's own file: give another name" : NULL;
}

static int compose(const struct authority *a, const struct cert_order *order, const struct key *k, struct pem_texts *out)
{
    struct certificate_request request = {.public_der = key_public_der(k), .name = order->name, .name_is_host = true, .roles = order->roles, .days = order->days,
                                          .addresses = order->addresses, .address_count = order->address_count};
    struct buf der;
    buf_init(&der, TRUST_CERTIFICATE_MAX);
    int err = authority_issue(a, &request, (int64_t) time(NULL), &der);
    if (err == 0)
        err = certificate_append_pem(buf_slice(&der), &out->certificate);
    if (err == 0)
        err = authority_append_certificate_pem(a, &out->authority);
    if (err == 0)
        err = key_append_pem(k, &out->key);
    buf_dispose(&der);
    return err;
}

static int set_path(const struct cert_order *order, const char *name, const char *ending, char out[4096])
{
    bool here = strcmp(order->folder, ".") == 0;
    int size = snprintf(out, 4096, "%s%s%s%s", here ? "" : order->folder, here ? "" : "/", name, ending);
    return size < 4096 ? GRID_DONE : cli_fail(GRID_FAILED, "%.80s... is too long a path: give a shorter --out", order->folder);
}

static int set_paths(const struct cert_order *order, struct cert_files *out)
{
    int code = set_path(order, order->name, ".key", out->key);
    if (code == GRID_DONE)
        code = set_path(order, order->name, ".crt", out->certificate);
    return code == GRID_DONE ? set_path(order, "ca", ".crt", out->authority) : code;
}

static int explain(const char *path, int err)
{
    if (err == 0)
        return GRID_DONE;
    if (err == GRID_EEXIST)
        return cli_fail(GRID_FAILED, "%s exists already and is left alone: give another name or --out, or --force to replace it", path);
    return cli_fail(GRID_FAILED, "%s cannot be written (%s): give another --out", path, grid_err_text(err));
}

/* True when the file holds just this. */
static bool is_same(const char *path, struct slice text)
{
    bool others;
    struct buf found;
    buf_init(&found, TRUST_FILE_MAX);
    bool same = trust_file_read(path, &found, &others) == 0 && slice_equal(buf_slice(&found), text);
    buf_dispose(&found);
    return same;
}

static int make_folder(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return GRID_DONE;
    return cli_fail(GRID_FAILED, "the folder %s cannot be made (%s): give another --out", path, strerror(errno));
}

static int put(const char *path, const struct buf *text, mode_t mode, bool force)
{
    return explain(path, force ? trust_file_write(path, buf_slice(text), mode) : trust_file_create(path, buf_slice(text), mode));
}

static int write_files(const struct cert_order *order, const struct pem_texts *texts, const struct cert_files *files)
{
    int code = make_folder(order->folder);
    bool has_authority = is_same(files->authority, buf_slice(&texts->authority));
    if (code == GRID_DONE && !order->force && access(files->certificate, F_OK) == 0)
        code = explain(files->certificate, GRID_EEXIST);
    if (code == GRID_DONE && !order->force && !has_authority && access(files->authority, F_OK) == 0)
        code = cli_fail(GRID_FAILED, "%s is another grid's and is left alone: give another --out, or --force to replace it", files->authority);
    if (code == GRID_DONE)
        code = put(files->key, &texts->key, 0600, order->force);
    if (code == GRID_DONE)
        code = put(files->certificate, &texts->certificate, 0644, order->force);
    return code == GRID_DONE && !has_authority ? put(files->authority, &texts->authority, 0644, order->force) : code;
}

int cert_issue(const struct authority *a, const struct cert_order *order, struct cert_files *out)
{
    struct pem_texts texts;
    struct key *k = NULL;
    buf_init(&texts.key, 0);
    buf_init(&texts.certificate, 0);
    buf_init(&texts.authority, 0);
    int err = key_mint(&k);
    if (err == 0)
        err = compose(a, order, k, &texts);
    int code = err == 0 ? set_paths(order, out) : cli_fail(GRID_FAILED, "the certificate cannot be issued: %s", grid_err_text(err));
    if (code == GRID_DONE)
        code = write_files(order, &texts, out);
    if (code == GRID_DONE)
        memcpy(out->id, key_id(k), sizeof out->id);
    if (texts.key.data)
        explicit_bzero(texts.key.data, texts.key.size);
    buf_dispose(&texts.key);
    buf_dispose(&texts.certificate);
    buf_dispose(&texts.authority);
    key_destroy(k);
    return code;
}
