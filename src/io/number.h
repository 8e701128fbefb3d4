/* Numbers as text, with a point whatever the locale. */
#ifndef IO_NUMBER_H
#define IO_NUMBER_H

enum { NUMBER_SIZE = 32 };

/* strtod */
double number_parse(const char *text, char **end);
/* So many significant digits: "%.*g". */
void number_text(char text[NUMBER_SIZE], int digits, double x);

/* The fewest digits that read back as the same value: "0.06", "1e-06", "32.0"; "null" for what JSON cannot hold (NaN, infinities). */
void number_json(char text[NUMBER_SIZE], double x);
/* The same for a value that lives in a float: 0.4f gives "0.4". */
void number_json_float(char text[NUMBER_SIZE], float x);

#endif
