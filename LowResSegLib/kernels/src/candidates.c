/* Which classes can win somewhere in the cells around each grid voxel. A cell is the room between eight neighbouring
 * grid voxels; in it, a class wins nowhere that another one beats at all eight: whose logit is greater, or the same and
 * whose number is lower. Cells with one winner at all corners have no other class and are passed over. The others are
 * looked at in blocks of neighbours along x, class by class, in the order in which logits lie in memory. */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "job.h"
#include "reconstruct.h"
#include "reduced.h"

enum {
  LAYERS = 16,  /* slices of an item, */
  STRIP = 1024, /* voxels of a row at a time, */
  BLOCK = 16,   /* cells of a block, */
  GROUP = 16,   /* and classes whose bits are a number of 16 */
  MOST_GROUPS = (LRS_MAX_CLASSES + GROUP - 1) / GROUP
};

#define LESS(a, b) ((a) < (b) ? (a) : (b))
#define MORE(a, b) ((a) > (b) ? (a) : (b))

typedef struct candidates {
  const int16_t *logits;
  int64_t plane;    /* from a class to the next one, */
  int64_t steps[2]; /* a slice to the next one, and a row */
  int32_t classes, groups, used[3];
  int32_t item; /* slices of an item */
  uint8_t *winners, *mixed, *lists;
  int64_t *counts;
} candidates;

/* The cells between two rows of two slices: rows 0 and 1 are of the first slice. `next` is 1, or 0 on a grid of one
 * column, where both ends of a cell are the same. */
typedef struct row {
  const int16_t *logits[4];
  const uint8_t *winners[4];
  int32_t cells, next;
} row;

/* Of each cell of a block, the bits of some classes. */
typedef uint16_t bits[MOST_GROUPS][BLOCK];

/* Looks at one more class of some voxels, a higher one than all before, so that its number is the greatest yet. */
static inline void take_class(int16_t value, int16_t c, int16_t *best, int16_t *winner) {
  const int16_t number = value > *best ? c : 0;
  *winner = MORE(*winner, number);
  *best = MORE(*best, value);
}

/* The winner of each voxel of a slice, the lower class of equal ones. */
static void find_winners(const candidates *this, int32_t z, uint8_t *winners) {
  /* Rows without gaps are as good as one long row. */
  const int whole = this->steps[1] == this->used[2];
  const int64_t width = whole ? (int64_t)this->used[1] * this->used[2] : this->used[2];
  int16_t best[STRIP], winner[STRIP];
  for (int32_t y = 0; y < (whole ? 1 : this->used[1]); y++, winners += width) {
    const int16_t *values = this->logits + z * this->steps[0] + y * this->steps[1];
    for (int64_t x = 0; x < width; x += STRIP) {
      const int32_t count = (int32_t)LESS(STRIP, width - x);
      memcpy(best, values + x, (size_t)count * sizeof(int16_t));
      memset(winner, 0, (size_t)count * sizeof(int16_t));
      int16_t c = 1;
      for (; c + 4 <= this->classes; c = (int16_t)(c + 4)) { /* four at a time, so that less goes to and fro */
        const int16_t *one = values + c * this->plane + x, *two = one + this->plane, *three = two + this->plane;
        const int16_t *four = three + this->plane;
        for (int32_t i = 0; i < count; i++) {
          int16_t most = best[i], number = winner[i];
          take_class(one[i], c, &most, &number);
          take_class(two[i], (int16_t)(c + 1), &most, &number);
          take_class(three[i], (int16_t)(c + 2), &most, &number);
          take_class(four[i], (int16_t)(c + 3), &most, &number);
          best[i] = most;
          winner[i] = number;
        }
      }
      for (; c < this->classes; c++) {
        const int16_t *others = values + c * this->plane + x;
        for (int32_t i = 0; i < count; i++) take_class(others[i], c, &best[i], &winner[i]);
      }
      for (int32_t i = 0; i < count; i++) winners[x + i] = (uint8_t)winner[i];
    }
  }
}

/* The classes of some cells that are not everywhere less than another one's least logit. Compilers make vectors of it
 * where `count` is a constant. */
