#include <string.h>

#include "bounds.h"
#include "job.h"
#include "platform.h"
#include "resample.h"

/* Beside the compiler's options, which gcc needs: it knows neither. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

enum { ROW = 2048, HIGHEST = 127, MOST_VOXELS = 1 << 18 };

typedef struct levelling {
  const unsigned char *source; /* voxel (0, 0, 0) */
  int64_t element;             /* bytes */
  uint8_t *levels;
  int32_t size[3]; /* axes are sorted, the one whose source neighbours lie closest last */
  int64_t from[3], to[3];
  int32_t rows; /* lines of an item */
  lrs_loader load;
  int clips;
  float least, most, low, scale;
} levelling;

/* Levels of some float32 values. 2^23 and a number from 0 to 127 add up to a float whose last bits are that number,
 * rounded half to even, as numpy's rint does. */
static void level_row(const levelling *job, const float *values, int32_t count, uint8_t *row) {
  const float least = job->least, most = job->most, low = job->low, scale = job->scale;
  uint32_t bits[ROW];
  if (job->clips) {
    float clipped[ROW];
    for (int32_t i = 0; i < count; i++) {
      const float value = values[i] < least ? least : values[i];
      clipped[i] = value > most ? most : value;
    }
    for (int32_t i = 0; i < count; i++) {
      float level = (clipped[i] - low) * scale;
      level = level > 0.0f ? level : 0.0f;
      level = level < (float)HIGHEST ? level : (float)HIGHEST;
      level += 8388608.0f;
      memcpy(&bits[i], &level, sizeof(level));
    }
  } else {
    for (int32_t i = 0; i < count; i++) {
      float level = (values[i] - low) * scale;
      level = level > 0.0f ? level : 0.0f;
      level = level < (float)HIGHEST ? level : (float)HIGHEST;
      level += 8388608.0f;
      memcpy(&bits[i], &level, sizeof(level));
    }
  }
  for (int32_t i = 0; i < count; i++) row[i] = (uint8_t)(bits[i] & HIGHEST);
}

static void level_lines(void *context, int32_t phase, int64_t item, void *scratch) {
  const levelling *job = (const levelling *)context;
  float *values = (float *)scratch;
  uint8_t row[ROW];
  const int64_t lines = (int64_t)job->size[0] * job->size[1], begin = item * job->rows;
  const int64_t end = begin + job->rows < lines ? begin + job->rows : lines;
  (void)phase;
  for (int64_t line = begin; line < end; line++) {
    const int64_t i = line / job->size[1], j = line % job->size[1];
    for (int32_t x = 0; x < job->size[2]; x += ROW) {
      const int32_t sizes[3] = {1, 1, job->size[2] - x < ROW ? job->size[2] - x : ROW};
      const int64_t steps[3] = {0, 0, 1};
      const int64_t place = i * job->from[0] + j * job->from[1] + x * job->from[2];
      uint8_t *to = job->levels + i * job->to[0] + j * job->to[1] + x * job->to[2];
      job->load(job->source + place * job->element, job->from, sizes, values, steps);
      if (job->to[2] == 1) {
        level_row(job, values, sizes[2], to);
      } else {
        level_row(job, values, sizes[2], row);
        for (int32_t k = 0; k < sizes[2]; k++) to[k * job->to[2]] = row[k];
      }
    }
  }
}

static void release(void *context) { free(context); }

int32_t lrs_levels_start(const void *source, size_t source_bytes, int32_t type, const lrs_layout *layout,
                         const float *clip, float low, float scale, uint8_t *levels, size_t levels_bytes,
                         const lrs_layout *levels_layout, int32_t threads, lrs_job **started) {
  static const int64_t elements[LRS_TYPES] = {1, 1, 2, 2, 4, 4, 4, 8};
  if (!started) return LRS_BAD_ARGUMENT;
  *started = NULL;
  if (!source || !layout || !levels || !levels_layout || threads < 1 || type < 0 || type >= LRS_TYPES ||
      (uintptr_t)source % (size_t)elements[type] || source_bytes % (size_t)elements[type] || !lrs_voxels(layout->shape) ||
      !lrs_layout_fits(layout, source_bytes / (size_t)elements[type]) || !lrs_layout_fits(levels_layout, levels_bytes) ||
      !lrs_layout_is_distinct(levels_layout)) {
    return LRS_BAD_ARGUMENT;
  }
  for (int32_t a = 0; a < 3; a++) {
    if (layout->shape[a] != levels_layout->shape[a]) return LRS_BAD_ARGUMENT;
  }
  levelling *job = (levelling *)calloc(1, sizeof(levelling));
  if (!job) return LRS_NO_MEMORY;
  int32_t order[3] = {0, 1, 2};
  int64_t distance[3];
  for (int32_t a = 0; a < 3; a++) {
    const int64_t stride = layout->strides[a];
    distance[a] = layout->shape[a] == 1 ? INT64_MAX : stride < 0 ? -stride : stride;
    for (int32_t b = a; b > 0 && distance[order[b - 1]] < distance[order[b]]; b--) {
      const int32_t axis = order[b];
      order[b] = order[b - 1];
      order[b - 1] = axis;
    }
  }
  job->element = elements[type];
  job->source = (const unsigned char *)source + layout->first * job->element;
  job->levels = levels + levels_layout->first;
  for (int32_t i = 0; i < 3; i++) {
    const int32_t a = order[i];
    job->size[i] = layout->shape[a];
    job->from[i] = layout->shape[a] == 1 ? 0 : layout->strides[a];
    job->to[i] = layout->shape[a] == 1 ? 0 : levels_layout->strides[a];
  }
  job->load = lrs_loaders[type];
  job->clips = clip != NULL;
  job->least = clip ? clip[0] : 0.0f;
  job->most = clip ? clip[1] : 0.0f;
  job->low = low;
  job->scale = scale;
  job->rows = job->size[2] < MOST_VOXELS ? MOST_VOXELS / job->size[2] : 1;
  const int64_t lines = (int64_t)job->size[0] * job->size[1];
  const lrs_phase phase = {level_lines, (lines + job->rows - 1) / job->rows, (double)lines * job->size[2]};
  return lrs_job_start(&phase, 1, job, release, threads, ROW * sizeof(float), 0, started);
}
