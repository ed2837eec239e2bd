/* Logits of reduced ones. Where a slice's part of the lists and of `below` begins is counted first; what does not fit is
 * found on the way, and then nothing more is written. */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "job.h"
#include "platform.h"
#include "reconstruct.h"
#include "reduced.h"

enum { PHASES = 3, PARTS = 4 };

typedef struct restoring {
  int32_t classes, bytes, slices;
  int64_t slice, voxels, columns, listed;
  const uint8_t *winners, *mixed, *lists;
  const uint16_t *below;
  int16_t *logits;
  int64_t *begins; /* of class c in slice z at c * slices + z, in `below` */
  int64_t *firsts; /* of each slice its first column of the lists, and the end */
  volatile int64_t *faults;
} restoring;

static void release(void *context) {
  restoring *this = (restoring *)context;
  free(this->begins);
  free(this->firsts);
  free(this);
}

/* How many of some bytes, which are 0 or 1, or anything where they are damaged, are not 0. */
static int64_t count_mixed(const uint8_t *mixed, int64_t count) {
  enum { PIECE = 128 }; /* so that a sum fits a byte */
  int64_t total = 0;
  for (int64_t first = 0; first < count; first += PIECE) {
    const int64_t end = first + PIECE < count ? first + PIECE : count;
    uint8_t sum = 0;
    for (int64_t i = first; i < end; i++) sum = (uint8_t)(sum + (mixed[i] != 0));
    total += sum;
  }
  return total;
}

/* Makes of `count` numbers where each begins; whether their sum is `total`. */
static int sum_up(int64_t *numbers, int64_t count, int64_t total) {
  int64_t sum = 0;
  for (int64_t i = 0; i < count; i++) {
    const int64_t number = numbers[i];
    numbers[i] = sum;
    sum += number;
  }
  numbers[count] = sum;
  return sum == total;
}

static void place_listed(void *context, int32_t phase, int64_t item, void *scratch) {
  const restoring *this = (const restoring *)context;
  (void)phase;
  (void)item;
  (void)scratch;
  if (lrs_atomic_get(this->faults)) return;
  if (!sum_up(this->begins, (int64_t)this->classes * this->slices, this->listed)) lrs_atomic_set(this->faults, 1);
}

/* How many of some lists have a class of a byte of theirs. */
static int64_t count_class(const uint8_t *lists, int64_t count, int32_t bit) {
  enum { PIECE = 128 };
  int64_t total = 0;
  for (int64_t first = 0; first < count; first += PIECE) {
    const int64_t end = first + PIECE < count ? first + PIECE : count;
    uint8_t sum = 0;
    for (int64_t i = first; i < end; i++) sum = (uint8_t)(sum + (lists[i] >> bit & 1));
    total += sum;
  }
  return total;
}

/* Counts the classes in the lists of a slice. */
static void count_listed(void *context, int32_t phase, int64_t z, void *scratch) {
  const restoring *this = (const restoring *)context;
  const uint8_t *winners = this->winners + z * this->slice;
  const int64_t first = this->firsts[z], columns = this->firsts[z + 1] - first;
  uint8_t most = 0;
  int64_t faults = 0;
  (void)phase;
  (void)scratch;
  for (int64_t i = 0; i < this->slice; i++) most = winners[i] > most ? winners[i] : most;
  for (int32_t c = 0; c < 8 * this->bytes; c++) {
    const int64_t count = count_class(this->lists + c / 8 * this->columns + first, columns, c % 8);
    if (c < this->classes) this->begins[(int64_t)c * this->slices + z] = count;
    else faults |= count;
  }
  if (faults || most >= this->classes) lrs_atomic_set(this->faults, 1);
}

/* Writes the winners' logits, run by run. */
static void write_winners(const restoring *this, int64_t first) {
  const uint8_t *winners = this->winners + first;
  for (int64_t i = 0, end; i < this->slice; i = end) {
    const uint8_t winner = winners[i];
    const uint64_t same = winner * UINT64_C(0x0101010101010101);
    uint64_t eight = same;
    for (end = i + 1; end + 8 <= this->slice; end += 8) {
      memcpy(&eight, winners + end, sizeof eight);
      if (eight != same) break;
    }
    while (end < this->slice && winners[end] == winner) end++;
    int16_t *logits = this->logits + winner * this->voxels + first;
    for (int64_t k = i; k < end; k++) logits[k] = LRS_BEST_LOGIT;
  }
}

/* Writes a slice. Those that follow each other lie far apart: threads that touch one fresh page at a time would all have
 * the system clear it. */
