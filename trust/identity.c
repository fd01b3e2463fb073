/* The node's key on disk: minted once with link(2), so that nobody ever sees half of it and the first of two wins. */
#include "trust/identity.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "trust/certificate.h"

static int path_join(const char *dir, const char *name, char out[PATH_MAX])
{
    int length = snprintf(out, PATH_MAX, "%s/%s", dir, name);
    return length > 0 && length < PATH_MAX ? 0 : GRID_ELIMIT;
}

static int explain(int err, const char *what, const char *path, char sentence[TRUST_SENTENCE_MAX])
{
    snprintf(sentence, TRUST_SENTENCE_MAX, "%s %.300s: %s", what, path, grid_err_text(err));
    return err;
}

static int load_key(const char *path, struct key **out, char sentence[TRUST_SENTENCE_MAX])
{
    char why[TRUST_WHY_MAX];
    bool open_to_others = false;
    struct buf pem;
    buf_init(&pem, 0);
    int err = trust_file_read(path, &pem, &open_to_others);
    if (err != 0)
        explain(err, "cannot read the node's key", path, sentence);
    else if (open_to_others) {
        err = GRID_EPERM;
        snprintf(sentence, TRUST_SENTENCE_MAX, "the node's key %.200s can be read by others: run chmod 600 %.200s", path, path);
    } else if ((err = key_parse_pem(buf_slice(&pem), out, why)) != 0)
        snprintf(sentence, TRUST_SENTENCE_MAX, "the node's key %.300s cannot be used: %s; move it away to get a new identity", path, why);
    if (pem.data)
        explicit_bzero(pem.data, pem.size);
    buf_dispose(&pem);
    return err;
}

/* Writes under a name of its own, then links it to its place unless somebody else was first. */
static int mint_key(const char *path)
{
    char beside[PATH_MAX];
    struct buf pem;
    struct key *k = NULL;
    buf_init(&pem, 0);
    int length = snprintf(beside, sizeof beside, "%s" TRUST_FILE_BESIDE "%ld", path, (long) getpid());
    int err = length > 0 && (size_t) length < sizeof beside ? key_mint(&k) : GRID_ELIMIT;
    if (err == 0)
        err = key_append_pem(k, &pem);
    if (err == 0)
        err = trust_file_write(beside, buf_slice(&pem), 0600);
    if (err == 0) {
        err = link(beside, path) == 0 || errno == EEXIST ? 0 : grid_err_from_errno(errno);
        unlink(beside);
    }
    if (pem.data)
        explicit_bzero(pem.data, pem.size);
    buf_dispose(&pem);
    key_destroy(k);
    return err;
}

int identity_load(const char *state_dir, struct key **out, char sentence[TRUST_SENTENCE_MAX])
{
    char path[PATH_MAX];
    int err = path_join(state_dir, "node.key", path);
    if (err != 0)
        return explain(err, "cannot keep the node's key in", state_dir, sentence);
    if (access(path, F_OK) != 0 && errno == ENOENT && (err = mint_key(path)) != 0)
        return explain(err, "cannot write the node's key", path, sentence);
    return load_key(path, out, sentence);
}

static int read_certificate(const char *path, const struct key *k, struct buf *der, char sentence[TRUST_SENTENCE_MAX])
{
    char id[TRUST_ID_SIZE];
    bool open_to_others;
    struct buf pem;
    buf_init(&pem, 0);
    int err = trust_file_read(path, &pem, &open_to_others);
    if (err == 0)
        err = certificate_parse_pem(buf_slice(&pem), der);
    if (err == 0)
        err = certificate_id(buf_slice(der), id);
    buf_dispose(&pem);
    if (err != 0)
        return explain(err, "cannot read the node's certificate", path, sentence);
    if (strcmp(id, key_id(k)) == 0)
        return 0;
    snprintf(sentence, TRUST_SENTENCE_MAX, "the certificate %.300s is not for this node's key: issue one for its key, or remove it", path);
    return GRID_EINVAL;
}

int identity_certificate_load(const char *state_dir, const struct key *k, struct buf *der, char sentence[TRUST_SENTENCE_MAX])
{
    char path[PATH_MAX];
    int err = path_join(state_dir, "node.crt", path);
    return err != 0 ? explain(err, "cannot read", state_dir, sentence) : read_certificate(path, k, der, sentence);
}

int identity_certificate_store(const char *state_dir, struct slice der, char sentence[TRUST_SENTENCE_MAX])
{
    char path[PATH_MAX];
    struct buf pem;
    buf_init(&pem, 0);
    int err = path_join(state_dir, "node.crt", path);
    if (err == 0)
        err = certificate_append_pem(der, &pem);
    if (err == 0)
        err = trust_file_write(path, buf_slice(&pem), 0644);
    buf_dispose(&pem);
    return err != 0 ? explain(err, "cannot write the node's certificate in", state_dir, sentence) : 0;
}
