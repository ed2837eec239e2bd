/* Where voxels lie in bit planes, and the work that an instruction set does on them.
 *
 * A bit plane holds one bit of every voxel of a grid. A trit t takes two planes: `u` is set where t = +1, `x` where
 * t = 0; so t + 1 = 2 u + x is the number with the binary digits u and x, and padding (t = 0) has u = 0, x = 1.
 *
 * Voxels lie in a plane row after row: a row of the grid is `pitch` whole bytes, each slice has some further rows of
 * trits 0 (u = 0, x = 1) after its last one, and there are `guard` bytes of them before and after the plane. So the neighbour at
 * (dz, dy, dx) of voxel number p is voxel number p + 8 ((dz * rows + dy) * pitch) + dx wherever in the grid p is, and a
 * vector of a few hundred voxels that lie one behind the other, over the ends of rows and slices, is worked on at once.
 * Only for dx does a vector need masks: the voxel before the first one of a row is the last one of another row. Small
 * grids, where padding rows would be much of a plane, do without them and need masks for dy as well.
 */
#ifndef LRS_BITPLANE_H
#define LRS_BITPLANE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LRS_MAX_REACH 2      /* of a kernel: half of an edge of 5 */
#define LRS_NEIGHBOURS (2 * LRS_MAX_REACH + 1) /* along an axis, the voxel itself among them */
#define LRS_TABLE_ENTRIES 324 /* neighbours that a chunk of a convolution has at most */
#define LRS_MOST_OF_SIGN 127  /* weights +1, and -1, that an output has in a chunk at most: sums fit ... */
#define LRS_CHUNK_PLANES 9    /* ... so many planes, from -254 to 254 */
#define LRS_PAIRING 32        /* outputs among which those are found that are counted in pairs */
#define LRS_ENTRY_SCALE 16 /* places are bytes in a table of 64-bit words; wider vectors multiply them */
#define LRS_BLOCK 32 /* voxels that are worked on together where values are no bits */
#define LRS_TOGETHER 4 /* outputs of the first layer that are */

typedef struct lrs_raster {
  int32_t size[3];  /* z, y, x */
  int32_t rows;     /* of a slice, with its padding */
  int64_t pitch;    /* bytes of a row */
  int64_t used;     /* bytes from the first voxel to the end of the last slice's padding */
  int64_t length;   /* `used`, rounded up to whole vectors of any instruction set */
  int64_t guard;    /* bytes before and after, both of trits 0 */
  int64_t stride;   /* from a plane to the next one: they share a guard */
  /* Masks, one bit a voxel as in a plane: voxels of the grid, and those whose neighbour at [dy][dx] lies in their
   * slice; with padding rows for dy = 0 alone, which does for all dy. [0][0] is `inside`. */
  uint8_t *inside;
  uint8_t *within[LRS_NEIGHBOURS][LRS_NEIGHBOURS];
} lrs_raster;

/* Planes of one layer's output; channel c's planes begin at u + c * stride and x + c * stride. */
typedef struct lrs_tensor {
  const lrs_raster *raster;
  int32_t channels;
  uint8_t *u, *x;
} lrs_tensor;

/* A row of taps: one input plane, moved by whole rows, at one or more dx. */
typedef struct lrs_tap_row {
  int32_t source;
  int32_t dz, dy, first_dx, last_dx;
} lrs_tap_row;

/* Some rows of taps, few enough that their trits fit a counter, and the fastest cache of most processors. */
typedef struct lrs_chunk {
  int32_t first_row, row_count;
} lrs_chunk;

/* What a list of a pair is for: trits with which both outputs do the same, those with which they do opposite things,
 * and those that only the first output, only the second one has. */
enum { LRS_OPPOSITE, LRS_SAME, LRS_FIRST_ALONE, LRS_SECOND_ALONE, LRS_LISTS_OF_PAIR };

/* The trits of one chunk that two outputs count. Its lists follow each other in the order above, of each first the
 * trits of weight +1 (for LRS_OPPOSITE: of the first output), then those of -1, each padded to a multiple of four with
 * an entry that adds nothing. */
typedef struct lrs_pair {
  uint32_t first;    /* in `entries` */
  int32_t output[2]; /* the second is -1 where an output is alone */
  uint8_t plus[LRS_LISTS_OF_PAIR], minus[LRS_LISTS_OF_PAIR]; /* in fours */
} lrs_pair;