static inline void find_bounded(const candidates *this, const row *of, int32_t x, const int32_t count,
                                const int32_t next, bits found) {
  int16_t high[LRS_MAX_CLASSES][BLOCK], bound[BLOCK];
  for (int32_t i = 0; i < count; i++) bound[i] = INT16_MIN;
  for (int32_t c = 0; c < this->classes; c++) {
    const int16_t *a = of->logits[0] + c * this->plane + x, *b = of->logits[1] + c * this->plane + x;
    const int16_t *d = of->logits[2] + c * this->plane + x, *e = of->logits[3] + c * this->plane + x;
    for (int32_t i = 0; i < count; i++) {
      const int16_t a_low = LESS(a[i], a[i + next]), b_low = LESS(b[i], b[i + next]);
      const int16_t d_low = LESS(d[i], d[i + next]), e_low = LESS(e[i], e[i + next]);
      const int16_t ab_low = LESS(a_low, b_low), de_low = LESS(d_low, e_low), low = LESS(ab_low, de_low);
      const int16_t a_high = MORE(a[i], a[i + next]), b_high = MORE(b[i], b[i + next]);
      const int16_t d_high = MORE(d[i], d[i + next]), e_high = MORE(e[i], e[i + next]);
      const int16_t ab_high = MORE(a_high, b_high), de_high = MORE(d_high, e_high);
      bound[i] = MORE(bound[i], low);
      high[c][i] = MORE(ab_high, de_high);
    }
  }
  for (int32_t g = 0; g < this->groups; g++) {
    const int32_t begin = g * GROUP, end = LESS(begin + GROUP, this->classes);
    for (int32_t i = 0; i < count; i++) found[g][i] = 0;
    for (int32_t c = begin; c < end; c++) {
      const uint16_t bit = (uint16_t)(1u << (c - begin));
      for (int32_t i = 0; i < count; i++) found[g][i] |= (uint16_t)(high[c][i] >= bound[i] ? bit : 0);
    }
  }
}

/* Whether a class beats another one of a higher or of a lower number at all corners. */
static inline int beats_higher(const int16_t values[8], const int16_t others[8]) {
  int all = 1;
  for (int32_t i = 0; i < 8; i++) all &= values[i] >= others[i];
  return all;
}

static inline int beats_lower(const int16_t values[8], const int16_t others[8]) {
  int all = 1;
  for (int32_t i = 0; i < 8; i++) all &= values[i] > others[i];
  return all;
}

/* Takes away the classes of a cell that another one beats. Those that win at a corner are not looked at: nobody does. */
static void compare_pairs(const candidates *this, const row *of, int32_t x, bits found, int32_t cell) {
  uint16_t at_corners[MOST_GROUPS] = {0};
  int16_t values[LRS_MAX_CLASSES][8];
  uint8_t classes[LRS_MAX_CLASSES];
  int32_t count = 0, more = 0;
  for (int32_t i = 0; i < 8; i++) {
    const uint8_t winner = of->winners[i / 2][x + i % 2 * of->next];
    at_corners[winner / GROUP] |= (uint16_t)(1u << winner % GROUP);
  }
  for (int32_t g = 0; g < this->groups; g++) more |= found[g][cell] & ~at_corners[g];
  if (!more) return;
  for (int32_t g = 0; g < this->groups; g++) {
    for (uint32_t left = found[g][cell]; left; left &= left - 1) {
      const int32_t c = g * GROUP + lrs_lowest_bit(left);
      for (int32_t i = 0; i < 8; i++) values[count][i] = of->logits[i / 2][c * this->plane + x + i % 2 * of->next];
      classes[count++] = (uint8_t)c;
    }
  }
  for (int32_t a = 0; a < count; a++) {
    const int32_t c = classes[a];
    int beaten = 0;
    if (at_corners[c / GROUP] >> c % GROUP & 1) continue;
    for (int32_t b = 0; b < a && !beaten; b++) beaten = beats_higher(values[b], values[a]);
    for (int32_t b = a + 1; b < count && !beaten; b++) beaten = beats_lower(values[b], values[a]);
    if (beaten) found[c / GROUP][cell] &= (uint16_t)~(1u << c % GROUP);
  }
}

/* Whether a cell has more classes than two. */
static inline int has_many(bits found, int32_t groups, int32_t cell) {
  int32_t full = 0;
  for (int32_t g = 0; g < groups; g++) {
    const uint32_t one = found[g][cell], two = one & (one - 1); /* without its lowest bit */
    full += (one != 0) + (two != 0);
    if (two & (two - 1)) return 1;
  }
  return full > 2;
}

/* Finds the classes that can win in a block's cells, those alone that have several winners. */
static void find_block(const candidates *this, const row *of, const uint8_t *several, int32_t x, int32_t count,
                       bits found) {
  if (count == BLOCK && of->next) find_bounded(this, of, x, BLOCK, 1, found);
  else find_bounded(this, of, x, count, of->next, found);
  for (int32_t g = 0; g < this->groups; g++) {
    for (int32_t i = 0; i < count; i++) found[g][i] &= (uint16_t)(several[x + i] ? 0xFFFF : 0);
  }
  for (int32_t i = 0; i < count; i++) {
    if (several[x + i] && has_many(found, this->groups, i)) compare_pairs(this, of, x + i, found, i);
  }
}

