/* The running mean of passes' logits, of which the new one may lie half a voxel behind on each axis. */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "job.h"

typedef struct blend {
  int16_t *first;
  const int16_t *second;
  lrs_layout own, other; /* of one class */
  int64_t own_class, other_class;
  int32_t aside, before, count;
} blend;

/* Adds up the four rows of the second pass that lie around a row of the first one; they are of magnitude up to 4095. */
static void sum_rows(const blend *this, int64_t from, int32_t z, int32_t y, int16_t *sums) {
  const lrs_layout *layout = &this->other;
  const int32_t slices[2] = {z + this->before, z + this->before > 0 ? z + this->before - 1 : 0};
  const int32_t rows[2] = {y, y > 0 ? y - 1 : 0};
  const int64_t step = layout->strides[2];
  const int16_t *at[4];
  for (int i = 0; i < 4; i++) {
    at[i] = this->second + from + layout->first + slices[i / 2] * layout->strides[0] + rows[i % 2] * layout->strides[1];
  }
  const int32_t width = layout->shape[2];
  if (step == 1) {
    for (int32_t x = 0; x < width; x++) sums[x] = (int16_t)(at[0][x] + at[1][x] + at[2][x] + at[3][x]);
  } else {
    for (int32_t x = 0; x < width; x++) {
      const int64_t place = x * step;
      sums[x] = (int16_t)(at[0][place] + at[1][place] + at[2][place] + at[3][place]);
    }
  }
}

/* `number` / `parts`, rounded down for negative numbers too; the result is of magnitude below 2^16. */
static inline int16_t share(int32_t number, int32_t parts) {
  return (int16_t)((number + parts * (1 << 16)) / parts - (1 << 16));
}

/* A row of the mean where both passes have their voxels in the same places. */
static inline void mean_row(const blend *this, int64_t from, int32_t z, int32_t y, int16_t *row, int32_t count) {
  const lrs_layout *layout = &this->other;
  const int16_t *at = this->second + from + layout->first + z * layout->strides[0] + y * layout->strides[1];
  const int64_t step = this->own.strides[2], other_step = layout->strides[2];
  for (int32_t x = 0; x < layout->shape[2]; x++) {
    row[x * step] = share(count * row[x * step] + at[x * other_step], count + 1);
  }
}

/* A row of the mean with one that lies aside, of which `sums` has what sum_rows gave. */
static inline void mean_row_aside(const blend *this, const int16_t *sums, int16_t *row, int32_t count) {
  const int64_t step = this->own.strides[2];
  for (int32_t x = 0; x < this->own.shape[2]; x++) {
    row[x * step] = share(8 * count * row[x * step] + sums[x] + sums[x - 1], 8 * (count + 1));
  }
}

/* Calls a function with `count` as a constant, by which compilers divide without dividing. */
#define WITH_CONSTANT(count, function, ...) \
  switch (count) {                          \
    case 1: function(__VA_ARGS__, 1); break; \
    case 2: function(__VA_ARGS__, 2); break; \
    case 3: function(__VA_ARGS__, 3); break; \
    default: function(__VA_ARGS__, count);  \
  }

/* One slice of one class. */
static void blend_slice(void *context, int32_t phase, int64_t item, void *scratch) {
  const blend *this = (const blend *)context;
  const lrs_layout *own = &this->own;
  const int32_t z = (int32_t)(item % own->shape[0]);
  const int64_t number = item / own->shape[0];
  int16_t *sums = (int16_t *)scratch + 1; /* the one before the first counts twice */
  (void)phase;
  for (int32_t y = 0; y < own->shape[1]; y++) {
    int16_t *row = this->first + number * this->own_class + own->first + z * own->strides[0] + y * own->strides[1];
    if (!this->aside) {
      WITH_CONSTANT(this->count, mean_row, this, number * this->other_class, z, y, row)
      continue;
    }
    sum_rows(this, number * this->other_class, z, y, sums);
    sums[-1] = sums[0];
    WITH_CONSTANT(this->count, mean_row_aside, this, sums, row)
  }
}

/* Whether all classes of an array lie within its elements. */
static int classes_fit(const lrs_layout *layout, int32_t classes, int64_t stride, uint64_t elements) {
  lrs_layout last = *layout;
  if (stride < 0 || elements > LRS_MOST || (uint64_t)stride > elements || !lrs_layout_fits(layout, elements)) return 0;
  if (classes > 1 && (uint64_t)stride > elements / (uint64_t)(classes - 1)) return 0;
  last.first += (classes - 1) * stride;
  return lrs_layout_fits(&last, elements);
}

int32_t lrs_blend_start(int16_t *first, size_t first_bytes, const lrs_layout *first_layout, int64_t first_class,
                        const int16_t *second, size_t second_bytes, const lrs_layout *second_layout,
                        int64_t second_class, int32_t classes, int32_t aside, int32_t count, int32_t threads,
                        lrs_job **job) {
  if (!job) return LRS_BAD_ARGUMENT;
  *job = NULL;
  if (!first || !second || !first_layout || !second_layout || classes < 1 || threads < 1) return LRS_BAD_ARGUMENT;
  if ((uintptr_t)first % sizeof(int16_t) || (uintptr_t)second % sizeof(int16_t)) return LRS_BAD_ARGUMENT;
  if (!lrs_voxels(first_layout->shape) || !lrs_voxels(second_layout->shape)) return LRS_BAD_ARGUMENT;
  if (!classes_fit(first_layout, classes, first_class, first_bytes / sizeof(int16_t))) return LRS_BAD_ARGUMENT;
  if (!classes_fit(second_layout, classes, second_class, second_bytes / sizeof(int16_t))) return LRS_BAD_ARGUMENT;
  const int64_t before = (int64_t)second_layout->shape[0] - first_layout->shape[0];
  if (count < 1 || count > LRS_MAX_PASSES || aside < 0 || aside > 1 || before < 0 || before > aside ||
      first_layout->shape[1] != second_layout->shape[1] ||
      first_layout->shape[2] != second_layout->shape[2]) {
    return LRS_BAD_ARGUMENT;
  }
  blend *this = (blend *)malloc(sizeof *this);
  if (!this) return LRS_NO_MEMORY;
  const blend all = {first, second, *first_layout, *second_layout, first_class, second_class,
                     aside,  (int32_t)before, count};
  *this = all;
  const lrs_phase phase = {blend_slice, (int64_t)classes * first_layout->shape[0], 1.0};
  const size_t scratch = ((size_t)first_layout->shape[2] + 1) * sizeof(int16_t);
  return lrs_job_start(&phase, 1, this, free, threads, scratch, 0, job);
}
