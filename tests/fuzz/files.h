/* What is fuzzed as the file it would be: the programs read by path. One folder a process, below TMPDIR. */
#ifndef TESTS_FUZZ_FILES_H
#define TESTS_FUZZ_FILES_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's entry: returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The folder, and its file `name` holding data, whatever it held before. Valid until the next but 7 calls. */
const char *fuzz_folder(void);
const char *fuzz_file(const char *name, const void *data, size_t size);

/* Ends the process, as a finding, unless the condition holds. */
void fuzz_expect(int condition, const char *what);

#endif
