#include "reconstruct.h"

#include <string.h>

#include "bounds.h"
#include "fuse.h"
#include "job.h"
#include "platform.h"

enum {
  MOST_VOXELS = 1 << 20, /* of an item, unless one slice has more */
  MOST_RUN = 1024        /* voxels of a run, which is cut where it is longer */
};

void lrs_release_reconstruction(void *context) {
  lrs_reconstruction *job = (lrs_reconstruction *)context;
  for (int32_t a = 0; a < 3; a++) {
    free(job->sides[a].weight);
    free(job->sides[a].runs);
  }
  lrs_release(job->grid_labels);
  free(job->fusion);
  free(job);
}

/* Copies the places along an axis, as runs of at most `most` voxels, from its end where `backwards` is set; checks
 * what it has copied, which nobody else can change. */
static int32_t copy_places(lrs_side *side, const lrs_places *places, int backwards, int32_t most) {
  const size_t size = (size_t)side->size;
  if (!places->before || !places->weight || places->before_bytes / sizeof(int32_t) != size ||
      places->before_bytes % sizeof(int32_t) || places->weight_bytes != size) {
    return LRS_BAD_ARGUMENT;
  }
  side->weight = (uint8_t *)malloc(size);
  side->runs = (lrs_run *)malloc(size * sizeof(lrs_run));
  if (!side->weight || !side->runs) return LRS_NO_MEMORY;
  lrs_run *run = NULL;
  for (int32_t i = 0; i < side->size; i++) {
    const int32_t from = backwards ? side->size - 1 - i : i, cell = places->before[from];
    side->weight[i] = places->weight[from];
    if (cell < 0 || cell >= side->grid || side->weight[i] > 1 << LRS_WEIGHT_BITS) return LRS_BAD_ARGUMENT;
    if (run && (backwards ? cell > run->cell : cell < run->cell)) return LRS_BAD_ARGUMENT;
    if (!run || cell != run->cell || run->count == most) {
      run = &side->runs[side->run_count++];
      run->cell = cell;
      run->first = i;
      run->count = 0;
    }
    run->count++;
  }
  return LRS_DONE;
}

/* Sorts the axes by their strides, the longest first; those of one voxel come before. */
static void sort_axes(const lrs_layout *layout, int32_t order[3]) {
  int64_t distance[3];
  for (int32_t a = 0; a < 3; a++) {
    const int64_t stride = layout->strides[a];
    distance[a] = layout->shape[a] == 1 ? INT64_MAX : stride < 0 ? -stride : stride;
    order[a] = a;
  }
  for (int32_t a = 1; a < 3; a++) {
    for (int32_t b = a; b > 0 && distance[order[b - 1]] < distance[order[b]]; b--) {
      const int32_t axis = order[b];
      order[b] = order[b - 1];
      order[b - 1] = axis;
    }
  }
}

/* Sets what is known of the axes without their places. Returns whether all voxels' labels are different elements. */
static int lay_out(lrs_reconstruction *job, const int32_t grid[3], const lrs_layout *layout, const int32_t order[3]) {
  const int64_t steps[3] = {(int64_t)grid[1] * grid[2], grid[2], 1};
  int64_t distance = 1, reach = 0, first = layout->first;
  int different = 1;
  for (int32_t i = 2; i >= 0; i--) {
    const int32_t a = order[i];
    lrs_side *side = &job->sides[i];
    const int64_t stride = layout->shape[a] == 1 ? 0 : layout->strides[a];
    side->grid = job->used[a];
    side->size = layout->shape[a];
    side->step = job->steps[a] = steps[a];
    side->distance = job->distances[a] = distance;
    side->stride = stride < 0 ? -stride : stride;
    distance *= side->grid;
    if (stride < 0) first += stride * (side->size - 1);
    if (side->size > 1 && side->stride <= reach) different = 0;
    reach += side->stride * (side->size - 1);
  }
  job->labels += first;
  return different;
}

static int32_t copy_axes(lrs_reconstruction *job, const lrs_places places[3], const lrs_layout *layout,
                         const int32_t order[3]) {
  const int64_t slice = (int64_t)job->sides[1].size * job->sides[2].size;
  const int64_t slices = slice < MOST_VOXELS ? MOST_VOXELS / slice : 1;
  const int32_t most[3] = {slices < MOST_RUN ? (int32_t)slices : MOST_RUN, MOST_RUN, MOST_RUN};
  for (int32_t i = 0; i < 3; i++) {
    const int32_t a = order[i];
    const int32_t status = copy_places(&job->sides[i], &places[a], layout->strides[a] < 0 && layout->shape[a] > 1,
                                       most[i]);
    if (status != LRS_DONE) return status;
  }
  return LRS_DONE;
}

