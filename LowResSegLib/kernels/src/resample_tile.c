#include <string.h>

#include "bounds.h"
#include "resample.h"

/* Beside the compiler's options, which gcc needs: it knows neither. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

/* A row of `sizes[2]` values that lie side by side is left to the compiler's vectors. */
#define LOADER(name, type)                                                                                     \
  static void name(const void *source, const int64_t strides[3], const int32_t sizes[3], float *block,         \
                   const int64_t block_strides[3]) {                                                           \
    for (int32_t i = 0; i < sizes[0]; i++) {                                                                   \
      for (int32_t j = 0; j < sizes[1]; j++) {                                                                 \
        const type *from = (const type *)source + i * strides[0] + j * strides[1];                             \
        float *to = block + i * block_strides[0] + j * block_strides[1];                                       \
        if (strides[2] == 1 && block_strides[2] == 1) {                                                        \
          for (int32_t k = 0; k < sizes[2]; k++) to[k] = (float)from[k];                                       \
        } else {                                                                                               \
          for (int32_t k = 0; k < sizes[2]; k++) to[k * block_strides[2]] = (float)from[k * strides[2]];       \
        }                                                                                                      \
      }                                                                                                        \
    }                                                                                                          \
  }

LOADER(load_int8, int8_t)
LOADER(load_uint8, uint8_t)
LOADER(load_int16, int16_t)
LOADER(load_uint16, uint16_t)
LOADER(load_int32, int32_t)
LOADER(load_uint32, uint32_t)
LOADER(load_float32, float)
LOADER(load_float64, double)

/* In the order of the interface's numbers. */
const lrs_loader lrs_loaders[LRS_TYPES] = {load_int8,  load_uint8,  load_int16,   load_uint16,
                                          load_int32, load_uint32, load_float32, load_float64};

/* What a sum begins with. It makes a difference for -0 alone. */
enum { FROM_SUM = 0, FROM_ZERO = 1, FROM_FIRST = 2 };

/* Adds one to four weighted rows in one pass; `begin` and `count` are known where this is expanded. */
static inline void add_rows(float *sum, const float *const rows[4], const float weights[4], int32_t begin,
                            int32_t count, size_t length) {
  const float *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
  const float p = weights[0], q = weights[1], r = weights[2], s = weights[3];
  for (size_t i = 0; i < length; i++) {
    float value = a[i] * p;
    if (begin == FROM_SUM) value = sum[i] + value;
    if (begin == FROM_ZERO) value = 0.0f + value;
    if (count > 1) value += b[i] * q;
    if (count > 2) value += c[i] * r;
    if (count > 3) value += d[i] * s;
    sum[i] = value;
  }
}

#define ADD_ROWS(begin)                                                              \
  switch (count) {                                                                   \
    case 1: add_rows(sum, rows, weights, begin, 1, length); break;                   \
    case 2: add_rows(sum, rows, weights, begin, 2, length); break;                   \
    case 3: add_rows(sum, rows, weights, begin, 3, length); break;                   \
    default: add_rows(sum, rows, weights, begin, 4, length); break;                  \
  }

static void add_some_rows(float *sum, const float *const rows[4], const float weights[4], int32_t begin, int32_t count,
                          size_t length) {
  if (begin == FROM_SUM) {
    ADD_ROWS(FROM_SUM)
  } else if (begin == FROM_ZERO) {
    ADD_ROWS(FROM_ZERO)
  } else {
    ADD_ROWS(FROM_FIRST)
  }
}

/* Loads source values as float32 and clips them. `place` and `sizes` are z, y, x. */
static void load_block(const lrs_resampling *job, const int32_t place[3], const int32_t sizes[3], float *block) {
  const int64_t row = (int64_t)job->row, block_strides[3] = {row * job->block_y, row, 1};
  int64_t offset = 0, from[3], to[3];
  int32_t counts[3];
  for (int32_t i = 0; i < 3; i++) {
    const int32_t a = job->order[i];
    offset += place[a] * job->strides[a];
    from[i] = job->strides[a];
    to[i] = block_strides[a];
    counts[i] = sizes[a];
  }
  job->load(job->source + offset * (int64_t)job->element, from, counts, block, to);
  if (!job->clips) return;
  const float least = job->least, most = job->most;
  for (int32_t z = 0; z < sizes[0]; z++) {
    for (int32_t y = 0; y < sizes[1]; y++) {
      float *values = block + z * block_strides[0] + y * row;
      for (int32_t x = 0; x < sizes[2]; x++) {
        const float value = values[x] < least ? least : values[x]; /* a NaN stays one */
        values[x] = value > most ? most : value;
      }
    }
  }
}

