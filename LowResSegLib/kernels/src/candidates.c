/* A reduction of logits: its arguments, its phases and what it holds. */
#include "candidates.h"

#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "instruction_sets.h"
#include "job.h"
#include "reconstruct.h"

enum { LAYERS = 16 }; /* slices of an item */

static void release(void *context) {
  lrs_candidates *this = (lrs_candidates *)context;
  for (int32_t z = 0; this->left && z < this->used[0]; z++) free(this->left[z].counts);
  free(this->left);
  free(this->begins);
  free(this->firsts);
  free(this);
}

int32_t lrs_reduce_start(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                         const int32_t used[3], uint8_t *winners, size_t winners_bytes, uint8_t *mixed,
                         size_t mixed_bytes, uint8_t *lists, size_t lists_bytes, uint16_t *below, size_t below_bytes,
                         int64_t *sizes, int32_t instruction_set, int32_t threads, lrs_job **job) {
  if (!job) return LRS_BAD_ARGUMENT;
  *job = NULL;
  if (!logits || !grid || !used || !winners || !mixed || !lists || !below || !sizes || threads < 1 || classes < 1 ||
      classes > LRS_MAX_CLASSES || (uintptr_t)logits % sizeof(int16_t) || (uintptr_t)sizes % sizeof(int64_t) ||
      (below_bytes && (uintptr_t)below % sizeof(uint16_t))) { /* nothing is wherever it is */
    return LRS_BAD_ARGUMENT;
  }
  const uint64_t plane = lrs_voxels(grid), voxels = lrs_voxels(used);
  const uint64_t numbers[3] = {plane, (uint64_t)classes, sizeof(int16_t)};
  for (int32_t a = 0; a < 3; a++) {
    if (used[a] > grid[a]) return LRS_BAD_ARGUMENT;
  }
  if (!voxels || lrs_product(numbers, 3) != logits_bytes || logits_bytes >= LRS_MOST || winners_bytes != voxels ||
      mixed_bytes != voxels || lists_bytes >= LRS_MOST || below_bytes >= LRS_MOST ||
      (int64_t)used[1] * used[2] > INT32_MAX) {
    return LRS_BAD_ARGUMENT;
  }
  const lrs_kernels *kernels = lrs_kernels_of(instruction_set);
  if (!kernels) return LRS_BAD_ARGUMENT;
  lrs_candidates *this = (lrs_candidates *)calloc(1, sizeof *this);
  if (!this) return LRS_NO_MEMORY;
  this->logits = logits;
  this->plane = (int64_t)plane;
  this->steps[0] = (int64_t)grid[1] * grid[2];
  this->steps[1] = grid[2];
  this->classes = classes;
  this->groups = (classes + LRS_GROUP - 1) / LRS_GROUP;
  this->bytes = (classes + 7) / 8;
  memcpy(this->used, used, sizeof this->used);
  this->next = used[2] > 1;
  this->winners = winners;
  this->mixed = mixed;
  this->lists = lists;
  this->below = below;
  this->lists_room = (int64_t)lists_bytes;
  this->below_room = (int64_t)(below_bytes / sizeof *below);
  this->sizes = sizes;
  sizes[0] = sizes[1] = 0;
  const size_t slices = (size_t)used[0], runs = (size_t)classes * slices;
  this->left = (lrs_left *)calloc(slices, sizeof *this->left);
  this->begins = (int64_t *)malloc(runs * sizeof *this->begins);
  this->firsts = (int64_t *)malloc(slices * sizeof *this->firsts);
  if (!this->left || !this->begins || !this->firsts) {
    release(this);
    return LRS_NO_MEMORY;
  }
  if (threads > LRS_MAX_THREADS) threads = LRS_MAX_THREADS;
  const int32_t share = (used[0] + threads - 1) / threads; /* so that every thread has something to do */
  this->item = share < LAYERS ? share : LAYERS;
  const lrs_phase phases[] = {{kernels->find_lists, (used[0] + this->item - 1) / this->item, 1.0},
                              {lrs_place_slices, 1, 0.0},
                              {lrs_copy_slice, used[0], 0.02}};
  const size_t slice = (size_t)used[1] * (size_t)used[2], scratch = lrs_gather_scratch(this) + 2 * slice;
  return lrs_job_start(phases, 3, this, release, threads, lrs_marks_bytes(this) + scratch + (size_t)used[2],
                       (runs + 4 * slices) * sizeof(int64_t), job);
}
