/* Which classes can win somewhere in the cells around each grid voxel. A cell is the room between eight neighbouring
 * grid voxels; in it, a class wins nowhere that another one beats at all eight: whose logit is greater, or the same and
 * whose number is lower. Cells with one winner at all corners have no other class and are passed over. The others are
 * looked at in blocks of neighbours along x, class by class, in the order in which logits lie in memory.
 *
 * Every instruction set has this code as its compiler makes vectors of it. */
#include <string.h>

#include "candidates.h"
#include "reconstruct.h"
#include "reduced.h"

enum {
  STRIP = 1024, /* voxels of a row at a time, */
  BLOCK = 16,   /* and cells of a block */
  MOST_GROUPS = (LRS_MAX_CLASSES + LRS_GROUP - 1) / LRS_GROUP
};

#define LESS(a, b) ((a) < (b) ? (a) : (b))
#define MORE(a, b) ((a) > (b) ? (a) : (b))

/* The cells between two rows of two slices: rows 0 and 1 are of the first slice. */
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
static void find_winners(const lrs_candidates *this, int32_t z, uint8_t *winners) {
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
      for (; c + 8 <= this->classes; c = (int16_t)(c + 8)) { /* eight at a time, so that less goes to and fro */
        const int16_t *first = values + c * this->plane + x;
        for (int32_t i = 0; i < count; i++) {
          int16_t most = best[i], number = winner[i];
          for (int16_t k = 0; k < 8; k++) take_class(first[k * this->plane + i], (int16_t)(c + k), &most, &number);
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

/* The classes of some cells that are not everywhere less than another one's least logit. */
static inline void find_bounded(const lrs_candidates *this, const row *of, int32_t x, const int32_t count,
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
    const int32_t begin = g * LRS_GROUP, end = LESS(begin + LRS_GROUP, this->classes);
    for (int32_t i = 0; i < count; i++) found[g][i] = 0;
    for (int32_t c = begin; c < end; c++) {
      const uint16_t bit = (uint16_t)(1u << (c - begin));
      for (int32_t i = 0; i < count; i++) found[g][i] |= (uint16_t)(high[c][i] >= bound[i] ? bit : 0);
    }
  }
}

/* How far a class is ahead of another one, at that corner of each cell where it is so the most. */
static inline void find_ahead(const row *of, int64_t one, int64_t other, const int32_t count, const int32_t next,
                              int16_t *ahead) {
  const int16_t *a = of->logits[0] + one, *b = of->logits[1] + one, *d = of->logits[2] + one, *e = of->logits[3] + one;
  const int16_t *a2 = of->logits[0] + other, *b2 = of->logits[1] + other, *d2 = of->logits[2] + other;
  const int16_t *e2 = of->logits[3] + other;
  for (int32_t i = 0; i < count; i++) {
    const int32_t k = i + next;
    const int16_t a_near = (int16_t)(a[i] - a2[i]), a_far = (int16_t)(a[k] - a2[k]), a_most = MORE(a_near, a_far);
    const int16_t b_near = (int16_t)(b[i] - b2[i]), b_far = (int16_t)(b[k] - b2[k]), b_most = MORE(b_near, b_far);
    const int16_t d_near = (int16_t)(d[i] - d2[i]), d_far = (int16_t)(d[k] - d2[k]), d_most = MORE(d_near, d_far);
    const int16_t e_near = (int16_t)(e[i] - e2[i]), e_far = (int16_t)(e[k] - e2[k]), e_most = MORE(e_near, e_far);
    const int16_t ab_most = MORE(a_most, b_most), de_most = MORE(d_most, e_most);
    ahead[i] = MORE(ab_most, de_most);
  }
}

/* The cells in which a class was found although it wins at no corner; whether there are any. */
static inline int find_asked(const row *of, int32_t x, int32_t c, const int32_t count, const int32_t next,
                             const uint16_t *found, uint16_t *asked) {
  const uint8_t *a = of->winners[0] + x, *b = of->winners[1] + x, *d = of->winners[2] + x, *e = of->winners[3] + x;
  const uint8_t own = (uint8_t)c;
  const uint16_t bit = (uint16_t)(1u << c % LRS_GROUP);
  uint8_t wins[BLOCK];
  uint16_t any = 0;
  for (int32_t i = 0; i < count; i++) {
    wins[i] = (uint8_t)((a[i] == own) | (a[i + next] == own) | (b[i] == own) | (b[i + next] == own) | (d[i] == own) |
                        (d[i + next] == own) | (e[i] == own) | (e[i + next] == own));
  }
  for (int32_t i = 0; i < count; i++) {
    asked[i] = (uint16_t)(found[i] & bit & (wins[i] - 1));
    any |= asked[i];
  }
  return any != 0;
}

/* Takes away the classes of a block's cells that another one beats. Those that win at a corner are not looked at: nobody
 * does. A class that was not found beats none that was, so that those of all cells may be compared in each. */
static inline void compare_pairs(const lrs_candidates *this, const row *of, int32_t x, const int32_t count,
                                 const int32_t next, bits found) {
  uint8_t classes[LRS_MAX_CLASSES];
  int32_t several = 0;
  for (int32_t g = 0; g < this->groups; g++) {
    uint32_t any = 0;
    for (int32_t i = 0; i < count; i++) any |= found[g][i];
    for (; any; any &= any - 1) classes[several++] = (uint8_t)(g * LRS_GROUP + lrs_lowest_bit(any));
  }
  for (int32_t a = 0; a < several && several > 2; a++) {
    const int32_t c = classes[a];
    uint16_t asked[BLOCK];
    int16_t ahead[BLOCK], least[BLOCK];
    if (!find_asked(of, x, c, count, next, found[c / LRS_GROUP], asked)) continue;
    for (int32_t i = 0; i < count; i++) least[i] = 0;
    for (int32_t b = 0; b < several; b++) {
      if (b == a) continue;
      const int16_t limit = b < a; /* of equal ones the lower wins */
      find_ahead(of, c * this->plane + x, classes[b] * this->plane + x, count, next, ahead);
      for (int32_t i = 0; i < count; i++) {
        const int16_t over = (int16_t)(ahead[i] - limit);
        least[i] = LESS(least[i], over);
      }
    }
    for (int32_t i = 0; i < count; i++) {
      const uint16_t stays = least[i] < 0 ? 0 : 0xFFFF;
      found[c / LRS_GROUP][i] &= (uint16_t)(stays | ~asked[i]);
    }
  }
}

/* Finds the classes that can win in a block's cells, those alone that have several winners. Compilers make vectors of it
 * where `count` is a constant. */
static inline void find_block(const lrs_candidates *this, const row *of, const uint8_t *several, int32_t x,
                              const int32_t count, const int32_t next, bits found) {
  find_bounded(this, of, x, count, next, found);
  for (int32_t g = 0; g < this->groups; g++) {
    for (int32_t i = 0; i < count; i++) found[g][i] &= (uint16_t)(several[x + i] ? 0xFFFF : 0);
  }
  compare_pairs(this, of, x, count, next, found);
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

/* Marks the cells between row `y` of slice `z` and what is behind it at their corners, in those of the two slices that
 * are wanted: at their first corner along x, which the last voxel of a row is not of any cell. */
static void mark_row(const lrs_candidates *this, const uint8_t *const winners[2], uint16_t *const marks[2],
                     uint8_t *several, int32_t z, int32_t y, const int wanted[2]) {
  const int32_t width = this->used[2], height = this->used[1];
  const int32_t y2 = y + 1 < height ? y + 1 : y, z2 = z + 1 < this->used[0] ? z + 1 : z;
  const int64_t slice = (int64_t)height * width;
  bits found;
  row of;
  of.cells = width > 1 ? width - 1 : 1;
  of.next = this->next;
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
    if (count == BLOCK && of.next) find_block(this, &of, several, x, BLOCK, 1, found);
    else find_block(this, &of, several, x, count, of.next, found);
    for (int32_t i = 0; i < 4; i++) {
      if (!wanted[i / 2]) continue;
      uint16_t *mark = marks[i / 2] + (int64_t)(i % 2 ? y2 : y) * width + x;
      for (int32_t g = 0; g < this->groups; g++, mark += slice) {
        for (int32_t k = 0; k < count; k++) mark[k] |= found[g][k];
      }
    }
    at = x + count;
  }
}

/* Winners and lists of some slices. A slice is looked at when the one before it has just been, so that its logits are
 * still at hand; what lies between two items is looked at by both. */
static void find_lists(void *context, int32_t phase, int64_t item, void *memory) {
  const lrs_candidates *this = (const lrs_candidates *)context;
  const size_t slice = (size_t)this->used[1] * (size_t)this->used[2], room = slice * (size_t)this->groups;
  const int32_t first = (int32_t)item * this->item, end = LESS(first + this->item, this->used[0]);
  const int32_t rows = this->used[1] > 1 ? this->used[1] - 1 : 1, begin = MORE(first - 1, 0);
  uint16_t *marks = (uint16_t *)memory + LRS_MARKS_BEFORE;
  uint8_t *more = (uint8_t *)memory + lrs_marks_bytes(this), *winners = more + lrs_gather_scratch(this);
  uint8_t *several = winners + 2 * slice;
  (void)phase;
  memset(memory, 0, lrs_marks_bytes(this));
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
    lrs_gather_slice(this, both[0], z, more);
  }
}
