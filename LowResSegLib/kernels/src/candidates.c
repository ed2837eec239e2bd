/* Which classes can win somewhere in the cells around each grid voxel. A cell is the room between eight neighbouring
 * grid voxels; in it, a class wins nowhere that another one beats at all eight: whose logit is greater, or the same and
 * whose number is lower. */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "job.h"
#include "reconstruct.h"

enum { LAYERS = 8, STRIP = 1024, WORDS = 8 }; /* slices of an item; voxels of a row at a time; of 32 classes each */

#define LESS(a, b) ((a) < (b) ? (a) : (b))
#define MORE(a, b) ((a) > (b) ? (a) : (b))

typedef struct candidates {
  const int16_t *logits;
  int64_t plane;    /* from a class to the next one, */
  int64_t steps[2]; /* a slice to the next one, and a row */
  int32_t classes, words, used[3];
  int32_t item; /* slices of an item */
  uint8_t *winners;
  uint8_t *lists;
} candidates;

/* Two rows of voxels in two slices, logits voxel by voxel, and what is kept of the cells between them. A row is kept for
 * the cells behind it: row y of slice i of the two is number 2 * i + y % 2. */
typedef struct scratch {
  int16_t *rows[4];
  uint8_t *filled[4]; /* whether a voxel is there */
  int32_t kept[4];    /* which rows they are, -1 for none */
  uint32_t *marks; /* of two slices: for each voxel the classes that can win around it */
} scratch;

static inline int32_t padded(int32_t classes) { return (classes + 7) / 8 * 8; }

/* The winner of each voxel of some slices, the lower class of equal ones. */
static void find_winners(void *context, int32_t phase, int64_t item, void *memory) {
  const candidates *this = (const candidates *)context;
  /* Rows without gaps are as good as one long row. */
  const int whole = this->steps[1] == this->used[2];
  const int32_t width = whole ? this->used[1] * this->used[2] : this->used[2], z = (int32_t)item;
  int16_t best[STRIP], winner[STRIP];
  (void)phase;
  (void)memory;
  for (int32_t y = 0; y < (whole ? 1 : this->used[1]); y++) {
    const int16_t *row = this->logits + z * this->steps[0] + y * this->steps[1];
    uint8_t *winners = this->winners + ((int64_t)z * this->used[1] + y) * this->used[2];
    for (int32_t x = 0; x < width; x += STRIP) {
      const int32_t count = LESS(STRIP, width - x);
      memcpy(best, row + x, (size_t)count * sizeof(int16_t));
      memset(winner, 0, (size_t)count * sizeof(int16_t));
      for (int16_t c = 1; c < this->classes; c++) {
        const int16_t *values = row + c * this->plane + x;
        for (int32_t i = 0; i < count; i++) {
          winner[i] = values[i] > best[i] ? c : winner[i];
          best[i] = MORE(values[i], best[i]);
        }
      }
      for (int32_t i = 0; i < count; i++) winners[x + i] = (uint8_t)winner[i];
    }
  }
}

/* Copies a voxel's logits, unless they are there; classes beyond the last are never great. */
static inline void gather(const candidates *this, const int16_t *row, int32_t x, int16_t *values, uint8_t *filled) {
  if (filled[x]) return;
  const int32_t room = padded(this->classes);
  int16_t *voxel = values + (int64_t)x * room;
  for (int32_t c = 0; c < this->classes; c++) voxel[c] = row[c * this->plane + x];
  for (int32_t c = this->classes; c < room; c++) voxel[c] = INT16_MIN;
  filled[x] = 1;
}

/* Whether class `other` beats class `own` at all corners. */
static inline int beats(const int16_t *const at[8], int32_t other, int32_t own) {
  const int32_t more = other > own; /* of equal ones the lower wins */
  for (int32_t i = 0; i < 8; i++) {
    if (at[i][other] < at[i][own] + more) return 0;
  }
  return 1;
}

