#include "io/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, NUMBER_SIZE, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    mark_real(text);
}

void number_json_float(char text[NUMBER_SIZE], float x)
{
    if (!isfinite(x)) {
        strcpy(text, "null");
        return;
    }
    for (int digits = 3; digits <= 9; digits++) {
        snprintf(text, NUMBER_SIZE, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    mark_real(text);
}