/* Adds what a block's slices, from `first` on, give to result slice `z`, for the block's rows. */
static void filter_z(const lrs_resampling *job, int32_t z, int32_t first, int32_t slices, const float *block, float *sum,
                     size_t length, int begin) {
  const lrs_axis *a = &job->axes[0];
  const int32_t *index = a->index + (size_t)z * (size_t)a->taps;
  const float *weight = a->weight + (size_t)z * (size_t)a->taps;
  const float *rows[4] = {block, block, block, block};
  float weights[4] = {0, 0, 0, 0};
  int32_t count = 0;
  for (int32_t tap = 0; tap < a->taps; tap++) {
    if (weight[tap] == 0 || index[tap] < first || index[tap] >= first + slices) continue;
    rows[count] = block + (size_t)(index[tap] - first) * (size_t)job->block_y * job->row;
    weights[count++] = weight[tap];
    if (count < 4) continue;
    add_some_rows(sum, rows, weights, begin, count, length);
    begin = FROM_SUM;
    count = 0;
  }
  if (count) {
    add_some_rows(sum, rows, weights, begin, count, length);
  } else if (begin == FROM_ZERO) {
    memset(sum, 0, length * sizeof(float));
  }
}

/* Result row `y` out of a slice's rows, the first of which is source row `first`. */
static void filter_y(const lrs_resampling *job, int32_t y, int32_t first, const float *slice, float *sum, size_t length) {
  const lrs_axis *a = &job->axes[1];
  const int32_t *index = a->index + (size_t)y * (size_t)a->taps;
  const float *weight = a->weight + (size_t)y * (size_t)a->taps;
  for (int32_t tap = 0; tap < a->taps; tap += 4) {
    const int32_t count = a->taps - tap < 4 ? a->taps - tap : 4;
    const float *rows[4] = {slice, slice, slice, slice};
    float weights[4] = {0, 0, 0, 0};
    for (int32_t i = 0; i < count; i++) {
      rows[i] = slice + (size_t)(index[tap + i] - first) * job->row;
      weights[i] = weight[tap + i];
    }
    add_some_rows(sum, rows, weights, tap ? FROM_SUM : FROM_FIRST, count, length);
  }
}

/* Filters LRS_LANES rows, turned so that they lie side by side, along x. */
static void filter_x(const lrs_resampling *job, int32_t x, int32_t first, const float *turned, float *lanes) {
  const lrs_axis *a = &job->axes[2];
  const int32_t *index = a->index + (size_t)x * (size_t)a->taps;
  const float *weight = a->weight + (size_t)x * (size_t)a->taps;
  float sum[LRS_LANES];
  for (int32_t k = 0; k < LRS_LANES; k++) sum[k] = turned[(size_t)(index[0] - first) * LRS_LANES + k] * weight[0];
  for (int32_t tap = 1; tap < a->taps; tap++) {
    const float *values = turned + (size_t)(index[tap] - first) * LRS_LANES;
    for (int32_t k = 0; k < LRS_LANES; k++) sum[k] += values[k] * weight[tap];
  }
  for (int32_t k = 0; k < LRS_LANES; k++) lanes[k] = sum[k];
}

static int32_t least_of(int32_t a, int32_t b) { return a < b ? a : b; }

typedef struct tile {
  int32_t begin[3], end[3];   /* of the results */
  int32_t start[3], count[3]; /* of the source values */
} tile;

