/* Antialiased resampling, tile by tile: a block of source values becomes float32, is filtered along z, then along y,
 * then along x. A tile's sums stay in the cache, and source values are read in the order in which they lie, whatever
 * the axes' order and sense.
 *
 * Promised is the result of a fixed order of float32 operations. The compiler must therefore not fuse products and
 * sums (-ffp-contract=off, /fp:precise) and must not reorder them (no -ffast-math). */
#ifndef LRS_RESAMPLE_H
#define LRS_RESAMPLE_H

#include "lowresseg.h"

#define LRS_LANES 8 /* rows that are filtered along x side by side */

typedef struct lrs_axis {
  int32_t source; /* size */
  int32_t size;   /* of the result */
  int32_t taps;
  int32_t *index;
  float *weight;
  int32_t group; /* results of a tile */
  int32_t groups;
  int32_t span;   /* source values that the widest group needs */
  int32_t *start; /* of each group's source values */
  int32_t *count;
} lrs_axis;

/* Source values, which become float32 in a block; both have strides in elements. Axes are from slow to fast. */
typedef void (*lrs_loader)(const void *source, const int64_t strides[3], const int32_t sizes[3], float *block,
                           const int64_t block_strides[3]);

typedef struct lrs_resampling {
  const unsigned char *source; /* its voxel (0, 0, 0) */
  int64_t strides[3];          /* in elements; that of x is not negative */
  int32_t order[3];            /* axes, the one whose neighbours lie closest last */
  int64_t element;             /* bytes */
  lrs_loader load;
  int clips;
  float least, most;
  lrs_axis axes[3];
  int32_t block_z, block_y; /* source values along z and y that are loaded at once */
  size_t row;               /* floats from one row of a tile to the next */
  float *result;
} lrs_resampling;

/* In the order of the interface's numbers. */
extern const lrs_loader lrs_loaders[LRS_TYPES];

/* Floats of scratch memory that a tile needs; LRS_MOST or more where there are too many to count. */
uint64_t lrs_tile_floats(const lrs_resampling *job);

/* Computes the results of one group of z, y and x each. */
void lrs_resample_tile(const lrs_resampling *job, int32_t z, int32_t y, int32_t x, float *scratch);

#endif