/* The classes that can win in a cell: first by bounds, over whole vectors of classes, then pair by pair. */
static void find_cell(const candidates *this, const int16_t *const at[8], uint32_t words[WORDS]) {
  const int32_t room = padded(this->classes);
  int16_t high[LRS_MAX_CLASSES + 1], bound = INT16_MIN;
  uint8_t left[LRS_MAX_CLASSES];
  for (int32_t k = 0; k < room; k++) {
    const int16_t ab = LESS(at[0][k], at[1][k]), cd = LESS(at[2][k], at[3][k]);
    const int16_t ef = LESS(at[4][k], at[5][k]), gh = LESS(at[6][k], at[7][k]);
    const int16_t abcd = LESS(ab, cd), efgh = LESS(ef, gh);
    bound = MORE(bound, LESS(abcd, efgh));
  }
  for (int32_t k = 0; k < room; k++) {
    const int16_t ab = MORE(at[0][k], at[1][k]), cd = MORE(at[2][k], at[3][k]);
    const int16_t ef = MORE(at[4][k], at[5][k]), gh = MORE(at[6][k], at[7][k]);
    const int16_t abcd = MORE(ab, cd), efgh = MORE(ef, gh);
    high[k] = MORE(abcd, efgh);
  }
  int32_t count = 0;
  for (int32_t k = 0; k < this->classes; k++) {
    left[count] = (uint8_t)k;
    count += high[k] >= bound;
  }
  memset(words, 0, (size_t)this->words * sizeof(uint32_t));
  for (int32_t a = 0; a < count; a++) {
    int beaten = 0; /* one alone is not */
    for (int32_t b = 0; b < count && !beaten; b++) beaten = b != a && beats(at, left[b], left[a]);
    if (!beaten) words[left[a] / 32] |= (uint32_t)1 << left[a] % 32;
  }
}

/* Marks the corners of the cells of a row that have several winners. `slice` is 0 or 1: whether the cells' first slice
 * is wanted by this item, and `marks` has the second one behind it. */
static void mark_row(const candidates *this, scratch *room, int32_t z, int32_t y, const int wanted[2]) {
  const int32_t width = this->used[2], height = this->used[1], pad = padded(this->classes), words = this->words;
  const int32_t y2 = y + 1 < height ? y + 1 : y, z2 = z + 1 < this->used[0] ? z + 1 : z;
  const int32_t cells = width > 1 ? width - 1 : 1;
  const uint8_t *at[4];
  const int16_t *from[4];
  int32_t kept[4];
  for (int32_t i = 0; i < 4; i++) {
    const int32_t row = i % 2 ? y2 : y, layer = i / 2 ? z2 : z;
    at[i] = this->winners + ((int64_t)layer * height + row) * width;
    from[i] = this->logits + layer * this->steps[0] + row * this->steps[1];
    kept[i] = i / 2 * 2 + row % 2;
    if (room->kept[kept[i]] != row) {
      room->kept[kept[i]] = row;
      memset(room->filled[kept[i]], 0, (size_t)width);
    }
  }
  for (int32_t x = 0; x < cells; x++) {
    const int32_t x2 = x + 1 < width ? x + 1 : x;
    const uint8_t own = at[0][x];
    int same = at[0][x2] == own;
    for (int32_t i = 1; i < 4; i++) same &= (at[i][x] == own) & (at[i][x2] == own);
    if (same) continue;
    const int16_t *corners[8];
    for (int32_t i = 0; i < 8; i++) {
      const int32_t row = kept[i / 2], place = i % 2 ? x2 : x;
      gather(this, from[i / 2], place, room->rows[row], room->filled[row]);
      corners[i] = room->rows[row] + (int64_t)place * pad;
    }
    uint32_t found[WORDS];
    find_cell(this, corners, found);
    for (int32_t i = 0; i < 8; i++) {
      if (!wanted[i / 4]) continue;
      const int64_t voxel = ((int64_t)(i / 4) * height + (i / 2 % 2 ? y2 : y)) * width + (i % 2 ? x2 : x);
      uint32_t *mark = room->marks + voxel * words;
      for (int32_t w = 0; w < words; w++) mark[w] |= found[w];
    }
  }
}

/* Writes the lists of a slice, without the winners themselves. */
static void write_slice(const candidates *this, const uint32_t *marks, int32_t z) {
  const int64_t slice = (int64_t)this->used[1] * this->used[2], voxels = slice * this->used[0];
  const uint8_t *winners = this->winners + z * slice;
  const int32_t bytes = (this->classes + 7) / 8;
  for (int32_t b = 0; b < bytes; b++) {
    uint8_t *list = this->lists + b * voxels + z * slice;
    for (int64_t i = 0; i < slice; i++) {
      const uint8_t mark = (uint8_t)(marks[i * this->words + b / 4] >> b % 4 * 8);
      const uint8_t own = (uint8_t)(winners[i] / 8 == b ? 1 << winners[i] % 8 : 0);
      list[i] = (uint8_t)(mark & ~own);
    }
  }
}

