/* CPace against the vectors of draft-irtf-cfrg-cpace-21, B.3, and against shares that no honest side sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "base/hex.h"
#include "trust/cpace.h"

static const char PASSWORD[] = "Password";
static const char CHANNEL[] = "0b415f696e69746961746f720b425f726573706f6e646572";
static const char SESSION[] = "7e4b4791d6a8ef019b936c79fb7f2c57";
static const char SCALAR_A[] = "da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08";
static const char SCALAR_B[] = "d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d";
static const char SHARE_A[] = "d6bac480f2c386c394efc7c47adb9925dcd2630b64f240c50f8d0eec482b9157";
static const char SHARE_B[] = "3ea7e0b19560d7c0b0f5734f63b955286dfa8232b5ebe63324e2d9e7433f7258";
static const char KEY[] = "b69effbf61b51d56401c0f65601abe428de8206feaaf0e32198896dcae7b35cd2b38950a39dfd5d4a79164614c2984f7daa460b5"
                          "88c1e80c3fa2068af7900447";

static uint8_t channel[24], session[16];

static struct cpace_inputs vector_inputs(void)
{
    assert_int_equal(hex_decode(slice_of_str(CHANNEL), channel, sizeof channel), 0);
    assert_int_equal(hex_decode(slice_of_str(SESSION), session, sizeof session), 0);
    return (struct cpace_inputs){slice_of_str(PASSWORD), slice_of(channel, sizeof channel), slice_of(session, sizeof session),
                                 SLICE("ADa"), SLICE("ADb")};
}

/* A scalar below the group's order reduces to itself. */
static struct cpace start_with(bool initiator, const struct cpace_inputs *in, const char *scalar)
{
    uint8_t seed[CPACE_SEED_SIZE] = {0};
    struct cpace c;
    assert_int_equal(hex_decode(slice_of_str(scalar), seed, 32), 0);
    assert_int_equal(cpace_start(&c, initiator, in, seed), 0);
    return c;
}

static void assert_hex(const uint8_t *bytes, size_t size, const char *expected)
{
    char text[2 * CPACE_KEY_SIZE + 1];
    hex_encode(slice_of(bytes, size), text);
    assert_string_equal(text, expected);
}

static void test_cpace__gives_the_shares_and_keys_of_the_draft(void **state)
{
    struct cpace_inputs in = vector_inputs();
    struct cpace a = start_with(true, &in, SCALAR_A), b = start_with(false, &in, SCALAR_B);
    struct cpace_result ra, rb;
    (void) state;
    assert_hex(a.share, sizeof a.share, SHARE_A);
    assert_hex(b.share, sizeof b.share, SHARE_B);
    assert_int_equal(cpace_finish(&a, &in, b.share, &ra), 0);
    assert_int_equal(cpace_finish(&b, &in, a.share, &rb), 0);
    assert_hex(ra.key, sizeof ra.key, KEY);
    assert_memory_equal(ra.key, rb.key, sizeof ra.key);
    assert_true(cpace_tag_matches(&ra, slice_of(rb.own_tag, sizeof rb.own_tag)));
    assert_true(cpace_tag_matches(&rb, slice_of(ra.own_tag, sizeof ra.own_tag)));
    assert_false(cpace_tag_matches(&ra, slice_of(ra.own_tag, sizeof ra.own_tag)));
    assert_false(cpace_tag_matches(&ra, slice_of(rb.own_tag, sizeof rb.own_tag - 1)));
    cpace_dispose(&a);
    cpace_dispose(&b);
    assert_true(sodium_is_zero((uint8_t *) &a, sizeof a));
}

/* B.3.10 and B.3.11: the product of a valid element, and the refusal of an invalid one (the same with its lowest bit changed)
 * and of the neutral one. */
static void test_cpace__refuses_invalid_and_neutral_elements(void **state)
{
    static const char *const INVALID[] = {
        "2b3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0100000000000000000000000000000000000000000000000000000000000000",
    };
    struct cpace_inputs in = vector_inputs();
    struct cpace c = start_with(true, &in, "7cd0e075fa7955ba52c02759a6c90dbbfc10e6d40aea8d283e407d88cf538a05");
    struct cpace_result r;
    uint8_t element[32], product[32];
    (void) state;
    assert_int_equal(hex_decode(SLICE("2c3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c"), element, 32), 0);
    assert_int_equal(crypto_scalarmult_ristretto255(product, c.scalar, element), 0);
    assert_hex(product, 32, "7c13645fe790a468f62c39beb7388e541d8405d1ade69d1778c5fe3e7f6b600e");
    assert_int_equal(cpace_finish(&c, &in, element, &r), 0);
    for (size_t i = 0; i < sizeof INVALID / sizeof *INVALID; i++) {
        assert_int_equal(hex_decode(slice_of_str(INVALID[i]), element, 32), 0);
        assert_int_equal(cpace_finish(&c, &in, element, &r), GRID_EPROTO);
    }
}

static void test_cpace__refuses_its_own_share_sent_back(void **state)
{
    struct cpace_inputs in = vector_inputs();
    struct cpace a = start_with(true, &in, SCALAR_A);
    struct cpace_result r;
    (void) state;
    assert_int_equal(cpace_finish(&a, &in, a.share, &r), GRID_EPROTO);
}

static void test_cpace__ends_with_other_keys_when_any_input_differs(void **state)
{
    struct cpace_inputs in = vector_inputs();
    (void) state;
    for (int which = 0; which < 5; which++) {
        struct cpace_inputs other = in;
        struct slice *field[] = {&other.password, &other.channel, &other.session, &other.initiator, &other.responder};
        *field[which] = SLICE("something else");
        struct cpace a = start_with(true, &in, SCALAR_A), b = start_with(false, &other, SCALAR_B);
        struct cpace_result ra, rb;
        assert_int_equal(cpace_finish(&a, &in, b.share, &ra), 0);
        assert_int_equal(cpace_finish(&b, &other, a.share, &rb), 0);
        assert_memory_not_equal(ra.key, rb.key, sizeof ra.key);
        assert_false(cpace_tag_matches(&ra, slice_of(rb.own_tag, sizeof rb.own_tag)));
        assert_false(cpace_tag_matches(&rb, slice_of(ra.own_tag, sizeof ra.own_tag)));
    }
}

static void test_cpace__takes_long_inputs_and_refuses_absurd_ones(void **state)
{
    static uint8_t bytes[70 * 1024];
    uint8_t seed[CPACE_SEED_SIZE] = {1};
    struct cpace_inputs in = vector_inputs();
    struct cpace c;
    (void) state;
    in.channel = slice_of(bytes, 40000);
    assert_int_equal(cpace_start(&c, true, &in, seed), 0);
    in.password = slice_of(bytes, 300);
    assert_int_equal(cpace_start(&c, true, &in, seed), 0);
    in.channel = slice_of(bytes, sizeof bytes);
    assert_int_equal(cpace_start(&c, true, &in, seed), GRID_ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpace__gives_the_shares_and_keys_of_the_draft),
        cmocka_unit_test(test_cpace__refuses_invalid_and_neutral_elements),
        cmocka_unit_test(test_cpace__refuses_its_own_share_sent_back),
        cmocka_unit_test(test_cpace__ends_with_other_keys_when_any_input_differs),
        cmocka_unit_test(test_cpace__takes_long_inputs_and_refuses_absurd_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
