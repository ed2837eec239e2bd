/* From a ternary layer's weights to the lists that the kernels run along. */
#ifndef LRS_LISTS_H
#define LRS_LISTS_H

#include "bitplane.h"
#include "network.h"

/* Bytes of everything that lrs_convolution_prepare allocates. */
uint64_t lrs_convolution_memory(const lrs_layer *layer);

/* Sets up rows, chunks, lists and limits of a convolution whose raster and output are set.
 *
 * `vector` is in bytes. A stride splits the input into phases: source number channel * phases + phase, where phase is
 * that of lrs_phase_count(); the caller provides those planes. Returns LRS_DONE or LRS_NO_MEMORY; what was allocated
 * is freed by lrs_convolution_free in both cases. */
int32_t lrs_convolution_prepare(lrs_convolution *convolution, const lrs_layer *layer, int32_t vector);

void lrs_convolution_free(lrs_convolution *convolution);

/* Planes into which a stride splits each of the input's: the voxels of even and odd places on each axis with one. */
static inline int32_t lrs_phase_count(const lrs_layer *layer) {
  return layer->factor[0] * layer->factor[1] * layer->factor[2];
}

#endif
