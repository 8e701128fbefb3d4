/* An engine: the instruction set, the threads and the callbacks that work is done with. A program may have several. */
#ifndef SIMCLR_ENGINE_H
#define SIMCLR_ENGINE_H

#include "simclr/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct simclr_engine simclr_engine;

/* The instruction sets that the library was built for, best last: "scalar", then on x86-64 "avx2" and "avx512", on AArch64 "neon".
 * NULL and false from simclr_isa_count() on. needs: "AVX2, FMA, F16C, OS saves YMM". */
SIMCLR_API size_t simclr_isa_count(void);
SIMCLR_API const char *simclr_isa_name(size_t index);
SIMCLR_API const char *simclr_isa_needs(size_t index);
SIMCLR_API bool simclr_isa_supported(size_t index); /* by this CPU and operating system */

/* isa: a name from above, or "auto" or NULL for the best that is supported. One that is unknown or cannot run here is SIMCLR_ERR_USAGE,
 * with a sentence that lists those that can: never another in its place. threads: 1 to 1024, or 0 for what CPU affinity and the
 * control group's quota allow. */
SIMCLR_API enum simclr_status simclr_engine_create(simclr_engine **engine, const char *isa, int32_t threads, struct simclr_error *err);
SIMCLR_API void simclr_engine_free(simclr_engine *engine);

SIMCLR_API const char *simclr_engine_isa(const simclr_engine *engine);
SIMCLR_API int32_t simclr_engine_threads(const simclr_engine *engine);

/* ---- Callbacks. Set before the engine is first used, and not changed while anything made with it is there. Any thread of the engine's
 * may call them, several at once; they must not call the library. ---- */

/* Memory whose size follows from network, batch, matrices or kept images: weights, gradients, optimiser, activations, scratch of
 * kernels, batches, features, the cache of decoded images. The C library's malloc serves the rest: the handles, what lists and names
 * the images of a set, settings (JSON), an image or tensor while it is read from or written to a file, and with on-nan (train.h) the
 * batch of a step that is written down.
 *
 * alloc returns size bytes at a multiple of alignment, a power of two up to 64, or NULL, which becomes SIMCLR_ERR_MEMORY; free takes what
 * alloc returned, and not NULL. NULL for both: the C library again. One without the other is SIMCLR_ERR_USAGE. */
typedef void *simclr_alloc_fn(void *ctx, size_t size, size_t alignment);
typedef void simclr_free_fn(void *ctx, void *memory);
SIMCLR_API enum simclr_status simclr_engine_set_allocator(simclr_engine *engine, simclr_alloc_fn *alloc, simclr_free_fn *release, void *ctx,
                                                          struct simclr_error *err);

/* Sentences about what is no failure, without final newline: a damaged checkpoint for which an older one serves, a step that was
 * skipped. NULL (the default): they are dropped. */
enum simclr_log_level { SIMCLR_LOG_NOTICE = 0, SIMCLR_LOG_WARNING };
typedef void simclr_log_fn(void *ctx, enum simclr_log_level level, const char *text);
SIMCLR_API void simclr_engine_set_log(simclr_engine *engine, simclr_log_fn *log, void *ctx);

/* Asked now and then while sets are listed, images read, runs trained; once true, such a function soon returns SIMCLR_ERR_CANCELLED.
 * NULL (the default): never. */
typedef bool simclr_stop_fn(void *ctx);
SIMCLR_API void simclr_engine_set_stop(simclr_engine *engine, simclr_stop_fn *stop, void *ctx);

#ifdef __cplusplus
}
#endif
#endif
