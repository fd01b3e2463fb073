/* grid: the command line of a compute grid. */
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"

/* Leaves without the destructors of gRPC, which take longer than a call. */
int main(int argc, char *argv[])
{
    int code = cli_run(argc, argv);
    fflush(NULL);
    _exit(code);
}
