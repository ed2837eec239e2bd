/* Gathers what is left of logits: of each voxel that is mixed its list, and how far the listed classes are below its
 * winner. A slice is gathered as soon as its lists are known, while its logits are at hand, into memory of its own; how
 * much that is of all slices tells where each of them goes. */
#include <stdlib.h>
#include <string.h>

#include "candidates.h"
#include "lowresseg.h"
#include "platform.h"
#include "reconstruct.h"
#include "reduced.h"

enum { STRIP = 64 }; /* voxels at a time */

static uint16_t *numbers_of(const lrs_candidates *this, const lrs_left *left) {
  return (uint16_t *)(void *)(left->counts + this->classes);
}

static uint8_t *lists_of(const lrs_candidates *this, const lrs_left *left) {
  return (uint8_t *)(void *)(numbers_of(this, left) + left->listed);
}

/* What can win around some voxels from `first` on, of all groups together: the marks of the cells on both sides of each
 * along x; 0 behind the last of these voxels. */
static inline void join_marks(const lrs_candidates *this, const uint16_t *marks, int64_t first, int32_t count,
                              uint16_t any[STRIP]) {
  const int64_t slice = (int64_t)this->used[1] * this->used[2];
  memset(any, 0, STRIP * sizeof *any);
  for (int32_t g = 0; g < this->groups; g++) {
    const uint16_t *mark = marks + g * slice + first, *before = mark - this->next;
    for (int32_t k = 0; k < count; k++) any[k] |= (uint16_t)(mark[k] | before[k]);
  }
}

/* Finds the mixed voxels of a slice and their `places`; returns how many there are. */
static int64_t find_mixed(const lrs_candidates *this, const uint16_t *marks, int32_t z, int32_t *places) {
  const int64_t slice = (int64_t)this->used[1] * this->used[2];
  uint8_t *mixed = this->mixed + z * slice;
  uint16_t any[STRIP];
  int64_t columns = 0;
  for (int64_t first = 0; first < slice; first += STRIP) {
    const int32_t count = (int32_t)(slice - first < STRIP ? slice - first : STRIP);
    join_marks(this, marks, first, count, any);
    for (int32_t k = 0; k < count; k++) mixed[first + k] = any[k] != 0;
    for (int32_t k = 0; k < count; k += 4) {
      uint64_t four;
      memcpy(&four, any + k, sizeof four);
      if (!four) continue;
      for (int32_t i = k; i < k + 4; i++) { /* without a branch, which would be hard to foresee */
        places[columns] = (int32_t)(first + i);
        columns += any[i] != 0;
      }
    }
  }
  return columns;
}

/* The lists of the mixed voxels, group by group, each with room for a slice; and in how many of them each class is. */
static void find_lists(const lrs_candidates *this, const uint16_t *marks, int32_t z, const int32_t *places,
                       int64_t columns, uint16_t *lists, int32_t *counts) {
  const int64_t slice = (int64_t)this->used[1] * this->used[2];
  const uint8_t *winners = this->winners + z * slice;
  for (int32_t g = 0; g < this->groups; g++, lists += slice, marks += slice) {
    const uint16_t *before = marks - this->next;
    for (int64_t k = 0; k < columns; k++) {
      const int32_t i = places[k], winner = winners[i];
      const uint32_t own = (uint32_t)(winner / LRS_GROUP == g) << winner % LRS_GROUP;
      lists[k] = (uint16_t)((marks[i] | before[i]) & ~own);
    }
    for (int32_t c = 0; c < LRS_GROUP && g * LRS_GROUP + c < this->classes; c++) {
      int32_t count = 0;
      for (int64_t first = 0; first < columns; first += INT16_MAX) {
        const int64_t end = columns - first < INT16_MAX ? columns : first + INT16_MAX;
        uint16_t sum = 0; /* so that many fit a vector */
        for (int64_t k = first; k < end; k++) sum = (uint16_t)(sum + (lists[k] >> c & 1));
        count += sum;
      }
      counts[g * LRS_GROUP + c] = count;
    }
  }
}

