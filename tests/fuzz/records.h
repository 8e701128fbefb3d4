/* Opening fuzzed files of equal records, and reading what they hold. */
#ifndef TESTS_FUZZ_RECORDS_H
#define TESTS_FUZZ_RECORDS_H

/* Every split of the set at path. Where file is not NULL it is the one that holds the images: it is cut in half between opening and
 * reading. */
void fuzz_data_set(const char *path, const char *file);

#endif
