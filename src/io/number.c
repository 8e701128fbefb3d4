#include "io/number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A program that uses the library may have set a locale with a decimal comma: this thread has "C" until c_end. */
struct c_numbers {
    locale_t own, before;
};

static struct c_numbers c_begin(void)
{
    struct c_numbers c = {.own = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0)};
    if (c.own)
        c.before = uselocale(c.own);
    return c;
}

static void c_end(struct c_numbers *c)
{
    if (!c->own)
        return;
    uselocale(c->before);
    freelocale(c->own);
}

double number_parse(const char *text, char **end)
{
    struct c_numbers c = c_begin();
    double x = strtod(text, end);
    c_end(&c);
    return x;
}

void number_text(char text[NUMBER_SIZE], int digits, double x)
{
    struct c_numbers c = c_begin();
    snprintf(text, NUMBER_SIZE, "%.*g", digits, x);
    c_end(&c);
}

/* JSON readers tell 1 (an integer) from 1.0: a real stays a real. */
static void mark_real(char text[NUMBER_SIZE])
{
    if (!strpbrk(text, ".e"))
        strcat(text, ".0");
}

void number_json(char text[NUMBER_SIZE], double x)
{
    if (!isfinite(x)) {
        strcpy(text, "null");
        return;
    }
    struct c_numbers c = c_begin();
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, NUMBER_SIZE, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    c_end(&c);
    mark_real(text);
}

void number_json_float(char text[NUMBER_SIZE], float x)
{
    if (!isfinite(x)) {
        strcpy(text, "null");
        return;
    }
    struct c_numbers c = c_begin();
    for (int digits = 3; digits <= 9; digits++) {
        snprintf(text, NUMBER_SIZE, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    c_end(&c);
    mark_real(text);
}
