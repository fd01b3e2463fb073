/* malloc's own functions; what a block may hold is overwritten first. */
#include "net/crypto_memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

static void *take(size_t size, const char *file, int line)
{
    (void) file, (void) line;
    return size > 0 ? malloc(size) : NULL;
}

static void give_back(void *block, const char *file, int line)
{
    (void) file, (void) line;
    if (block)
        explicit_bzero(block, malloc_usable_size(block));
    free(block);
}

/* realloc may leave a copy behind. */
static void *change(void *block, size_t size, const char *file, int line)
{
    size_t held = block ? malloc_usable_size(block) : 0;
    void *other = take(size, file, line);
    if (other && held > 0)
        memcpy(other, block, held < size ? held : size);
    if (other || size == 0)
        give_back(block, file, line);
    return other;
}

void crypto_memory_install(void)
{
    (void) CRYPTO_set_mem_functions(take, change, give_back); /* refused once something was taken: it is as it was then */
}
