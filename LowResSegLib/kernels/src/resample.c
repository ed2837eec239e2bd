#include "resample.h"

#include <string.h>

#include "job.h"
#include "bounds.h"
#include "platform.h"

enum {
  GROUP = 8,         /* results of a tile along z and y, where memory allows, */
  LONG_GROUP = 32,   /* or so many where that makes source values side by side that are read at once */
  BUDGET = 1 << 17,  /* floats of a tile's sums, and of a block, unless the least tile needs more */
  LEAST_WIDTH = 64,  /* results along x below which a tile is rather made smaller along the other axes */
  LINE = 16          /* floats of a cache line */
};

static const uint8_t ELEMENTS[LRS_TYPES] = {1, 1, 2, 2, 4, 4, 4, 8};

static void release(void *context) {
  lrs_resampling *job = (lrs_resampling *)context;
  for (int32_t a = 0; a < 3; a++) {
    free(job->axes[a].index);
    free(job->axes[a].weight);
    free(job->axes[a].start);
    free(job->axes[a].count);
  }
  free(job);
}

/* Copies the taps, then checks the copy, which nobody else can change. */
static int32_t copy_axis(lrs_axis *axis, const lrs_taps *taps, int32_t source) {
  if (taps->size < 1 || taps->taps < 1 || !taps->index || !taps->weight) return LRS_BAD_ARGUMENT;
  const uint64_t numbers = (uint64_t)taps->size * (uint64_t)taps->taps;
  if (numbers > SIZE_MAX / 4 || taps->index_bytes != numbers * 4 || taps->weight_bytes != numbers * 4) {
    return LRS_BAD_ARGUMENT;
  }
  axis->source = source;
  axis->size = taps->size;
  axis->taps = taps->taps;
  axis->index = (int32_t *)malloc(taps->index_bytes);
  axis->weight = (float *)malloc(taps->weight_bytes);
  axis->start = (int32_t *)malloc((size_t)taps->size * sizeof(int32_t));
  axis->count = (int32_t *)malloc((size_t)taps->size * sizeof(int32_t));
  if (!axis->index || !axis->weight || !axis->start || !axis->count) return LRS_NO_MEMORY;
  memcpy(axis->index, taps->index, taps->index_bytes);
  memcpy(axis->weight, taps->weight, taps->weight_bytes);
  const int32_t *index = axis->index;
  for (int32_t i = 0; i < axis->size; i++) {
    for (int32_t tap = 0; tap < axis->taps; tap++, index++) {
      if (*index < 0 || *index >= source || (tap && *index < index[-1])) return LRS_BAD_ARGUMENT;
    }
  }
  return LRS_DONE;
}

/* Puts so many results into a group. */
static void divide(lrs_axis *axis, int32_t group) {
  const int32_t *index = axis->index;
  axis->group = group < axis->size ? group : axis->size;
  axis->groups = 0;
  axis->span = 1;
  for (int32_t begin = 0; begin < axis->size; axis->groups++) {
    const int32_t results = axis->size - begin < axis->group ? axis->size - begin : axis->group;
    int32_t least = *index, most = *index;
    for (int64_t i = 0; i < (int64_t)results * axis->taps; i++, index++) {
      if (*index < least) least = *index;
      if (*index > most) most = *index;
    }
    axis->start[axis->groups] = least;
    axis->count[axis->groups] = most - least + 1;
    if (axis->span < most - least + 1) axis->span = most - least + 1;
    begin += results;
  }
}

/* Floats of a row. Their number of cache lines is odd, so that rows do not fall onto each other in the cache. */
static size_t padded(int32_t values) { return ((size_t)(values + LINE - 1) / LINE | 1) * LINE; }

/* Chooses tiles and blocks that stay in the cache, where that is possible. */
static void choose_tiles(lrs_resampling *job) {
  lrs_axis *z = &job->axes[0], *y = &job->axes[1], *x = &job->axes[2];
  const int32_t fastest = job->order[2];
  divide(z, fastest == 0 ? LONG_GROUP : GROUP);
  divide(y, fastest == 1 ? LONG_GROUP : GROUP);
  divide(x, x->size);
  for (;;) {
    job->row = padded(x->span);
    const uint64_t sums[3] = {(uint64_t)z->group, (uint64_t)y->span, job->row};
    if (lrs_product(sums, 3) <= BUDGET) break;
    if (x->group > LEAST_WIDTH) {
      divide(x, (x->group + 1) / 2);
    } else if (z->group > (fastest == 0 ? GROUP : 1)) {
      divide(z, z->group / 2);
    } else if (y->group > 1) {
      divide(y, y->group / 2);
    } else if (z->group > 1) {
      divide(z, z->group / 2);
    } else if (x->group > 1) {
      divide(x, x->group / 2);
    } else {
      break;
    }
  }
  /* Where neighbours along x lie side by side, one row after the other is the best order. */
  job->block_y = fastest == 2 ? 1 : y->span;
  job->block_z = z->span;
  for (;;) {
    const uint64_t block[3] = {(uint64_t)job->block_z, (uint64_t)job->block_y, job->row};
    if (lrs_product(block, 3) <= BUDGET) break;
    int32_t *one = fastest == 1 ? &job->block_z : &job->block_y, *other = fastest == 1 ? &job->block_y : &job->block_z;
    if (*one > 1) {
      *one /= 2;
    } else if (*other > 1) {
      *other /= 2;
    } else {
      break;
    }
  }
}

