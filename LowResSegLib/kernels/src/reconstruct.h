/* Labels at the resolution of the source. First every grid voxel gets its label. A cell is the room between eight
 * neighbouring grid voxels, and holds the source voxels that are interpolated from these.
 *
 * Where the eight have one label, it is that of the whole cell. For let A be the label at every corner: the value of A
 * is, at every corner, greater than that of each lower label and no less than that of each higher one. Interpolation
 * multiplies by weights that are not negative and not all zero, and the sums are exact, so that both hold for every
 * voxel in the cell: A wins there, under the same rule for ties.
 *
 * In other cells only few classes can win: every voxel has a class whose value is at least F, the greatest of all
 * classes' least values over the corners. A class whose greatest value is less than F wins nowhere.
 *
 * Since sums are exact, the order of the axes is free; it is that in which the labels lie in memory. */
#ifndef LRS_RECONSTRUCT_H
#define LRS_RECONSTRUCT_H

#include "lowresseg.h"

#define LRS_WEIGHT_BITS 6
#define LRS_MAX_CLASSES 255
#define LRS_LAYERS 4         /* runs of the slowest axis that are worked on at once, */
#define LRS_CELLS 128        /* so many cells along the fastest axis, */
#define LRS_CELL_VOXELS 4096 /* with so many source voxels along it */

/* Source voxels side by side that lie between the same two grid voxels. */
typedef struct lrs_run {
  int32_t cell; /* the grid voxel before them */
  int32_t first;
  int32_t count;
} lrs_run;

/* One axis; they are sorted by how far neighbours' labels lie apart, the farthest first. */
typedef struct lrs_side {
  int32_t grid;     /* voxels of the grid that are used */
  int32_t size;     /* of the source */
  int64_t step;     /* from a grid voxel to the next one, in the logits */
  int64_t stride;   /* from a source voxel to the next one, in the labels; not negative */
  int64_t distance; /* from a grid voxel to the next one, in the grid voxels' labels */
  uint8_t *weight;  /* of each source voxel; where the labels run backwards, so do the voxels here */
  lrs_run *runs;
  int32_t run_count;
} lrs_side;

typedef struct lrs_reconstruction {
  const int16_t *logits;
  int64_t plane; /* from a class to the next one */
  int32_t classes;
  int32_t padded; /* classes, rounded up to whole vectors */
  int32_t used[3]; /* the grid in the logits' order of axes, with their steps, */
  int64_t steps[3];
  int64_t distances[3]; /* and where the labels of grid voxels are */
  uint8_t *grid_labels;
  lrs_side sides[3];
  uint8_t *labels; /* voxel (0, 0, 0) of `sides` */
} lrs_reconstruction;

/* Labels the grid voxels of slice `z`. */
void lrs_label_slice(const lrs_reconstruction *job, int32_t z);

/* Labels the source voxels of one to LRS_LAYERS runs of the slowest axis. */
void lrs_label_layers(const lrs_reconstruction *job, const lrs_run *runs, int32_t count, void *scratch);

/* Bytes of scratch memory that this needs. */
size_t lrs_layers_scratch(const lrs_reconstruction *job);

#endif