/* Which cells of a row have several winners. */
static void find_several(const row *of, uint8_t *several) {
  const uint8_t *a = of->winners[0], *b = of->winners[1], *d = of->winners[2], *e = of->winners[3];
  if (!of->next) {
    several[0] = (uint8_t)((a[0] ^ b[0]) | (a[0] ^ d[0]) | (a[0] ^ e[0]));
    return;
  }
  for (int32_t x = 0; x < of->cells; x++) {
    const uint8_t own = a[x];
    several[x] = (uint8_t)((own ^ a[x + 1]) | (own ^ b[x]) | (own ^ b[x + 1]) | (own ^ d[x]) | (own ^ d[x + 1]) |
                           (own ^ e[x]) | (own ^ e[x + 1]));
  }
}

/* Marks the corners of the cells between row `y` of slice `z` and what is behind it, in those of the two slices that
 * are wanted. */
static void mark_row(const candidates *this, const uint8_t *const winners[2], uint16_t *const marks[2],
                     uint8_t *several, int32_t z, int32_t y, const int wanted[2]) {
  const int32_t width = this->used[2], height = this->used[1];
  const int32_t y2 = y + 1 < height ? y + 1 : y, z2 = z + 1 < this->used[0] ? z + 1 : z;
  const int64_t slice = (int64_t)height * width;
  bits found;
  row of;
  of.cells = width > 1 ? width - 1 : 1;
  of.next = width > 1;
  for (int32_t i = 0; i < 4; i++) {
    const int32_t line = i % 2 ? y2 : y;
    of.winners[i] = winners[z2 > z ? i / 2 : 0] + (int64_t)line * width;
    of.logits[i] = this->logits + (i / 2 ? z2 : z) * this->steps[0] + line * this->steps[1];
  }
  find_several(&of, several);
  for (int64_t at = 0; (at = lrs_skip_zeros(several, at, of.cells)) < of.cells;) {
    /* At the end of a row some cells are looked at once more. */
    const int32_t x = (int32_t)(of.cells < BLOCK ? 0 : LESS(at, of.cells - BLOCK));
    const int32_t count = LESS(BLOCK, of.cells);
    find_block(this, &of, several, x, count, found);
    for (int32_t i = 0; i < 4; i++) {
      if (!wanted[i / 2]) continue;
      uint16_t *mark = marks[i / 2] + (int64_t)(i % 2 ? y2 : y) * width + x;
      for (int32_t g = 0; g < this->groups; g++, mark += slice) {
        for (int32_t k = 0; k < count; k++) mark[k] |= found[g][k];
        for (int32_t k = 0; k < count; k++) mark[k + of.next] |= found[g][k];
      }
    }
    at = x + count;
  }
}

/* Writes the list of a voxel with marks, which has other classes than its winner, behind those of its slice before it,
 * and counts these classes. */
static inline void write_voxel(const candidates *this, const uint16_t *marks, int64_t slice, int64_t first, int64_t i,
                               int64_t *counts) {
  const int64_t voxels = slice * this->used[0];
  const uint8_t winner = this->winners[first + i];
  uint8_t *lists = this->lists + first + counts[this->classes]++;
  this->mixed[first + i] = 1;
  for (int32_t g = 0; g < this->groups; g++) {
    uint32_t list = marks[g * slice + i];
    if (winner / GROUP == g) list &= ~(1u << winner % GROUP);
    lists[2 * g * voxels] = (uint8_t)list;
    if (g * GROUP + 8 < this->classes) lists[(2 * g + 1) * voxels] = (uint8_t)(list >> 8);
    for (; list; list &= list - 1) counts[g * GROUP + lrs_lowest_bit(list)]++;
  }
}

