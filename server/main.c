/* gridd: reads its options, then runs a node. */
#include <stdio.h>
#include <unistd.h>

#include "net/crypto_memory.h"
#include "net/crypto_provider.h"
#include "server/node.h"

static int print(int (*write)(struct buf *out))
{
    struct buf text;
    buf_init(&text, 0);
    int err = write(&text);
    if (err == 0)
        fwrite(text.data, 1, text.size, stdout);
    buf_dispose(&text);
    return err == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options options;
    struct option_error error;
    int status;
    crypto_memory_install();
    crypto_provider_install(); /* it only saves time: without it all goes on as OpenSSL does it */
    if (options_read(&options, argc, argv, environ, &error) != 0) {
        fprintf(stderr, "gridd: %s\n", error.message);
        status = 2;
    } else if (options.help) {
        status = print(options_help);
    } else if (options.man) {
        status = print(options_man);
    } else if (options.version) {
        printf("gridd %s\n", GRID_VERSION);
        status = 0;
    } else {
        status = options.check ? node_check(&options) : node_run(&options);
    }
    options_dispose(&options);
    return status;
}
