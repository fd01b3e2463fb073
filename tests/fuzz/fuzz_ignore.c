/* .gridignore text before a NUL, a path behind it. There is no encoder: it must end, in time linear in both, and be steady. */
// links: grid_fs
#include <stdlib.h>

#include "fs/ignore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    struct ignore_list *top, *below;
    ptrdiff_t nul = slice_find_byte(in, 0, '\0');
    struct slice text = nul < 0 ? in : slice_first(in, (size_t) nul);
    struct slice path = nul < 0 ? SLICE("a/b.c") : slice_first(slice_from(in, (size_t) nul + 1), 4096);
    (void) ignore_name_reserved(path);
    (void) ignore_is_private_key(slice_first(path, 16), text);
    if (ignore_list_create(NULL, SLICE(""), text, &top, NULL) != 0)
        return 0;
    if (ignore_list_create(top, SLICE("a"), text, &below, NULL) != 0)
        abort(); /* the same text was fine above */
    for (int is_dir = 0; is_dir < 2; is_dir++)
        if (ignore_list_excludes(below, path, is_dir) != ignore_list_excludes(below, path, is_dir))
            abort();
    ignore_list_destroy(below);
    ignore_list_destroy(top);
    return 0;
}