/* Writes the lists and the numbers of the mixed voxels into the slice's own memory. */
static void write_left(const lrs_candidates *this, const lrs_left *left, int32_t z, const int32_t *places,
                       const uint16_t *lists) {
  const int64_t slice = (int64_t)this->used[1] * this->used[2];
  const uint8_t *winners = this->winners + z * slice;
  const int16_t *logits = this->logits + z * this->steps[0];
  const int whole = this->steps[1] == this->used[2]; /* rows without gaps */
  uint16_t *at[LRS_MAX_CLASSES], *numbers = numbers_of(this, left);
  uint8_t *own = lists_of(this, left);
  for (int32_t b = 0; b < this->bytes; b++, own += left->columns) {
    const uint16_t *from = lists + b / 2 * slice;
    for (int64_t k = 0; k < left->columns; k++) own[k] = (uint8_t)(from[k] >> b % 2 * 8);
  }
  for (int32_t c = 0; c < this->classes; c++) {
    at[c] = numbers;
    numbers += left->counts[c];
  }
  for (int64_t column = 0; column < left->columns; column++) {
    const int32_t i = places[column];
    const int16_t *voxel = logits + (whole ? i : i / this->used[2] * this->steps[1] + i % this->used[2]);
    const int32_t best = voxel[winners[i] * this->plane];
    for (int32_t g = 0; g < this->groups; g++) {
      for (uint32_t list = lists[g * slice + column]; list; list &= list - 1) {
        const int32_t c = g * LRS_GROUP + lrs_lowest_bit(list);
        *at[c]++ = (uint16_t)(best - voxel[c * this->plane]);
      }
    }
  }
}

void lrs_gather_slice(const lrs_candidates *this, uint16_t *marks, int32_t z, void *scratch) {
  const size_t slice = (size_t)this->used[1] * (size_t)this->used[2];
  int32_t counts[LRS_MAX_CLASSES], *places = (int32_t *)scratch;
  uint16_t *lists = (uint16_t *)(void *)(places + slice + LRS_PLACES_BEHIND);
  lrs_left *left = &this->left[z];
  left->columns = find_mixed(this, marks, z, places);
  find_lists(this, marks, z, places, left->columns, lists, counts);
  memset(marks, 0, slice * (size_t)this->groups * sizeof *marks);
  left->listed = 0;
  for (int32_t c = 0; c < this->classes; c++) left->listed += counts[c];
  left->counts = (int32_t *)malloc((size_t)this->classes * sizeof(int32_t) + (size_t)left->listed * sizeof(uint16_t) +
                                   (size_t)left->columns * (size_t)this->bytes);
  if (!left->counts) return;
  memcpy(left->counts, counts, (size_t)this->classes * sizeof(int32_t));
  write_left(this, left, z, places, lists);
}

void lrs_place_slices(void *candidates, int32_t phase, int64_t item, void *scratch) {
  lrs_candidates *this = (lrs_candidates *)candidates;
  int64_t columns = 0, listed = 0;
  (void)phase;
  (void)item;
  (void)scratch;
  for (int32_t z = 0; z < this->used[0]; z++) {
    if (!this->left[z].counts) {
      lrs_atomic_set(&this->sizes[0], -1);
      lrs_atomic_set(&this->sizes[1], -1);
      return;
    }
    this->firsts[z] = columns;
    columns += this->left[z].columns;
  }
  for (int32_t c = 0; c < this->classes; c++) {
    for (int32_t z = 0; z < this->used[0]; z++) {
      this->begins[(int64_t)c * this->used[0] + z] = listed;
      listed += this->left[z].counts[c];
    }
  }
  lrs_atomic_set(&this->sizes[0], columns);
  lrs_atomic_set(&this->sizes[1], listed);
}

void lrs_copy_slice(void *candidates, int32_t phase, int64_t z, void *scratch) {
  const lrs_candidates *this = (const lrs_candidates *)candidates;
  const lrs_left *left = &this->left[z];
  const int64_t columns = lrs_atomic_get(&this->sizes[0]), listed = lrs_atomic_get(&this->sizes[1]);
  (void)phase;
  (void)scratch;
  if (columns < 0 || columns * this->bytes > this->lists_room || listed > this->below_room) return;
  const uint16_t *numbers = numbers_of(this, left);
  const uint8_t *lists = lists_of(this, left);
  for (int32_t c = 0; c < this->classes; c++) {
    const size_t count = (size_t)left->counts[c];
    if (count) memcpy(this->below + this->begins[(int64_t)c * this->used[0] + z], numbers, count * sizeof *numbers);
    numbers += count;
  }
  for (int32_t b = 0; b < this->bytes && left->columns; b++, lists += left->columns) {
    memcpy(this->lists + b * columns + this->firsts[z], lists, (size_t)left->columns);
  }
}
