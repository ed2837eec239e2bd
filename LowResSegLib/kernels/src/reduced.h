/* What reduced logits are made of and read by: voxels that are mixed, and lists of classes as bits. */
#ifndef LRS_REDUCED_H
#define LRS_REDUCED_H

#include <stdint.h>
#include <string.h>

enum { LRS_MOST_BELOW = 2 * 4095, LRS_BEST_LOGIT = LRS_MOST_BELOW + 1 }; /* so that what is listed is above 0 */

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

/* The number of the lowest bit that is set, of 16; the factor moves a part of itself to the top that no other bit does. */
static inline int32_t lrs_lowest_bit(uint32_t bits) {
  static const uint8_t numbers[16] = {0, 1, 2, 5, 3, 9, 6, 11, 15, 4, 8, 10, 14, 7, 13, 12};
  return numbers[((bits & (0u - bits)) * 0x09AFu >> 12) & 15];
}

#endif
