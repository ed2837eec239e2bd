/* The plain C interface of LowResSeg's native kernels.
 *
 * Work is done by jobs: a job has threads of its own, needs no Python while it runs, and keeps nothing global. Start
 * one, wait for it (or poll it with a wait of 0 ms), cancel it if wanted, free it. All arrays belong to the caller and
 * must stay where they are until the job is freed. Every pointer comes with its length, and what does not fit is
 * refused with a status; nothing given here can make the library read or write outside those arrays.
 *
 * Arrays are (z, y, x), x fastest. Results do not depend on the number of threads or on the instruction set.
 */
#ifndef LOWRESSEG_H
#define LOWRESSEG_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define LRS_API __declspec(dllexport)
#elif defined(__GNUC__)
#define LRS_API __attribute__((visibility("default")))
#else
#define LRS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define LRS_INTERFACE_VERSION 4

enum {
  LRS_DONE = 0,
  LRS_RUNNING = 1,
  LRS_CANCELLED = 2,
  LRS_NO_MEMORY = 3,
  LRS_BAD_ARGUMENT = 4, /* a size, a length or a number that does not fit */
  LRS_BAD_NETWORK = 5,  /* the bytes are no network, or one that is not supported */
  LRS_NO_THREADS = 6
};

/* Instruction sets, in order of preference from last to first. */
enum { LRS_WORD = 0, LRS_SSE2 = 1, LRS_AVX2 = 2, LRS_AVX512 = 3, LRS_NEON = 4, LRS_INSTRUCTION_SETS = 5, LRS_BEST = -1 };

typedef struct lrs_job lrs_job;
typedef struct lrs_network lrs_network;

typedef struct lrs_progress {
  int32_t status; /* LRS_RUNNING, LRS_DONE, LRS_CANCELLED */
  int32_t phase;  /* that is being worked on; a layer of a network has none to four */
  int32_t phases;
  int32_t threads; /* that really work */
  double share;    /* of all work that is done, 0 to 1 */
  uint64_t memory; /* bytes that the job holds beside the caller's arrays; without what a reduction finds */
} lrs_progress;

/* LRS_INTERFACE_VERSION of the library, to be compared before anything else is called. */
LRS_API int32_t lrs_interface_version(void);

/* Bit n is set where instruction set n is compiled in and this processor has it. */
LRS_API uint32_t lrs_instruction_sets(void);

/* Waits at most so many milliseconds for the job's end. Returns its status and fills `progress` unless NULL. */
LRS_API int32_t lrs_job_wait(lrs_job *job, uint32_t milliseconds, lrs_progress *progress);

/* Asks the job to end soon; it does within some tens of milliseconds. */
LRS_API void lrs_job_cancel(lrs_job *job);

/* Cancels the job if it still runs, waits for its threads and frees it. NULL is ignored. */
LRS_API void lrs_job_free(lrs_job *job);

/* Reads a network (see network.h for its bytes). `*network` is NULL unless LRS_DONE is returned. */
LRS_API int32_t lrs_network_read(const void *bytes, size_t length, lrs_network **network);

/* Frees a network; jobs that run it must be freed before. NULL is ignored. */
LRS_API void lrs_network_free(lrs_network *network);

/* Bytes that a run on a grid of these sizes holds at most beside grid and logits; 0 where the sizes do not fit, the
 * instruction set is not there, or memory lacks to find out. */
LRS_API uint64_t lrs_network_memory(const lrs_network *network, const int32_t shape[3], int32_t threads,
                                    int32_t instruction_set);

/* Starts a run.
 *
 * shape: z, y, x of the grid, each a multiple of two to the power of how often the network halves it on that axis.
 * grid: uint8, 0 to 127 (larger values are taken modulo 128). logits: int16 (classes, z, y, x).
 * threads: at least 1. instruction_set: LRS_BEST or one that lrs_instruction_sets() names.
 */
LRS_API int32_t lrs_network_start(const lrs_network *network, const int32_t shape[3], const uint8_t *grid,
                                  size_t grid_bytes, int16_t *logits, size_t logits_bytes, int32_t threads,
                                  int32_t instruction_set, lrs_job **job);

/* Where the voxels of an array lie: voxel (z, y, x) is the array's element
 * first + z * strides[0] + y * strides[1] + x * strides[2]. Strides may be negative: a view of turned and flipped axes
 * needs no copy. The stride of an axis of one voxel does not matter. */
typedef struct lrs_layout {
  int32_t shape[3];
  int64_t first;
  int64_t strides[3];
} lrs_layout;

