/* grid cert issue: PEM files for a client, or for a node that is not to hold the authority's key. */
#include "base/err.h"
#include "cli/cert_issue.h"
#include "cli/cli.h"
#include "cli/verb_names.h"

enum { CLIENT_DAYS = 365, DAYS_MAX = 3650 };

static unsigned roles_of(const struct cli *cli)
{
    size_t count;
    const char *const *list = option_list(cli->options, "role", &count);
    unsigned roles = TRUST_ROLE_NONE;
    for (size_t i = 0; i < count; i++)
        roles |= trust_role_parse(slice_of_str(list[i]));
    return roles;
}

static int order_of(const struct cli *cli, struct cert_order *out)
{
    *out = (struct cert_order){.name = cli->arguments[1], .folder = option_string(cli->options, "out"), .roles = roles_of(cli),
                               .days = (unsigned) option_number(cli->options, "days"), .force = option_flag(cli->options, "force")};
    out->addresses = option_list(cli->options, "address", &out->address_count);
    if (out->days == 0 && !(out->roles & TRUST_ROLE_NODE))
        out->days = CLIENT_DAYS;
    const char *fault = cert_name_fault(out->name);
    if (fault)
        return cli_fail(GRID_USAGE, "\"%s\" cannot be a certificate's name: %s", out->name, fault);
    if (out->address_count > TRUST_ADDRESSES_MAX)
        return cli_fail(GRID_USAGE, "--address: give at most %d addresses", TRUST_ADDRESSES_MAX);
    return GRID_DONE;
}

static int load_authority(const struct cli *cli, struct authority **out)
{
    const char *state = option_string(cli->options, "state");
    return state ? cert_authority_of_state(state, out) : cert_authority_of_gridfile(option_string(cli->options, "gridfile"), out);
}

static void tell(const struct cert_order *order, const struct cert_files *files)
{
    printf("%s\n%s\n%s\n", files->key, files->certificate, files->authority);
    fprintf(stderr, "Certificate of %s, id %s, valid for %u days.\n", order->name, files->id, order->days ? order->days : TRUST_LONG_LIFE_DAYS);
    if (order->roles & TRUST_ROLE_NODE)
        fprintf(stderr, "On the node, before its first start: install -m 600 %s STATE/node.key; install -m 644 %s STATE/node.crt; its Gridfile needs no authority_key.\n",
                files->key, files->certificate);
    else
        fprintf(stderr, "For example: curl --cacert %s --cert %s --key %s -H 'Content-Type: application/json' -d '{}' https://NODE:7900/invoke/TASK\n",
                files->authority, files->certificate, files->key);
}

static int run(struct cli *cli)
{
    struct cert_order order;
    struct cert_files files;
    struct authority *authority;
    if (strcmp(cli->arguments[0], "issue") != 0)
        return cli_fail(GRID_USAGE, "cert does nothing called \"%s\": for example grid cert issue ci", cli->arguments[0]);
    int code = order_of(cli, &order);
    if (code == GRID_DONE)
        code = load_authority(cli, &authority);
    if (code != GRID_DONE)
        return code;
    code = cert_issue(authority, &order, &files);
    authority_destroy(authority);
    if (code == GRID_DONE)
        tell(&order, &files);
    return code;
}

static const struct option_row OPTIONS[] = {
    {.name = "role", .kind = OPTION_LIST, .placeholder = "ROLE", .choices = "invoke|admin|node", .fallback = "invoke",
     .help = "what its holder may do; may be repeated. invoke: call and read; admin: also deploy and change; node: be a member"},
    {.name = "days", .kind = OPTION_UINT, .placeholder = "N", .min = 1, .max = DAYS_MAX, .example = "90",
     .help = "how long it is valid; when not given a year, 20 years for a node"},
    {.name = "out", .kind = OPTION_STRING, .placeholder = "DIR", .fallback = ".", .help = "the folder to write to, made when it is missing"},
    {.name = "address", .kind = OPTION_LIST, .placeholder = "ADDR", .example = "192.0.2.7",
     .help = "for a node: a host name or address that it is reached by; may be repeated"},
    {.name = "gridfile", .kind = OPTION_STRING, .placeholder = "FILE", .fallback = "Gridfile", .help = "the access card with the authority's key"},
    {.name = "state", .kind = OPTION_STRING, .placeholder = "DIR", .example = "/var/lib/gridcontrol",
     .help = "take the authority from this node's state folder instead: where there is no Gridfile, or an older one"},
    {.name = "force", .kind = OPTION_FLAG, .help = "replace files that exist"},
};

const struct verb VERB_cert = {
    .name = "cert",
    .arguments = "issue NAME",
    .summary = "issue a certificate for a client or a node, as PEM files",
    .details = "Writes NAME.key (the private key, mode 0600), NAME.crt and ca.crt (the grid's authority), which curl, gRPC libraries and other\n"
               "TLS clients take as they are. It needs the Gridfile that holds the authority's key (or an issuer's state folder), and no node.",
    .example = "grid cert issue ci --role invoke --days 90 --out certs",
    .min_arguments = 2,
    .max_arguments = 2,
    .options = OPTIONS,
    .option_count = sizeof OPTIONS / sizeof *OPTIONS,
    .run = run,
};