/* The source's voxel (0, 0, 0), strides and order. Where x runs backwards, its taps are turned instead. */
static void lay_out(lrs_resampling *job, const void *source, const lrs_layout *layout) {
  int64_t distance[3], first = layout->first;
  for (int32_t a = 0; a < 3; a++) {
    const int64_t stride = layout->strides[a];
    job->strides[a] = layout->shape[a] > 1 ? stride : 0;
    distance[a] = layout->shape[a] == 1 ? INT64_MAX : stride < 0 ? -stride : stride;
    job->order[a] = a;
  }
  for (int32_t a = 1; a < 3; a++) { /* sorts; of equals, the later axis stays the faster one */
    for (int32_t b = a; b > 0 && distance[job->order[b - 1]] < distance[job->order[b]]; b--) {
      const int32_t axis = job->order[b];
      job->order[b] = job->order[b - 1];
      job->order[b - 1] = axis;
    }
  }
  if (job->strides[2] < 0) {
    lrs_axis *x = &job->axes[2];
    const int64_t numbers = (int64_t)x->size * x->taps;
    first += job->strides[2] * (x->source - 1);
    job->strides[2] = -job->strides[2];
    for (int64_t i = 0; i < numbers; i++) x->index[i] = x->source - 1 - x->index[i];
  }
  job->source = (const unsigned char *)source + first * job->element;
}

static void work(void *context, int32_t phase, int64_t item, void *scratch) {
  const lrs_resampling *job = (const lrs_resampling *)context;
  const int32_t z = (int32_t)(item / job->axes[1].groups), y = (int32_t)(item % job->axes[1].groups);
  (void)phase;
  for (int32_t x = 0; x < job->axes[2].groups; x++) lrs_resample_tile(job, z, y, x, (float *)scratch);
}

int32_t lrs_resample_start(const void *source, size_t source_bytes, int32_t type, const lrs_layout *layout,
                           const lrs_taps taps[3], const float *clip, float *result, size_t result_bytes,
                           int32_t threads, lrs_job **started) {
  if (!started) return LRS_BAD_ARGUMENT;
  *started = NULL;
  if (!source || !layout || !taps || !result || threads < 1 || type < 0 || type >= LRS_TYPES) return LRS_BAD_ARGUMENT;
  const size_t element = ELEMENTS[type];
  if ((uintptr_t)source % element || (uintptr_t)result % sizeof(float)) return LRS_BAD_ARGUMENT;
  if (!lrs_layout_fits(layout, source_bytes / element) || (clip && !(clip[0] <= clip[1]))) return LRS_BAD_ARGUMENT;
  const int32_t sizes[3] = {taps[0].size, taps[1].size, taps[2].size};
  const uint64_t results = lrs_voxels(sizes);
  if (!results || results > SIZE_MAX / 4 || result_bytes != results * 4) return LRS_BAD_ARGUMENT;
  lrs_resampling *job = (lrs_resampling *)calloc(1, sizeof(lrs_resampling));
  if (!job) return LRS_NO_MEMORY;
  for (int32_t a = 0; a < 3; a++) {
    const int32_t status = copy_axis(&job->axes[a], &taps[a], layout->shape[a]);
    if (status == LRS_DONE) continue;
    release(job);
    return status;
  }
  job->element = (int64_t)element;
  job->load = lrs_loaders[type];
  job->clips = clip != NULL;
  job->least = clip ? clip[0] : 0;
  job->most = clip ? clip[1] : 0;
  job->result = result;
  lay_out(job, source, layout);
  choose_tiles(job);
  const uint64_t floats = lrs_tile_floats(job);
  if (floats > SIZE_MAX / (4 * LRS_MAX_THREADS)) {
    release(job);
    return LRS_NO_MEMORY;
  }
  const lrs_phase phase = {work, (int64_t)job->axes[0].groups * job->axes[1].groups, 1.0};
  return lrs_job_start(&phase, 1, job, release, threads, (size_t)floats * sizeof(float), 0, started);
}
