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

/* What a fusion adds: see fuse.h. */
typedef struct lrs_fusion lrs_fusion;

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
  lrs_fusion *fusion; /* NULL where logits alone decide */
  int32_t reach;      /* classes at most so far behind the best one take part; 0 without a fusion */
} lrs_reconstruction;

/* All classes' logits at the corners of a cell: bit 2 is the slowest axis, bit 0 the fastest. */
typedef struct lrs_corners {
  const int16_t *at[8];
} lrs_corners;

/* Where a cell's source voxels are: their labels, numbers and weights along each axis. */
typedef struct lrs_room {
  uint8_t *labels;
  int64_t stride[3];
  int32_t first[3];
  int32_t count[3];
  const uint8_t *weight[3];
  int32_t corner[2][3]; /* grid voxels before and after them */
} lrs_room;

/* The grid voxel after a cell's first one; an axis of one voxel has none. */
static inline int32_t lrs_after(const lrs_side *side, int32_t cell) { return cell + 1 < side->grid ? cell + 1 : cell; }

/* Between two values, times 64. Unsigned, since logits that are too large may overflow, which must not matter. */
static inline int32_t lrs_between(int32_t a, int32_t b, int32_t weight) {
  return (int32_t)((uint32_t)a * (uint32_t)((1 << LRS_WEIGHT_BITS) - weight) + (uint32_t)b * (uint32_t)weight);
}

/* What all reconstructions begin with: checks their arguments and makes a job of them, which lrs_release_reconstruction
 * frees. The layout is that of `labels`, an array of `labels_bytes`. */
int32_t lrs_prepare(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                    const int32_t used[3], const lrs_places places[3], uint8_t *labels, size_t labels_bytes,
                    const lrs_layout *layout, int32_t order[3], lrs_reconstruction **made);

void lrs_release_reconstruction(void *job);

/* Starts the job, whose end releases it. */
int32_t lrs_start_reconstruction(lrs_reconstruction *job, int32_t threads, lrs_job **started);

/* Labels the grid voxels of slice `z`. With a fusion, those where more classes than one take part get the number of
 * classes, which is no label. */
void lrs_label_slice(const lrs_reconstruction *job, int32_t z);

/* Labels the source voxels of one to LRS_LAYERS runs of the slowest axis. */
void lrs_label_layers(const lrs_reconstruction *job, const lrs_run *runs, int32_t count, void *scratch);

/* Bytes of scratch memory that this needs. */
size_t lrs_layers_scratch(const lrs_reconstruction *job);

#endif