/* The tile's source values, filtered along z: slices of `span` rows. */
static void gather(const lrs_resampling *job, const tile *t, float *block, float *sums) {
  const size_t span = (size_t)job->axes[1].span;
  for (int32_t y = 0; y < t->count[1]; y += job->block_y) {
    for (int32_t z = 0; z < t->count[0]; z += job->block_z) {
      const int32_t place[3] = {t->start[0] + z, t->start[1] + y, t->start[2]};
      const int32_t sizes[3] = {least_of(job->block_z, t->count[0] - z), least_of(job->block_y, t->count[1] - y),
                                t->count[2]};
      load_block(job, place, sizes, block);
      for (int32_t i = t->begin[0]; i < t->end[0]; i++) {
        float *sum = sums + ((size_t)(i - t->begin[0]) * span + (size_t)y) * job->row;
        for (int32_t k = 0; k < sizes[1]; k++) {
          const size_t offset = (size_t)k * job->row;
          filter_z(job, i, place[0], sizes[0], block + offset, sum + offset, (size_t)sizes[2], z ? FROM_SUM : FROM_ZERO);
        }
      }
    }
  }
}

uint64_t lrs_tile_floats(const lrs_resampling *job) {
  const uint64_t row = job->row;
  const uint64_t sums[3] = {(uint64_t)job->axes[0].group, (uint64_t)job->axes[1].span, row};
  const uint64_t block[3] = {(uint64_t)job->block_z, (uint64_t)job->block_y, row};
  const uint64_t lanes[2] = {(uint64_t)job->axes[2].group, LRS_LANES}, lines[2] = {row, 2 * LRS_LANES};
  return lrs_product(sums, 3) + lrs_product(block, 3) + lrs_product(lanes, 2) + lrs_product(lines, 2);
}

/* Filters some rows of a slice that has been filtered along z, at most LRS_LANES, along y and x. */
static void finish_rows(const lrs_resampling *job, const tile *t, int32_t z, int32_t y, const float *slice,
                        float *lines) {
  const lrs_axis *axes = job->axes;
  const size_t row = job->row;
  const int32_t height = least_of(LRS_LANES, t->end[1] - y), width = t->end[2] - t->begin[2];
  float *turned = lines + LRS_LANES * row, *lanes = turned + LRS_LANES * row;
  for (int32_t k = 0; k < LRS_LANES; k++) {
    float *line = lines + (size_t)k * row;
    if (k < height) {
      filter_y(job, y + k, t->start[1], slice, line, (size_t)t->count[2]);
    } else {
      memset(line, 0, (size_t)t->count[2] * sizeof(float));
    }
  }
  for (int32_t x = 0; x < t->count[2]; x++) {
    for (int32_t k = 0; k < LRS_LANES; k++) turned[(size_t)x * LRS_LANES + k] = lines[(size_t)k * row + x];
  }
  for (int32_t x = 0; x < width; x++) {
    filter_x(job, t->begin[2] + x, t->start[2], turned, lanes + (size_t)x * LRS_LANES);
  }
  for (int32_t k = 0; k < height; k++) {
    const size_t place = (size_t)z * (size_t)axes[1].size + (size_t)(y + k);
    float *to = job->result + place * (size_t)axes[2].size + t->begin[2];
    for (int32_t x = 0; x < width; x++) to[x] = lanes[(size_t)x * LRS_LANES + k];
  }
}

void lrs_resample_tile(const lrs_resampling *job, int32_t z_group, int32_t y_group, int32_t x_group, float *scratch) {
  const lrs_axis *axes = job->axes;
  const int32_t groups[3] = {z_group, y_group, x_group};
  const size_t span = (size_t)axes[1].span;
  float *sums = scratch, *block = sums + (size_t)axes[0].group * span * job->row;
  float *lines = block + (size_t)job->block_z * (size_t)job->block_y * job->row;
  tile t;
  for (int32_t a = 0; a < 3; a++) {
    t.begin[a] = groups[a] * axes[a].group;
    t.end[a] = t.begin[a] + least_of(axes[a].group, axes[a].size - t.begin[a]);
    t.start[a] = axes[a].start[groups[a]];
    t.count[a] = axes[a].count[groups[a]];
  }
  gather(job, &t, block, sums);
  for (int32_t z = t.begin[0]; z < t.end[0]; z++) {
    const float *slice = sums + (size_t)(z - t.begin[0]) * span * job->row;
    for (int32_t y = t.begin[1]; y < t.end[1]; y += LRS_LANES) finish_rows(job, &t, z, y, slice, lines);
  }
}
