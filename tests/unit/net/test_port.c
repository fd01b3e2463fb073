/* Which addresses are this machine's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/addr.h"
#include "net/port.h"

static void test_port__tells_which_addresses_are_this_machines(void **state)
{
    static const struct {
        const char *address;
        bool own;
    } cases[] = {{"127.0.0.1:7900", true}, {"0.0.0.0:1", true}, {"192.0.2.1:7900", false}, {"[2001:db8::1]:7900", false}};
    struct addr at;
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(addr_parse(slice_of_str(cases[i].address), &at), 0);
        assert_int_equal(port_has_address(&at), cases[i].own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_port__tells_which_addresses_are_this_machines),
    };
    return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
