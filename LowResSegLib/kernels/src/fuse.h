/* Reconstruction with the scan's own intensities. The definition is LowResSegLib/reconstruction/fusion.py's.
 *
 * Cells are found as in reconstruct.h. Where at all eight corners one class is ahead of all others by more than the
 * reach, so it is everywhere in the cell, since interpolation multiplies by weights that add up to one: it alone takes
 * part there. In other cells classes take part that are somewhere within reach of F, the greatest of all classes' least
 * values over the corners; at each voxel the best class's value is at least F. So best and second best, as far as the
 * latter is within reach, are among these. */
#ifndef LRS_FUSE_H
#define LRS_FUSE_H

#include "reconstruct.h"

#define LRS_LEVELS 128
#define LRS_CERTAIN 256 /* a probability of 1 */
#define LRS_MAX_REACH 4096

struct lrs_fusion {
  const uint8_t *levels; /* of source voxel (0, 0, 0) of the sides, */
  int64_t level_stride[3];
  volatile int64_t *counts; /* (classes, LRS_LEVELS) to be added to; NULL where voxels are labelled */
  uint16_t decay[LRS_MAX_REACH + 1];
  const uint8_t *seen; /* intensities on the grid, */
  int64_t seen_step[3]; /* with the distances of their sides */
  const int16_t *corrections; /* (ratios, ratios, leads) */
  int32_t ratios, leads, lead_shift;
  uint8_t evidence[LRS_MAX_CLASSES][LRS_LEVELS];
};

/* Labels a cell's voxels, or counts them; `counts` is as lrs_begin_counts returned it. */
void lrs_fuse_cell(const lrs_reconstruction *job, const lrs_corners *cell, const uint8_t candidates[], int32_t count,
                   const lrs_room *to, uint64_t *counts);

/* Counts a line of voxels of known labels. */
void lrs_count_line(const uint8_t *levels, int64_t stride, const uint8_t *labels, int32_t length, uint64_t *counts);

/* A thread's own counts: (classes + 1, LRS_LEVELS), of which the last ones mean nothing; NULL where none are wanted. */
size_t lrs_counts_scratch(const lrs_reconstruction *job);
uint64_t *lrs_begin_counts(const lrs_reconstruction *job, void *scratch);
void lrs_end_counts(const lrs_reconstruction *job, const uint64_t *counts);

#endif
