/* From a ternary layer's weights to the lists that the kernels run along. */
#ifndef LRS_LISTS_H
#define LRS_LISTS_H

#include "network.h"

/* Makes the lists of a layer whose weights and thresholds are good; returns LRS_DONE or LRS_NO_MEMORY. What was
 * allocated is freed by lrs_lists_free in both cases.
 *
 * A stride splits the input into phases: source number channel * phases + phase of the rows of taps. */
int32_t lrs_lists_make(lrs_lists *lists, const lrs_layer *layer);

void lrs_lists_free(lrs_lists *lists);

/* Planes into which a stride splits each of the input's: the voxels of even and odd places on each axis with one. */
static inline int32_t lrs_phase_count(const lrs_layer *layer) {
  return layer->factor[0] * layer->factor[1] * layer->factor[2];
}

#endif
