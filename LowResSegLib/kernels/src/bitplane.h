/* Where voxels lie in bit planes, and the work that an instruction set does on them.
 *
 * A bit plane holds one bit of every voxel of a grid. A trit t takes two planes: `u` is set where t = +1, `x` where
 * t = 0; so t + 1 = 2 u + x is the number with the binary digits u and x, and padding (t = 0) has u = 0, x = 1.
 *
 * Voxels lie in a plane row after row: a row of the grid is `pitch` whole bytes, each slice has some further rows of
 * trits 0 (u = 0, x = 1) after its last one, and there are `guard` bytes of them before and after the plane. So the neighbour at
 * (dz, dy, dx) of voxel number p is voxel number p + 8 ((dz * rows + dy) * pitch) + dx wherever in the grid p is, and a
 * vector of a few hundred voxels that lie one behind the other, over the ends of rows and slices, is worked on at once.
 * Only for dx does a vector need masks: the voxel before the first one of a row is the last one of another row.
 */
#ifndef LRS_BITPLANE_H
#define LRS_BITPLANE_H

#include <stddef.h>
#include <stdint.h>

#define LRS_MAX_REACH 2      /* of a kernel: half of an edge of 5 */
#define LRS_TABLE_ENTRIES 255 /* neighbours that a chunk of a convolution has at most: sums of it fit 10 planes */
#define LRS_CHUNK_PLANES 10
#define LRS_ENTRY_SCALE 16 /* places are bytes in a table of 64-bit words; wider vectors multiply them */
#define LRS_BLOCK 32 /* voxels that are worked on together where values are no bits */

typedef struct lrs_raster {
  int32_t size[3];  /* z, y, x */
  int32_t rows;     /* of a slice, with its padding */
  int64_t pitch;    /* bytes of a row */
  int64_t used;     /* bytes from the first voxel to the end of the last slice's padding */
  int64_t length;   /* `used`, rounded up to whole vectors of any instruction set */
  int64_t guard;    /* bytes before and after, both of trits 0 */
  int64_t stride;   /* from a plane to the next one: they share a guard */
  /* Masks, one bit a voxel as in a plane: voxels of the grid, and those whose neighbour at dx is in their row. */
  uint8_t *inside;
  uint8_t *within[2 * LRS_MAX_REACH + 1];
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

/* The trits that one output adds of one chunk: first those of weight -1, then those of +1, each padded to a multiple
 * of four with an entry that adds nothing. */
typedef struct lrs_list {
  uint32_t first;       /* in `entries` */
  uint16_t minus, plus; /* in fours */
} lrs_list;

/* A ternary layer's weights as the kernels run along them. */
typedef struct lrs_lists {
  lrs_tap_row *rows;
  lrs_chunk *chunks;
  int32_t chunk_count;
  lrs_list *lists;   /* [chunk][output] */
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

/* What an instruction set does. */
typedef struct lrs_kernels {
  int32_t vector; /* bytes */
  /* Outputs first_channel to end_channel - 1 of vectors first to end - 1. */
  void (*convolve)(const lrs_convolution *convolution, int64_t first, int64_t end, int32_t first_channel,
                   int32_t end_channel, void *scratch);
  /* Of LRS_BLOCK voxels: sums of products of intensities and weights. Two taps stand side by side, for each voxel and
   * in the weights; it is `stride` numbers from a pair of taps to the next one. Bit n of *above and of *not_below:
   * whether voxel n's sum is at least `upper`, at least `lower`. */
  void (*first)(const int16_t *intensities, size_t stride, const int16_t *weights, int32_t pairs, int32_t lower,
                int32_t upper, uint32_t *not_below, uint32_t *above);
  /* Trits of LRS_BLOCK voxels from the bits of those that are +1 and those that are -1. */
  void (*expand)(uint32_t positive, uint32_t negative, int16_t *trits);
  /* Of LRS_BLOCK voxels: offset plus the sum of weights times trits; trits are [entry][voxel]. */
  void (*logits)(const int16_t *trits, const int16_t *weights, int32_t entries, int16_t offset, int16_t *logits);
} lrs_kernels;

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