/* A ternary layer's weights as the kernels run along them. */
typedef struct lrs_lists {
  lrs_tap_row *rows;
  lrs_chunk *chunks;
  int32_t chunk_count;
  lrs_pair *pairs;   /* [chunk][pair]; of LRS_PAIRING outputs each, then of the rest */
  int32_t pair_count; /* of a chunk */
  uint16_t *entries; /* places in the table of a chunk, times LRS_ENTRY_SCALE */
  uint64_t *limits;  /* [output][upper, lower][plane]: all bits of a word are the inverted bit of the threshold */
  int32_t planes;    /* of a sum, in two's complement */
} lrs_lists;

/* A ternary convolution, ready to run. */
typedef struct lrs_convolution {
  const lrs_lists *lists;
  const lrs_raster *raster;
  const uint8_t **u, **x; /* planes of the sources */
  lrs_tensor output;
} lrs_convolution;

/* Whether slices have padding rows, so that only neighbours along x need masks. */
static inline int lrs_is_padded(const lrs_raster *raster) { return raster->rows > raster->size[1]; }

/* The mask of voxels whose neighbour at (dy, dx) lies in their slice, or, with padding rows, in their row. */
static inline const uint8_t *lrs_within(const lrs_raster *raster, int32_t dy, int32_t dx) {
  return raster->within[lrs_is_padded(raster) ? LRS_MAX_REACH : dy + LRS_MAX_REACH][dx + LRS_MAX_REACH];
}

/* Asks for a cache line that is needed soon; the address may lie anywhere. */
#if defined(__GNUC__)
#define LRS_PREFETCH(address) __builtin_prefetch(address)
#else
#define LRS_PREFETCH(address) ((void)(address))
#endif

/* For functions that are fast only as a part of their caller, where arguments are constants. */
#if defined(_MSC_VER) && !defined(__clang__)
#define LRS_INLINED __forceinline
#elif defined(__GNUC__)
#define LRS_INLINED inline __attribute__((always_inline))
#else
#define LRS_INLINED inline
#endif

/* What an instruction set does. */
typedef struct lrs_kernels {
  int32_t vector; /* bytes */
  /* Outputs first_channel to end_channel - 1 of vectors first to end - 1; first_channel is a multiple of LRS_PAIRING, and
   * end_channel one too, or the number of outputs. */
  void (*convolve)(const lrs_convolution *convolution, int64_t first, int64_t end, int32_t first_channel,
                   int32_t end_channel, void *scratch);
  /* Of LRS_BLOCK voxels and at most LRS_TOGETHER outputs: sums of products of intensities and weights. Two taps stand
   * side by side, for each voxel and in the weights, [output][pair][2]; a pair begins at intensities + its number of
   * places. Bit n of above[output] and of not_below[output]: whether voxel n's sum is at least upper[output], at least
   * lower[output]. */
  void (*first)(const int16_t *intensities, const int32_t *places, const int16_t *weights, int32_t pairs,
                int32_t outputs, const int32_t *lower, const int32_t *upper, uint32_t *not_below, uint32_t *above);
  /* Trits of LRS_BLOCK voxels for each entry, [entry][voxel], from the bits of those that are +1 and those that are
   * -1. */
  void (*expand)(const uint32_t *positive, const uint32_t *negative, int32_t entries, int16_t *trits);
  /* Of LRS_BLOCK voxels: offset plus the sum of weights times trits; trits are [entry][voxel]. */
  void (*logits)(const int16_t *trits, const int16_t *weights, int32_t entries, int16_t offset, int16_t *logits);
  /* Of a reduction's item of slices: see candidates_template.h. */
  void (*find_lists)(void *candidates, int32_t phase, int64_t item, void *scratch);
} lrs_kernels;

/* Two numbers as one, the first one in the lower half. */
static inline int32_t lrs_two_numbers(const int16_t *numbers) {
  int32_t both;
  memcpy(&both, numbers, sizeof both);
  return both;
}

/* NULL where it is not compiled in. */
const lrs_kernels *lrs_kernels_word(void);
const lrs_kernels *lrs_kernels_sse2(void);
const lrs_kernels *lrs_kernels_avx2(void);
const lrs_kernels *lrs_kernels_avx512(void);
const lrs_kernels *lrs_kernels_neon(void);

/* Scratch memory that `convolve` needs. */
static inline size_t lrs_convolution_scratch(const lrs_lists *lists, int32_t channels, int32_t vector) {
  const size_t table = 2 * (LRS_TABLE_ENTRIES + 1);
  return (table + (size_t)channels * (size_t)lists->planes) * (size_t)vector;
}

#endif