static void label_slice(void *context, int32_t phase, int64_t item, void *scratch) {
  (void)phase;
  (void)scratch;
  lrs_label_slice((const lrs_reconstruction *)context, (int32_t)item);
}

static void label_layers(void *context, int32_t phase, int64_t item, void *scratch) {
  const lrs_reconstruction *job = (const lrs_reconstruction *)context;
  const int32_t begin = (int32_t)item * LRS_LAYERS, left = job->sides[0].run_count - begin;
  (void)phase;
  lrs_label_layers(job, &job->sides[0].runs[begin], left < LRS_LAYERS ? left : LRS_LAYERS, scratch);
}

int32_t lrs_prepare(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                    const int32_t used[3], const lrs_places places[3], uint8_t *labels, size_t labels_bytes,
                    const lrs_layout *layout, int32_t order[3], lrs_reconstruction **made) {
  *made = NULL;
  if (!logits || !grid || !used || !places || !labels || !layout || classes < 1 || classes > LRS_MAX_CLASSES ||
      (uintptr_t)logits % sizeof(int16_t)) {
    return LRS_BAD_ARGUMENT;
  }
  const uint64_t plane = lrs_voxels(grid), voxels = lrs_voxels(used);
  const uint64_t numbers[3] = {plane, (uint64_t)classes, sizeof(int16_t)};
  if (!voxels || lrs_product(numbers, 3) != logits_bytes || logits_bytes >= LRS_MOST) return LRS_BAD_ARGUMENT;
  for (int32_t a = 0; a < 3; a++) {
    if (used[a] > grid[a]) return LRS_BAD_ARGUMENT;
  }
  if (!lrs_layout_fits(layout, labels_bytes)) return LRS_BAD_ARGUMENT;
  lrs_reconstruction *job = (lrs_reconstruction *)calloc(1, sizeof(lrs_reconstruction));
  if (!job) return LRS_NO_MEMORY;
  job->logits = logits;
  job->plane = (int64_t)plane;
  job->classes = classes;
  job->padded = (classes + 7) / 8 * 8;
  job->labels = labels;
  memcpy(job->used, used, sizeof(job->used));
  sort_axes(layout, order);
  int32_t status = lay_out(job, grid, layout, order) ? copy_axes(job, places, layout, order) : LRS_BAD_ARGUMENT;
  if (status == LRS_DONE && !(job->grid_labels = (uint8_t *)lrs_allocate((size_t)voxels))) status = LRS_NO_MEMORY;
  if (status != LRS_DONE) {
    lrs_release_reconstruction(job);
    return status;
  }
  *made = job;
  return LRS_DONE;
}

int32_t lrs_start_reconstruction(lrs_reconstruction *job, int32_t threads, lrs_job **started) {
  const int64_t layers = ((int64_t)job->sides[0].run_count + LRS_LAYERS - 1) / LRS_LAYERS;
  const double copied = (double)job->sides[0].size * job->sides[1].size * job->sides[2].size;
  const uint64_t voxels = lrs_voxels(job->used);
  const lrs_phase phases[2] = {{label_slice, job->used[0], (double)voxels * job->classes},
                               {label_layers, layers, 4.0 * copied}};
  return lrs_job_start(phases, 2, job, lrs_release_reconstruction, threads, lrs_layers_scratch(job), voxels, started);
}

int32_t lrs_reconstruct_start(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                              const int32_t used[3], const lrs_places places[3], uint8_t *labels, size_t labels_bytes,
                              const lrs_layout *layout, int32_t threads, lrs_job **started) {
  lrs_reconstruction *job;
  int32_t order[3];
  if (!started) return LRS_BAD_ARGUMENT;
  *started = NULL;
  if (threads < 1) return LRS_BAD_ARGUMENT;
  const int32_t status =
      lrs_prepare(logits, logits_bytes, classes, grid, used, places, labels, labels_bytes, layout, order, &job);
  return status == LRS_DONE ? lrs_start_reconstruction(job, threads, started) : status;
}
