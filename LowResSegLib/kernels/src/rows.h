/* Work on single rows of bit planes: pooling, repetition, splitting for strides, and the ends where values are
 * numbers: intensities before the first layer, logits after the last. */
#ifndef LRS_ROWS_H
#define LRS_ROWS_H

#include "bitplane.h"
#include "network.h"

/* All three: slice z of a channel of `output`, from an `input` of one channel. */

/* The largest trit of each block of `factor` voxels. */
void lrs_pool_slice(const lrs_tensor *input, const lrs_tensor *output, const int32_t factor[3], int32_t channel,
                    int32_t z);

/* Each voxel of slice z of the input `factor` times, along z too. */
void lrs_upsample_slice(const lrs_tensor *input, const lrs_tensor *output, const int32_t factor[3], int32_t channel,
                        int32_t z);

/* All phases: every second voxel on each axis whose factor is 2, one channel for each of them from `channel` on. */
void lrs_split_slice(const lrs_tensor *input, const lrs_tensor *output, const int32_t factor[3], int32_t channel,
                     int32_t z);

/* The first layer's weights, two taps in each pair of numbers: [output][pair][2]. NULL where memory lacks. */
int16_t *lrs_first_weights(const lrs_layer *layer);
size_t lrs_first_scratch(const lrs_layer *layer);
/* Rows y to y_end - 1 of slice z: intensities times weights, compared with both thresholds. */
void lrs_first_rows(const lrs_layer *layer, const int16_t *weights, const uint8_t *grid, const lrs_tensor *output,
                    const lrs_kernels *kernels, int32_t z, int32_t y, int32_t y_end, void *scratch);

size_t lrs_logits_scratch(const lrs_layer *layer);
/* Rows y to y_end - 1 of slice z of the logits, int16 [class][z][y][x], from the planes of all incoming channels. */
void lrs_logits_rows(const lrs_layer *layer, const lrs_raster *raster, const uint8_t *const *u,
                     const uint8_t *const *x, const lrs_kernels *kernels, int32_t z, int32_t y, int32_t y_end,
                     int16_t *logits, void *scratch);

#endif
