/* A provider that passes on what the default provider has, in a library context of its own, but for decoders and encoders. */
#include "net/crypto_provider.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/conf.h>
#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>

#include "base/err.h"

enum { KEPT_MAX = 64 };

/* The process's one provider; written by crypto_provider_install alone, then read by any thread. */
static struct {
    OSSL_PROVIDER *whole; /* the default provider, loaded in a context that nobody else uses */
    OSSL_PROVIDER *own;
    OSSL_ALGORITHM decoders[KEPT_MAX + 1], encoders[KEPT_MAX + 1];
} lean;

/* "EC:id-ecPublicKey:1.2.840.10045.2.1" is kept; so is "DER", which unwraps PEM and encrypted keys. */
static bool is_kept(const char *names)
{
    size_t first = strcspn(names, ":");
    return (first == 2 && memcmp(names, "EC", 2) == 0) || (first == 3 && memcmp(names, "DER", 3) == 0);
}

static int keep_some(int operation, OSSL_ALGORITHM *kept)
{
    int no_cache = 0;
    size_t count = 0;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(lean.whole, operation, &no_cache);
    for (; all && all->algorithm_names; all++) {
        if (!is_kept(all->algorithm_names))
            continue;
        if (count == KEPT_MAX)
            return GRID_ELIMIT;
        kept[count++] = *all;
    }
    return count > 0 ? 0 : GRID_EIO;
}

static const OSSL_ALGORITHM *query_operation(void *context, int operation, int *no_cache)
{
    (void) context;
    *no_cache = 0;
    if (operation == OSSL_OP_DECODER)
        return lean.decoders;
    if (operation == OSSL_OP_ENCODER)
        return lean.encoders;
    return OSSL_PROVIDER_query_operation(lean.whole, operation, no_cache);
}

static const OSSL_PARAM *gettable_params(void *context)
{
    (void) context;
    return OSSL_PROVIDER_gettable_params(lean.whole);
}

static int get_params(void *context, OSSL_PARAM params[])
{
    (void) context;
    return OSSL_PROVIDER_get_params(lean.whole, params);
}

/* The groups of TLS. */
static int get_capabilities(void *context, const char *capability, OSSL_CALLBACK *callback, void *arg)
{
    (void) context;
    return OSSL_PROVIDER_get_capabilities(lean.whole, capability, callback, arg);
}

static const OSSL_DISPATCH FUNCTIONS[] = {
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void)) query_operation},
    {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void)) gettable_params},
    {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void)) get_params},
    {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void)) get_capabilities},
    {0, NULL},
};

static int initialize(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core, const OSSL_DISPATCH **out, void **context)
{
    (void) handle;
    (void) core;
    *out = FUNCTIONS;
    *context = OSSL_PROVIDER_get0_provider_ctx(lean.whole); /* what the algorithms passed on expect to be given */
    return 1;
}

/* True when a provider of this section of openssl.cnf is to be activated (config(5), "Provider Configuration"). */
static bool section_activates(const CONF *conf, const char *providers)
{
    STACK_OF(CONF_VALUE) *rows = NCONF_get_section(conf, providers);
    for (int i = 0; i < sk_CONF_VALUE_num(rows); i++)
        if (NCONF_get_string(conf, sk_CONF_VALUE_value(rows, i)->value, "activate"))
            return true;
    return false;
}

/* True when the system's administrator has chosen providers. */
static bool configured(void)
{
    char *path = CONF_get1_default_config_file();
    CONF *conf = NCONF_new(NULL);
    bool chosen = !path || !conf;
    if (!chosen && NCONF_load(conf, path, NULL) == 1) {
        const char *root = NCONF_get_string(conf, NULL, "openssl_conf");
        const char *providers = root ? NCONF_get_string(conf, root, "providers") : NULL;
        chosen = providers && section_activates(conf, providers);
    }
    NCONF_free(conf);
    OPENSSL_free(path);
    ERR_clear_error();
    return chosen;
}

int crypto_provider_install(void)
{
    if (lean.whole || configured())
        return GRID_EBUSY;
    OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
    lean.whole = context ? OSSL_PROVIDER_load(context, "default") : NULL;
    if (!lean.whole) {
        OSSL_LIB_CTX_free(context);
        return GRID_EIO;
    }
    if (keep_some(OSSL_OP_DECODER, lean.decoders) != 0 || keep_some(OSSL_OP_ENCODER, lean.encoders) != 0)
        return GRID_EIO;
    if (OSSL_PROVIDER_add_builtin(NULL, "gridcontrol", initialize) != 1)
        return GRID_EIO;
    lean.own = OSSL_PROVIDER_load(NULL, "gridcontrol");
    return lean.own ? 0 : GRID_EIO;
}