/* Writes the lists of a slice, without the winners themselves, and clears the marks. */
static void write_slice(const candidates *this, uint16_t *marks, int32_t z) {
  const int64_t slice = (int64_t)this->used[1] * this->used[2], first = z * slice;
  int64_t *counts = this->counts + (int64_t)z * (this->classes + 1);
  memset(counts, 0, ((size_t)this->classes + 1) * sizeof *counts);
  memset(this->mixed + first, 0, (size_t)slice);
  for (int64_t i = 0; i < slice;) {
    uint64_t any = 0, four;
    if (i + 4 <= slice) {
      for (int32_t g = 0; g < this->groups; g++) {
        memcpy(&four, marks + g * slice + i, sizeof four);
        any |= four;
      }
      if (!any) {
        i += 4;
        continue;
      }
    }
    for (const int64_t end = LESS(i + 4, slice); i < end; i++) {
      any = 0;
      for (int32_t g = 0; g < this->groups; g++) any |= marks[g * slice + i];
      if (any) write_voxel(this, marks, slice, first, i, counts);
    }
  }
  memset(marks, 0, (size_t)slice * (size_t)this->groups * sizeof *marks);
}

/* Winners and lists of some slices. A slice is looked at when the one before it has just been, so that its logits are
 * still at hand; what lies between two items is looked at by both. */
static void find_lists(void *context, int32_t phase, int64_t item, void *memory) {
  const candidates *this = (const candidates *)context;
  const size_t slice = (size_t)this->used[1] * (size_t)this->used[2], room = slice * (size_t)this->groups;
  const int32_t first = (int32_t)item * this->item, end = LESS(first + this->item, this->used[0]);
  const int32_t rows = this->used[1] > 1 ? this->used[1] - 1 : 1, begin = MORE(first - 1, 0);
  uint16_t *marks = (uint16_t *)memory;
  uint8_t *winners = (uint8_t *)(void *)(marks + 2 * room), *several = winners + 2 * slice;
  (void)phase;
  memset(marks, 0, 2 * room * sizeof *marks);
  find_winners(this, begin, winners + (size_t)(begin % 2) * slice);
  for (int32_t z = begin; z < end; z++) {
    uint16_t *const both[2] = {marks + (size_t)(z % 2) * room, marks + (size_t)(1 - z % 2) * room};
    uint8_t *const found[2] = {winners + (size_t)(z % 2) * slice, winners + (size_t)(1 - z % 2) * slice};
    const uint8_t *const seen[2] = {found[0], found[1]};
    const int wanted[2] = {z >= first, z + 1 < end};
    if (z + 1 < this->used[0]) find_winners(this, z + 1, found[1]);
    /* The last slice has no cells behind it, unless it is the only one. */
    if (z + 1 < this->used[0] || z == 0) {
      for (int32_t y = 0; y < rows; y++) mark_row(this, seen, both, several, z, y, wanted);
    }
    if (!wanted[0]) continue;
    memcpy(this->winners + (int64_t)z * (int64_t)slice, found[0], slice);
    write_slice(this, both[0], z);
  }
}

int32_t lrs_reduce_start(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                         const int32_t used[3], uint8_t *winners, size_t winners_bytes, uint8_t *mixed,
                         size_t mixed_bytes, uint8_t *lists, size_t lists_bytes, int64_t *counts, size_t counts_bytes,
                         int32_t threads, lrs_job **job) {
  if (!job) return LRS_BAD_ARGUMENT;
  *job = NULL;
  if (!logits || !grid || !used || !winners || !mixed || !lists || !counts || threads < 1 || classes < 1 ||
      classes > LRS_MAX_CLASSES || (uintptr_t)logits % sizeof(int16_t) || (uintptr_t)counts % sizeof(int64_t)) {
    return LRS_BAD_ARGUMENT;
  }
  if (!lrs_fits_reduction(logits_bytes, classes, grid, used, winners_bytes, mixed_bytes, lists_bytes, counts_bytes)) {
    return LRS_BAD_ARGUMENT;
  }
  candidates *this = (candidates *)calloc(1, sizeof *this);
  if (!this) return LRS_NO_MEMORY;
  this->logits = logits;
  this->plane = (int64_t)lrs_voxels(grid);
  this->steps[0] = (int64_t)grid[1] * grid[2];
  this->steps[1] = grid[2];
  this->classes = classes;
  this->groups = (classes + GROUP - 1) / GROUP;
  memcpy(this->used, used, sizeof this->used);
  this->winners = winners;
  this->mixed = mixed;
  this->lists = lists;
  this->counts = counts;
  const int32_t share = (used[0] + threads - 1) / threads; /* so that every thread has something to do */
  this->item = share < LAYERS ? share : LAYERS;
  const lrs_phase phase = {find_lists, (used[0] + this->item - 1) / this->item, 1.0};
  const size_t slice = (size_t)used[1] * (size_t)used[2], marks = slice * (size_t)this->groups * sizeof(uint16_t);
  return lrs_job_start(&phase, 1, this, free, threads, 2 * (marks + slice) + (size_t)used[2], 0, job);
}
