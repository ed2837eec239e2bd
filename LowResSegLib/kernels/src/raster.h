/* Rasters of the grids of a network, and tensors in them. */
#ifndef LRS_RASTER_H
#define LRS_RASTER_H

#include "bitplane.h"

/* Sets everything but the masks; the guard is wide enough for kernels that reach as far as `margin`. */
void lrs_raster_set(lrs_raster *raster, const int32_t size[3], const int32_t margin[3]);

/* Bytes of a raster's masks. */
uint64_t lrs_mask_bytes(const lrs_raster *raster, const int32_t margin[3]);

/* Allocates and fills the masks; returns LRS_DONE or LRS_NO_MEMORY. */
int32_t lrs_raster_masks(lrs_raster *raster, const int32_t margin[3]);

void lrs_raster_free(lrs_raster *raster);

/* Bytes of a tensor, and its planes within so many bytes of memory. */
uint64_t lrs_tensor_bytes(const lrs_raster *raster, int32_t channels);
lrs_tensor lrs_tensor_in(uint8_t *memory, const lrs_raster *raster, int32_t channels);

/* Sets what lies after the slices of a channel, and for the first one before them, to trits 0; with `rows` each slice's
 * padding rows too. */
void lrs_tensor_clear(const lrs_tensor *tensor, int32_t channel, int rows);

/* Byte of a plane where a row begins. */
static inline int64_t lrs_row(const lrs_raster *raster, int32_t z, int32_t y) {
  return ((int64_t)z * raster->rows + y) * raster->pitch;
}

#endif