static void write_slice(void *context, int32_t phase, int64_t item, void *scratch) {
  const restoring *this = (const restoring *)context;
  const int64_t z = item % PARTS * ((this->slices + PARTS - 1) / PARTS) + item / PARTS, first = z * this->slice;
  int64_t at[LRS_MAX_CLASSES], column;
  uint16_t most = 0;
  int faults = 0;
  (void)phase;
  (void)scratch;
  if (z >= this->slices || lrs_atomic_get(this->faults)) return;
  column = this->firsts[z];
  for (int32_t c = 0; c < this->classes; c++) at[c] = this->begins[(int64_t)c * this->slices + z];
  write_winners(this, first);
  for (int64_t i = lrs_skip_zeros(this->mixed + first, 0, this->slice); i < this->slice;
       i = lrs_skip_zeros(this->mixed + first, i + 1, this->slice), column++) {
    const uint8_t winner = this->winners[first + i];
    faults |= this->lists[winner / 8 * this->columns + column] >> winner % 8 & 1; /* it would get a second value */
    for (int32_t b = 0; b < this->bytes; b++) {
      for (uint32_t list = this->lists[b * this->columns + column]; list; list &= list - 1) {
        const int32_t c = 8 * b + lrs_lowest_bit(list);
        const uint16_t below = this->below[at[c]++];
        most = below > most ? below : most;
        this->logits[c * this->voxels + first + i] = (int16_t)(uint16_t)(LRS_BEST_LOGIT - below);
      }
    }
  }
  if (faults || most > LRS_MOST_BELOW) lrs_atomic_set(this->faults, 1);
}

int32_t lrs_restore_start(int32_t classes, const int32_t shape[3], const uint8_t *winners, size_t winners_bytes,
                          const uint8_t *mixed, size_t mixed_bytes, const uint8_t *lists, size_t lists_bytes,
                          const uint16_t *below, size_t below_bytes, int16_t *logits, size_t logits_bytes,
                          int64_t *faults, int32_t threads, lrs_job **job) {
  if (!job) return LRS_BAD_ARGUMENT;
  *job = NULL;
  if (!shape || !winners || !mixed || !lists || !below || !logits || !faults || threads < 1 || classes < 1 ||
      classes > LRS_MAX_CLASSES || (uintptr_t)logits % sizeof(int16_t) || (uintptr_t)faults % sizeof(int64_t) ||
      (below_bytes && (uintptr_t)below % sizeof(uint16_t))) { /* nothing is wherever it is */
    return LRS_BAD_ARGUMENT;
  }
  const uint64_t voxels = lrs_voxels(shape), bytes = ((uint64_t)classes + 7) / 8;
  const uint64_t numbers[3] = {voxels, (uint64_t)classes, sizeof(int16_t)};
  if (!voxels || lrs_product(numbers, 3) != logits_bytes || logits_bytes >= LRS_MOST) return LRS_BAD_ARGUMENT;
  if (winners_bytes != voxels || mixed_bytes != voxels || lists_bytes % bytes || lists_bytes / bytes > voxels ||
      below_bytes % sizeof(uint16_t)) {
    return LRS_BAD_ARGUMENT;
  }
  restoring *this = (restoring *)calloc(1, sizeof *this);
  if (!this) return LRS_NO_MEMORY;
  this->classes = classes;
  this->bytes = (int32_t)bytes;
  this->slices = shape[0];
  this->slice = (int64_t)shape[1] * shape[2];
  this->voxels = (int64_t)voxels;
  this->columns = (int64_t)(lists_bytes / bytes);
  this->listed = (int64_t)(below_bytes / sizeof(uint16_t));
  this->winners = winners;
  this->mixed = mixed;
  this->lists = lists;
  this->below = below;
  this->logits = logits;
  this->faults = faults;
  *faults = 0;
  const size_t runs = (size_t)classes * (size_t)shape[0] + 1;
  this->begins = (int64_t *)malloc(runs * sizeof(int64_t));
  this->firsts = (int64_t *)malloc(((size_t)shape[0] + 1) * sizeof(int64_t));
  if (!this->begins || !this->firsts) {
    release(this);
    return LRS_NO_MEMORY;
  }
  for (int64_t z = 0; z < shape[0]; z++) this->firsts[z] = count_mixed(mixed + z * this->slice, this->slice);
  if (!sum_up(this->firsts, shape[0], this->columns)) *faults = 1;
  const int64_t parts = ((int64_t)shape[0] + PARTS - 1) / PARTS * PARTS;
  lrs_phase phases[PHASES] = {{count_listed, *faults ? 0 : shape[0], 0.1}, {place_listed, 1, 0.0}, {write_slice, parts, 1.0}};
  return lrs_job_start(phases, PHASES, this, release, threads, 0, runs * sizeof(int64_t), job);
}
