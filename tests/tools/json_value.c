/* A value of JSON on standard input, for tests/end_to_end.sh: json_value [KEY|INDEX]... ; of an object or array its size. Exit code 1 where
 * the input is not JSON or has no such value. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    json_error_t error;
    json_t *root = json_loadf(stdin, JSON_DECODE_ANY, &error);
    const json_t *value = root;
    if (!root)
        fprintf(stderr, "json_value: line %d: %s\n", error.line, error.text);
    for (int i = 1; i < argc && value; i++)
        value = json_is_array(value) ? json_array_get(value, (size_t)atoi(argv[i])) : json_object_get(value, argv[i]);
    if (root && !value)
        fprintf(stderr, "json_value: there is none of that name\n");
    if (json_is_string(value))
        puts(json_string_value(value));
    else if (json_is_number(value))
        printf("%.9g\n", json_number_value(value));
    else if (json_is_boolean(value))
        puts(json_is_true(value) ? "true" : "false");
    else if (value)
        printf("%zu\n", json_is_array(value) ? json_array_size(value) : json_object_size(value));
    json_decref(root);
    return value ? 0 : 1;
}
