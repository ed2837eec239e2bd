/* Checks of what callers give: where the voxels of an array lie, and products of sizes. */
#ifndef LRS_BOUNDS_H
#define LRS_BOUNDS_H

#include "lowresseg.h"

/* Larger than any memory, and small enough that sums of a few such numbers fit int64. */
#define LRS_MOST ((uint64_t)1 << 60)

/* The product of some numbers; LRS_MOST where it is as large as that or larger. */
static inline uint64_t lrs_product(const uint64_t *numbers, int32_t count) {
  uint64_t product = 1;
  for (int32_t i = 0; i < count; i++) {
    if (numbers[i] == 0) return 0;
  }
  for (int32_t i = 0; i < count; i++) {
    if (numbers[i] > LRS_MOST / product) return LRS_MOST;
    product *= numbers[i];
  }
  return product;
}

/* Voxels of an array; 0 where a size is not positive. */
static inline uint64_t lrs_voxels(const int32_t shape[3]) {
  uint64_t numbers[3];
  for (int32_t axis = 0; axis < 3; axis++) {
    if (shape[axis] < 1) return 0;
    numbers[axis] = (uint64_t)shape[axis];
  }
  return lrs_product(numbers, 3);
}

/* Whether every voxel is one of an array's `elements`. */
static inline int lrs_layout_fits(const lrs_layout *layout, uint64_t elements) {
  if (elements > LRS_MOST || layout->first < 0 || (uint64_t)layout->first >= elements) return 0;
  const int64_t room = (int64_t)elements;
  int64_t least = layout->first, most = layout->first;
  for (int32_t axis = 0; axis < 3; axis++) {
    const int64_t steps = (int64_t)layout->shape[axis] - 1, stride = layout->strides[axis];
    if (steps < 0) return 0;
    if (steps == 0) continue; /* a stride that nobody uses */
    if (stride > room / steps || stride < -(room / steps)) return 0;
    *(stride < 0 ? &least : &most) += stride * steps;
  }
  return least >= 0 && most < room;
}

/* Whether all voxels are different elements, as far as can be told from the strides alone; the layout fits. */
static inline int lrs_layout_is_distinct(const lrs_layout *layout) {
  int64_t reach = 0;
  int done[3] = {0, 0, 0};
  for (int32_t i = 0; i < 3; i++) { /* from the shortest stride to the longest one */
    int32_t next = -1;
    int64_t shortest = 0;
    for (int32_t a = 0; a < 3; a++) {
      const int64_t stride = layout->shape[a] == 1 ? 0 : layout->strides[a], distance = stride < 0 ? -stride : stride;
      if (!done[a] && (next < 0 || distance < shortest)) {
        next = a;
        shortest = distance;
      }
    }
    done[next] = 1;
    if (layout->shape[next] > 1 && shortest <= reach) return 0;
    reach += shortest * (layout->shape[next] - 1);
  }
  return 1;
}

#endif
