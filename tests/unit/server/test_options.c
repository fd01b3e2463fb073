/* The table of gridd's options, as it is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/options.h"

static void test_man__the_page_in_the_tree_is_what_the_table_gives(void **state)
{
    struct buf page, kept;
    (void) state;
    buf_init(&page, 0);
    buf_init(&kept, 0);
    assert_int_equal(options_man(&page), 0);
    FILE *file = fopen("docs/man/gridd.8", "re");
    assert_non_null(file);
    assert_int_equal(buf_reserve(&kept, 2 * page.size), 0);
    kept.size = fread(kept.data, 1, 2 * page.size, file);
    fclose(file);
    if (strcmp(buf_cstr(&kept), buf_cstr(&page)) != 0)
        fail_msg("docs/man/gridd.8 is not what the table of options says: gridd --man > docs/man/gridd.8");
    buf_dispose(&page);
    buf_dispose(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_man__the_page_in_the_tree_is_what_the_table_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