/* Types of a source array's numbers. */
enum {
  LRS_INT8 = 0,
  LRS_UINT8 = 1,
  LRS_INT16 = 2,
  LRS_UINT16 = 3,
  LRS_INT32 = 4,
  LRS_UINT32 = 5,
  LRS_FLOAT32 = 6,
  LRS_FLOAT64 = 7,
  LRS_TYPES = 8
};

/* A filter along one axis: each of `size` results is the sum of `taps` source values times their weights, in order. */
typedef struct lrs_taps {
  const int32_t *index; /* size x taps, not decreasing within a result */
  size_t index_bytes;
  const float *weight; /* size x taps */
  size_t weight_bytes;
  int32_t size;
  int32_t taps;
} lrs_taps;

/* Starts a resampling: source values become float32, then are filtered along z, y and x in this order.
 *
 * taps: of z, y, x. clip: the lowest and the highest value, which source values are brought to before they are
 * filtered, or NULL. result: (z, y, x) of the sizes that `taps` says. Every operation is rounded to float32 by itself
 * and their order is fixed, so that the result is that of the same operations elsewhere, bit for bit. Along z, weights
 * of zero are left out and sums begin with zero; along y and x, every tap counts and sums begin with the first. */
LRS_API int32_t lrs_resample_start(const void *source, size_t source_bytes, int32_t type, const lrs_layout *layout,
                                   const lrs_taps taps[3], const float *clip, float *result, size_t result_bytes,
                                   int32_t threads, lrs_job **job);

/* Starts a search for the values that sorting would bring to some places.
 *
 * ranks: 1 to LRS_MAX_RANKS places, counted from 0. found: as many values, written when the job is done. Values are
 * no NaN; -0 counts as less than 0. */
#define LRS_MAX_RANKS 8
LRS_API int32_t lrs_order_start(const float *values, size_t values_bytes, const int64_t *ranks, float *found,
                                int32_t count, int32_t threads, lrs_job **job);

/* Where the voxels of the source grid lie along one axis of the low-resolution grid. */
typedef struct lrs_places {
  const int32_t *before; /* for each source voxel the grid voxel before it, never decreasing */
  size_t before_bytes;
  const uint8_t *weight; /* of the grid voxel after that one, in 64ths, 0 to 64 */
  size_t weight_bytes;
} lrs_places;

/* Starts a reconstruction: logits are interpolated linearly at each source voxel, and the class with the largest one
 * is its label, the lowest of equal ones.
 *
 * logits: (classes, z, y, x) of shape `grid`, of which `used` is used; -4095 to 4095 or 0 to 8191 (labels of larger ones
 * mean nothing). classes: 1 to 255. places: of z, y, x. labels: written at every voxel of `layout`, whose voxels are
 * all different elements. */
LRS_API int32_t lrs_reconstruct_start(const int16_t *logits, size_t logits_bytes, int32_t classes,
                                      const int32_t grid[3], const int32_t used[3], const lrs_places places[3],
                                      uint8_t *labels, size_t labels_bytes, const lrs_layout *layout, int32_t threads,
                                      lrs_job **job);

/* Starts leaving out the logits that no label depends on, wherever between the grid voxels one looks.
 *
 * logits: (classes, z, y, x) of shape `grid`, of which `used` is used; -4095 to 4095. classes: 1 to 255. The rest is of
 * the used part. winners: (z, y, x), the class with the largest logit, the lowest of equal ones. mixed: (z, y, x), 1 where
 * another class can win in one of the up to eight cells around the voxel, else 0. A cell lies between eight grid voxels; a
 * class that another one beats at all of them wins nowhere in it. lists: (bytes, mixed voxels in order), a byte for eight
 * classes: bit c % 8 of byte c / 8 is set where class c can win and is not the voxel's winner. below: how far the listed
 * classes' logits are below the winner's: class by class, of each all mixed voxels in whose list it is, in order. sizes:
 * two numbers, how many mixed voxels there are, and how many numbers in `below`; -1 where there was not memory enough.
 * Where lists or below have no room for so many, nothing is written into either. instruction_set: LRS_BEST or another
 * one that the processor has. */
LRS_API int32_t lrs_reduce_start(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                                 const int32_t used[3], uint8_t *winners, size_t winners_bytes, uint8_t *mixed,
                                 size_t mixed_bytes, uint8_t *lists, size_t lists_bytes, uint16_t *below,
                                 size_t below_bytes, int64_t *sizes, int32_t instruction_set, int32_t threads,
                                 lrs_job **job);

/* Starts making logits of what is left of them: 8191 for the winner, as far below it as `below` says for the classes of
 * the list, and 0 for all others.
 *
 * lists: (bytes, mixed voxels). logits: (classes, z, y, x) of `shape`; all 0 before, only what is not 0 is written.
 * faults: one number, 0 at the end where all parts fit each other; else the logits mean nothing. */
