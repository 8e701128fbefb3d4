/* Names of files on their way to a terminal: one line, no control, valid UTF-8. */
#include "base/rng.h"
#include "base/status.h"
#include "base/text.h"

#include <criterion/criterion.h>
#include <string.h>

Test(text, only_what_prints_passes)
{
    const char *const cases[][2] = {
        {"plain.jpg", "plain.jpg"}, {"", ""}, {"Gr\xc3\xb6\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x90\xb8", "Gr\xc3\xb6\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x90\xb8"},
        {"a\nb\tc\r", "a\\x0ab\\x09c\\x0d"}, {"\x1b[2J\x7f", "\\x1b[2J\\x7f"}, {"\xc2\x9b" "2J", "\\xc2\\x9b2J"}, /* C1's escape */
        {"\xff\xfe", "\\xff\\xfe"}, {"\xc3", "\\xc3"}, {"\xc3(", "\\xc3("}, {"\x80", "\\x80"},
        {"\xc0\xaf", "\\xc0\\xaf"}, {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},          /* not the shortest form */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* a surrogate; above all characters */
        {"\xf0\x9f\x90", "\\xf0\\x9f\\x90"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_str_eq(text_printable(out, sizeof out, cases[i][0]), cases[i][1], "case %zu: %s", i, out);
}

Test(text, cut_between_characters)
{
    char out[8];
    cr_expect_str_eq(text_printable(out, 1, "abc"), "");
    cr_expect_str_eq(text_printable(out, 3, "abc"), "ab");
    cr_expect_str_eq(text_printable(out, 5, "abc\xe2\x82\xac"), "abc");
    cr_expect_str_eq(text_printable(out, 7, "abc\xe2\x82\xac" "d"), "abc\xe2\x82\xac");
    cr_expect_str_eq(text_printable(out, 6, "ab\ncd"), "ab");
    cr_expect_str_eq(text_printable(out, 7, "ab\ncd"), "ab\\x0a");
}

Test(text, any_bytes_give_the_same_when_done_twice)
{
    char text[40], once[200], twice[200];
    for (unsigned trial = 0; trial < 20000; trial++) {
        struct rng rng = rng_stream(trial, RNG_TEST, 0, 0);
        for (size_t i = 0; i + 1 < sizeof text; i++)
            text[i] = (char)(trial % 2 ? 0xc0 + rng_below(&rng, 0x38) - (i % 3 ? 0x40u : 0) : rng_u32(&rng));
        text[sizeof text - 1] = 0;
        text_printable(once, sizeof once, text);
        cr_assert_str_eq(text_printable(twice, sizeof twice, once), once);
        for (const char *c = once; *c; c++)
            cr_assert((unsigned char)*c >= 0x20 && *c != 0x7f);
    }
}

Test(text, errors_hold_no_control_characters)
{
    struct simclr_error err;
    cr_expect_eq(fail(&err, SIMCLR_ERR_IO, "cannot read %s: %s", "a\nb\x1b", "why"), SIMCLR_ERR_IO);
    cr_expect_str_eq(err.text, "cannot read a\\x0ab\\x1b: why");
    char longest[1000];
    memset(longest, '\n', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    fail(&err, SIMCLR_ERR_IO, "%s", longest);
    cr_expect_lt(strlen(err.text), sizeof err.text);
}