/* The lists of some slices. Cells between two items are looked at by both. */
static void find_lists(void *context, int32_t phase, int64_t item, void *memory) {
  const candidates *this = (const candidates *)context;
  const int64_t slice = (int64_t)this->used[1] * this->used[2];
  const int32_t first = (int32_t)item * this->item, end = LESS(first + this->item, this->used[0]);
  const int32_t rows = this->used[1] > 1 ? this->used[1] - 1 : 1;
  const size_t row = (size_t)this->used[2] * (size_t)padded(this->classes);
  scratch room;
  (void)phase;
  room.marks = (uint32_t *)memory;
  int16_t *values = (int16_t *)(void *)(room.marks + 2 * (size_t)slice * (size_t)this->words);
  for (int32_t i = 0; i < 4; i++) {
    room.rows[i] = values + row * (size_t)i;
    room.filled[i] = (uint8_t *)(void *)(values + 4 * row) + (size_t)this->used[2] * (size_t)i;
  }
  const size_t marked = (size_t)slice * (size_t)this->words * sizeof(uint32_t);
  memset(room.marks, 0, 2 * marked);
  for (int32_t z = MORE(first - 1, 0); z < end; z++) {
    const int wanted[2] = {z >= first, z + 1 < end};
    const int last = z + 1 == this->used[0];
    for (int32_t i = 0; i < 4; i++) room.kept[i] = -1;
    /* The last slice has no cells behind it, unless it is the only one. */
    for (int32_t y = 0; y < rows && (!last || z == 0); y++) mark_row(this, &room, z, y, wanted);
    if (z >= first) write_slice(this, room.marks, z);
    memcpy(room.marks, room.marks + (size_t)slice * (size_t)this->words, marked);
    memset(room.marks + (size_t)slice * (size_t)this->words, 0, marked);
  }
}

int32_t lrs_candidates_start(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                             const int32_t used[3], uint8_t *winners, size_t winners_bytes, uint8_t *lists,
                             size_t lists_bytes, int32_t threads, lrs_job **job) {
  if (!job) return LRS_BAD_ARGUMENT;
  *job = NULL;
  if (!logits || !grid || !used || !winners || !lists || threads < 1 || classes < 1 || classes > LRS_MAX_CLASSES ||
      (uintptr_t)logits % sizeof(int16_t)) {
    return LRS_BAD_ARGUMENT;
  }
  const uint64_t plane = lrs_voxels(grid), voxels = lrs_voxels(used);
  const uint64_t numbers[3] = {plane, (uint64_t)classes, sizeof(int16_t)};
  const uint64_t bytes[2] = {voxels, ((uint64_t)classes + 7) / 8};
  if (!voxels || lrs_product(numbers, 3) != logits_bytes || logits_bytes >= LRS_MOST) return LRS_BAD_ARGUMENT;
  if (winners_bytes != voxels || lrs_product(bytes, 2) != lists_bytes) return LRS_BAD_ARGUMENT;
  for (int32_t a = 0; a < 3; a++) {
    if (used[a] > grid[a]) return LRS_BAD_ARGUMENT;
  }
  candidates *this = (candidates *)calloc(1, sizeof *this);
  if (!this) return LRS_NO_MEMORY;
  this->logits = logits;
  this->plane = (int64_t)plane;
  this->steps[0] = (int64_t)grid[1] * grid[2];
  this->steps[1] = grid[2];
  this->classes = classes;
  this->words = (classes + 31) / 32;
  memcpy(this->used, used, sizeof this->used);
  this->winners = winners;
  this->lists = lists;
  const int32_t share = (used[0] + threads - 1) / threads; /* so that every thread has something to do */
  this->item = share < LAYERS ? share : LAYERS;
  const lrs_phase phases[2] = {{find_winners, used[0], 1.0},
                               {find_lists, (used[0] + this->item - 1) / this->item, 2.0}};
  const size_t rows = 4 * (size_t)used[2] * ((size_t)padded(classes) * sizeof(int16_t) + 1);
  const size_t marks = 2 * (size_t)used[1] * (size_t)used[2] * (size_t)this->words * sizeof(uint32_t);
  return lrs_job_start(phases, 2, this, free, threads, marks + rows, 0, job);
}