LRS_API int32_t lrs_restore_start(int32_t classes, const int32_t shape[3], const uint8_t *winners,
                                  size_t winners_bytes, const uint8_t *mixed, size_t mixed_bytes, const uint8_t *lists,
                                  size_t lists_bytes, const uint16_t *below, size_t below_bytes, int16_t *logits,
                                  size_t logits_bytes, int64_t *faults, int32_t threads, lrs_job **job);

/* Starts a search for the intensities of a scan as levels, 0 to 127: the nearest whole number, half to even, of
 * (value - low) * scale, each operation rounded to float32 by itself.
 *
 * source, type, layout, clip: as for a resampling; values are no NaN. levels: written at every voxel of its layout, which
 * has the source's shape and whose voxels are all different elements. */
LRS_API int32_t lrs_levels_start(const void *source, size_t source_bytes, int32_t type, const lrs_layout *layout,
                                 const float *clip, float low, float scale, uint8_t *levels, size_t levels_bytes,
                                 const lrs_layout *levels_layout, int32_t threads, lrs_job **job);

/* Starts a count of levels by class (LowResSegLib/reconstruction/fusion.py says of what): probabilities, in 256ths, are
 * added to `counts`, (classes, 128).
 *
 * logits, classes, grid, used, places: as for a reconstruction. levels: 0 to 127 (larger ones are taken modulo 128) of
 * the voxels of `layout`, which are all different elements. decay: 1 to 4097 numbers, the first one above 0: a class so
 * many integer logits behind the best one has this probability, not normalised; what is farther behind has none. */
LRS_API int32_t lrs_count_start(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                                const int32_t used[3], const lrs_places places[3], const uint8_t *levels,
                                size_t levels_bytes, const lrs_layout *layout, const uint16_t *decay,
                                size_t decay_bytes, int64_t *counts, size_t counts_bytes, int32_t threads,
                                lrs_job **job);

/* The corrections of a fusion, (ratios, ratios, leads), of magnitude up to 4095. */
typedef struct lrs_corrections {
  const int16_t *values;
  size_t bytes;
  int32_t ratios;     /* 1 to 256 */
  int32_t leads;      /* odd, at least 3 */
  int32_t lead_shift; /* 0 to 12; leads / 2 << lead_shift is at most 4096 */
} lrs_corrections;

/* Starts a reconstruction with the scan's own intensities (LowResSegLib/reconstruction/fusion.py defines it).
 *
 * logits, classes, grid, used, places, labels: as for a reconstruction. seen: intensities of the used part of the grid,
 * and levels those of the voxels, 0 to 127 (larger ones are taken modulo 128). evidence: (classes, 128), each less than
 * the ratios. */
LRS_API int32_t lrs_fuse_start(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                               const int32_t used[3], const lrs_places places[3], const uint8_t *seen,
                               size_t seen_bytes, const lrs_layout *seen_layout, const uint8_t *levels,
                               size_t levels_bytes, const lrs_layout *levels_layout,
                               const lrs_corrections *corrections, const uint8_t *evidence, size_t evidence_bytes,
                               uint8_t *labels, size_t labels_bytes, const lrs_layout *layout, int32_t threads,
                               lrs_job **job);

/* Finds the runs of equal values in an array, each of at most 65536, at once. Writes as many as there is room for, their
 * values and their lengths less 1, and returns how many there are; 0 for a NULL where an array should be. */
LRS_API uint64_t lrs_find_runs(const uint8_t *values, size_t bytes, uint8_t *runs, uint16_t *lengths, size_t room);

/* Writes the values of `count` runs, at once. LRS_BAD_ARGUMENT where they are not as many as the array has bytes. */
LRS_API int32_t lrs_write_runs(const uint8_t *runs, const uint16_t *lengths, size_t count, uint8_t *values,
                               size_t bytes);

#define LRS_MAX_PASSES 16

/* Starts a blend: the logits `first`, the mean of `count` passes, become that of these and of `second`, rounded down.
 *
 * Both are (classes, z, y, x), of magnitude up to 4095; a layout is that of one class, the next one lies as many
 * elements further as `..._class` says. aside: 0 where voxels of the same number lie in the same place; 1 where that of
 * `second` lies half a voxel behind, on each axis: then the mean of the eight around a voxel is taken, where those
 * before the first row, slice and column are these themselves, and `second` may have a slice more, before the others. */
LRS_API int32_t lrs_blend_start(int16_t *first, size_t first_bytes, const lrs_layout *first_layout, int64_t first_class,
                                const int16_t *second, size_t second_bytes, const lrs_layout *second_layout,
                                int64_t second_class, int32_t classes, int32_t aside, int32_t count, int32_t threads,
                                lrs_job **job);

#ifdef __cplusplus
}
#endif
#endif
