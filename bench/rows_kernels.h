/* The slots of struct kernels, and what the two files of their rows share. */
#ifndef BENCH_ROWS_KERNELS_H
#define BENCH_ROWS_KERNELS_H

#include "bench/bench.h"

struct KernelSlot {
    const char *name;
    size_t offset;       /* in struct kernels */
    void (*add)(Rows &); /* its rows */
};
std::vector<KernelSlot> kernel_slots(); /* all, in their order */

/* A kernel whose work is the same on every ISA. */
void add_kernel(Rows &rows, const char *kernel, const std::string &shape, const Work &work, const MakeCall &make);

/* rows_pixels.cc, by slot */
void u8_to_f32_rows(Rows &rows);
void resize_rows_rows(Rows &rows);
void transpose_rows(Rows &rows);
void resize_columns_rows(Rows &rows);
void brightness_rows(Rows &rows);
void grey_mean_rows(Rows &rows);
void contrast_rows(Rows &rows);
void saturation_rows(Rows &rows);
void hue_rows(Rows &rows);
void solarize_rows(Rows &rows);
void blur_rows(Rows &rows);

#endif
