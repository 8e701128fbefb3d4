/* What a kernel source is compiled for. The Makefile compiles simd/shared/ once per ISA with -DISA=<name>; a folder simd/<isa>/
 * once with its own. ISA_FN(conv) becomes conv_avx2 and so on. */
#ifndef SIMD_ISA_H
#define SIMD_ISA_H

#if defined __FAST_MATH__
#error "fast-math would change results: bit-equality over ISAs is this program's contract"
#endif
#ifndef ISA
#error "compile kernels through the Makefile, which defines ISA"
#endif

/* Unrolls the loop that follows, whole: what lets an array of accumulators live in registers. Loops of constant count only. */
#if defined __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define ISA_PASTE2(name, isa) name##_##isa
#define ISA_PASTE(name, isa) ISA_PASTE2(name, isa)
#define ISA_FN(name) ISA_PASTE(name, ISA)
#define ISA_STRING2(isa) #isa
#define ISA_STRING1(isa) ISA_STRING2(isa)
#define ISA_NAME ISA_STRING1(ISA)

#endif
