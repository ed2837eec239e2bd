/* Gathers what is left of logits: of each voxel that is mixed its list, and how far the listed classes are below its
 * winner. The latter is class by class, of each the voxels in whose list it is, in order; so where a slice's part of it
 * begins is known from how many voxels of each slice list each class. */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "job.h"
#include "reconstruct.h"
#include "reduced.h"

typedef struct gathering {
  const int16_t *logits;
  int64_t plane;    /* from a class to the next one, */
  int64_t steps[2]; /* a slice to the next one, and a row */
  int32_t classes, bytes, slices, width;
  int64_t slice, voxels, columns;
  const uint8_t *winners, *mixed, *lists;
  uint8_t *chosen;
  uint16_t *below;
  int64_t *begins; /* of class c in slice z at c * slices + z, in `below`; the end of one is where the next begins */
  int64_t *firsts; /* of each slice its first column of `chosen`, and the end */
} gathering;

static void release(void *context) {
  gathering *this = (gathering *)context;
  free(this->begins);
  free(this->firsts);
  free(this);
}

/* The list and the numbers of a voxel with a winner; `lists` has its list, and `at` says where each class goes on. */
static inline void gather_voxel(const gathering *this, const int16_t *logits, uint8_t winner, const uint8_t *lists,
                                int64_t column, int32_t z, int64_t *at) {
  const int32_t best = logits[winner * this->plane];
  for (int32_t b = 0; b < this->bytes; b++) {
    uint32_t list = lists[b * this->voxels];
    this->chosen[b * this->columns + column] = (uint8_t)list;
    for (; list; list &= list - 1) {
      const int32_t c = 8 * b + lrs_lowest_bit(list);
      /* Counts that are not the lists' own leave numbers out. */
      if (c >= this->classes || at[c] >= this->begins[(int64_t)c * this->slices + z + 1]) continue;
      this->below[at[c]++] = (uint16_t)(best - logits[c * this->plane]);
    }
  }
}

static void gather_slice(void *context, int32_t phase, int64_t item, void *scratch) {
  const gathering *this = (const gathering *)context;
  const int32_t z = (int32_t)item;
  const int64_t first = z * this->slice;
  int64_t at[LRS_MAX_CLASSES], column = this->firsts[z];
  (void)phase;
  (void)scratch;
  for (int32_t c = 0; c < this->classes; c++) at[c] = this->begins[(int64_t)c * this->slices + z];
  for (int64_t i = lrs_skip_zeros(this->mixed + first, 0, this->slice); i < this->slice && column < this->firsts[z + 1];
       i = lrs_skip_zeros(this->mixed + first, i + 1, this->slice)) {
    const uint8_t *lists = this->lists + first + (column - this->firsts[z]), winner = this->winners[first + i];
    const int16_t *logits = this->logits + z * this->steps[0] + i / this->width * this->steps[1] + i % this->width;
    if (winner < this->classes) gather_voxel(this, logits, winner, lists, column, z, at);
    column++;
  }
}

/* Sums up the counts, (slices, classes + 1); whether they are those of arrays of these lengths. */
static int place(gathering *this, const int64_t *counts, uint64_t columns, uint64_t listed) {
  const int64_t stride = (int64_t)this->classes + 1;
  uint64_t total = 0;
  for (int32_t c = 0; c <= this->classes; c++) {
    const int last = c == this->classes; /* mixed voxels */
    int64_t *begins = last ? this->firsts : this->begins + (int64_t)c * this->slices;
    if (last) {
      if (total != listed) return 0;
      total = 0;
    }
    for (int32_t z = 0; z < this->slices; z++) {
      const int64_t count = counts[z * stride + c];
      if (count < 0 || count > this->slice) return 0;
      begins[z] = (int64_t)total;
      total += (uint64_t)count;
      begins[z + 1] = (int64_t)total;
    }
  }
  return total == columns;
}

int32_t lrs_gather_start(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                         const int32_t used[3], const uint8_t *winners, size_t winners_bytes, const uint8_t *mixed,
                         size_t mixed_bytes, const uint8_t *lists, size_t lists_bytes, const int64_t *counts,
                         size_t counts_bytes, uint8_t *chosen, size_t chosen_bytes, uint16_t *below,
                         size_t below_bytes, int32_t threads, lrs_job **job) {
  if (!job) return LRS_BAD_ARGUMENT;
  *job = NULL;
  if (!logits || !grid || !used || !winners || !mixed || !lists || !counts || !chosen || !below || threads < 1 ||
      classes < 1 || classes > LRS_MAX_CLASSES || (uintptr_t)logits % sizeof(int16_t) ||
      (uintptr_t)counts % sizeof(int64_t) || (uintptr_t)below % sizeof(uint16_t)) {
    return LRS_BAD_ARGUMENT;
  }
  const uint64_t bytes = ((uint64_t)classes + 7) / 8;
  if (!lrs_fits_reduction(logits_bytes, classes, grid, used, winners_bytes, mixed_bytes, lists_bytes, counts_bytes) ||
      chosen_bytes % bytes) {
    return LRS_BAD_ARGUMENT;
  }
  gathering *this = (gathering *)calloc(1, sizeof *this);
  if (!this) return LRS_NO_MEMORY;
  this->logits = logits;
  this->plane = (int64_t)lrs_voxels(grid);
  this->steps[0] = (int64_t)grid[1] * grid[2];
  this->steps[1] = grid[2];
  this->classes = classes;
  this->bytes = (int32_t)bytes;
  this->slices = used[0];
  this->width = used[2];
  this->slice = (int64_t)used[1] * used[2];
  this->voxels = (int64_t)lrs_voxels(used);
  this->columns = (int64_t)(chosen_bytes / bytes);
  this->winners = winners;
  this->mixed = mixed;
  this->lists = lists;
  this->chosen = chosen;
  this->below = below;
  const size_t runs = (size_t)classes * (size_t)used[0] + 1;
  this->begins = (int64_t *)malloc(runs * sizeof(int64_t));
  this->firsts = (int64_t *)malloc(((size_t)used[0] + 1) * sizeof(int64_t));
  if (!this->begins || !this->firsts) {
    release(this);
    return LRS_NO_MEMORY;
  }
  if (!place(this, counts, chosen_bytes / bytes, below_bytes / sizeof(uint16_t)) || below_bytes % sizeof(uint16_t)) {
    release(this);
    return LRS_BAD_ARGUMENT;
  }
  const lrs_phase phase = {gather_slice, used[0], 1.0};
  return lrs_job_start(&phase, 1, this, release, threads, 0, runs * sizeof(int64_t), job);
}
