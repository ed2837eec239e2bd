/* What reduced logits are made of and read by: voxels that are mixed, and lists of classes as bits. */
#ifndef LRS_REDUCED_H
#define LRS_REDUCED_H

#include <stdint.h>
#include <string.h>

#include "bounds.h"

enum { LRS_MOST_BELOW = 2 * 4095, LRS_BEST_LOGIT = LRS_MOST_BELOW + 1 }; /* so that what is listed is above 0 */

/* Whether the arrays of full logits and of what is found in them are as large as they must be; see lrs_reduce_start. */
static inline int lrs_fits_reduction(size_t logits_bytes, int32_t classes, const int32_t grid[3], const int32_t used[3],
                                     size_t winners_bytes, size_t mixed_bytes, size_t lists_bytes,
                                     size_t counts_bytes) {
  const uint64_t plane = lrs_voxels(grid), voxels = lrs_voxels(used);
  const uint64_t numbers[3] = {plane, (uint64_t)classes, sizeof(int16_t)};
  const uint64_t bytes[2] = {voxels, ((uint64_t)classes + 7) / 8};
  for (int32_t a = 0; a < 3; a++) {
    if (used[a] > grid[a]) return 0;
  }
  return voxels && lrs_product(numbers, 3) == logits_bytes && logits_bytes < LRS_MOST && winners_bytes == voxels &&
         mixed_bytes == voxels && lrs_product(bytes, 2) == lists_bytes &&
         counts_bytes == (uint64_t)used[0] * ((uint64_t)classes + 1) * sizeof(int64_t);
}

/* The first number from `x` on that is not 0; `end` where there is none. */
static inline int64_t lrs_skip_zeros(const uint8_t *numbers, int64_t x, int64_t end) {
  uint64_t eight;
  for (; x + 8 <= end; x += 8) {
    memcpy(&eight, numbers + x, sizeof eight);
    if (eight) break;
  }
  while (x < end && !numbers[x]) x++;
  return x;
}

/* The number of the lowest bit that is set, of 16. */
static inline int32_t lrs_lowest_bit(uint32_t bits) {
  const uint32_t low = bits & (0u - bits);
  return (int32_t)(((low & 0xAAAA) != 0) + 2 * ((low & 0xCCCC) != 0) + 4 * ((low & 0xF0F0) != 0) +
                   8 * ((low & 0xFF00) != 0));
}

#endif
