/* The kernels of one instruction set. The file that includes this one has defined
 *
 *   VECTOR                   the type of a vector of bits
 *   VECTOR_BYTES             its size
 *   LOAD(p), STORE(p, v)     from and to memory, unaligned
 *   EVERY(word)              a vector of equal 64-bit words
 *   AND, OR, XOR (a, b), AND_NOT(a, b) = a & ~b, NOT(a)
 *   SHIFT_LEFT(v, n), SHIFT_RIGHT(v, n)   of each 64-bit word by a constant
 *   MAJORITY(a, b, c)        where at least two of three are set
 *   SUM_3(a, b, c)           where one or three of three are set
 *   CARRY(a, b, before, after)    MAJORITY(a, b, before), and
 *   BORROW(a, b, before, after)   MAJORITY(a, b, ~before), where after = SUM_3(a, b, before) is there as well
 *   TRIT_CARRY(u, x, plane)  u | (x & plane)
 *   TRIT_BORROW(u, x, plane) u | (x & ~plane)
 *
 * and `first_output`, `expand_block` and `logits_block`, which need numbers instead of bits. It may also define
 *
 *   HOLD(v)                  keeps a compiler from loading a vector twice instead of holding it in a register
 *   HOLD_WORD(w)             the same for a word or a pointer, about which the compiler then knows nothing any more
 *   WORDS_BELOW(p, v)        for each 64-bit word of v = LOAD(p) the one before it, and
 *   WORDS_ABOVE(p, v)        the one after it, where another load is not the fastest way
 *   OWN_FIRST_BLOCK          says that it has `first_block` instead of `first_output`
 *
 * A sum of trits is counted in bit planes: plane k of the counter holds bit k of every voxel's sum. As in a
 * Harley-Seal counter, carries of one plane are collected and added to the next one two at a time. A counter goes up
 * for weights +1, and down for weights -1 with borrows in the place of carries, which costs the same.
 */
#include "bitplane.h"
#include "candidates_template.h"

#ifndef HOLD
#define HOLD(v) ((void)0)
#endif
#ifndef HOLD_WORD
#define HOLD_WORD(w) ((void)0)
#endif
#ifndef WORDS_BELOW
#define WORDS_BELOW(p, v) LOAD((p)-8)
#define WORDS_ABOVE(p, v) LOAD((p) + 8)
#endif

enum { UP = 1, DOWN = 0, TOP = LRS_CHUNK_PLANES - 1 };

/* The table of a chunk: where its first u is, and its first x. Each load adds a place to one of these pointers itself.
 * If GCC knows how far they are apart, it computes an address for both loads first, which takes longer than the
 * loads. */
typedef struct table_start {
  const uint8_t *u, *x;
} table_start;

typedef struct counter {
  VECTOR plane[LRS_CHUNK_PLANES];
} counter;

/* One plane of a counter takes two carries of its own weight, and gives one of twice the weight. */
static LRS_INLINED VECTOR add_two(VECTOR *plane, VECTOR first, VECTOR second, int up) {
  const VECTOR before = *plane, after = SUM_3(before, first, second);
  (void)before; /* CARRY needs one of the two */
  *plane = after;
  return up ? CARRY(first, second, before, after) : BORROW(first, second, before, after);
}

/* For each plane of a counter. No loop, in which compilers would keep planes in memory. */
#define EACH_PLANE(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8)

static LRS_INLINED VECTOR add_one(VECTOR *plane, VECTOR carry, int up) {
  *plane = XOR(*plane, carry);
  return up ? AND_NOT(carry, *plane) : AND(carry, *plane);
}

/* The planes from one on take a carry; `from` is at least 3. */
static LRS_INLINED void add_carry(counter *sum, int from, VECTOR carry, int up) {
  if (from <= 3) carry = add_one(&sum->plane[3], carry, up);
  if (from <= 4) carry = add_one(&sum->plane[4], carry, up);
  if (from <= 5) carry = add_one(&sum->plane[5], carry, up);
  if (from <= 6) carry = add_one(&sum->plane[6], carry, up);
  carry = add_one(&sum->plane[7], carry, up);
  sum->plane[8] = XOR(sum->plane[8], carry);
}

/* Four trits go to planes 0 to 2; the carry has weight 8. t + 1 = 2 u + x: x is added to plane 0, and u leaves together
 * with x's carry, as they are never both set. Plane 0 takes two x in one operation, since it is what the next trits
 * have to wait for; what it was in between is known where the second x is set: not what it is after both. All x are
 * loaded first, so that nothing waits for one load after another.
 *
 * Their entries are read as one word: loads of entries would stand in the way of loads of vectors. */
static LRS_INLINED VECTOR add_4_trits(counter *sum, table_start table, const uint16_t *list, int up) {
  const size_t scale = 2 * VECTOR_BYTES / LRS_ENTRY_SCALE;
  uint64_t entries;
  memcpy(&entries, list, sizeof entries);
  HOLD_WORD(entries);
  const uint32_t low = (uint32_t)entries, high = (uint32_t)(entries >> 32);
  const size_t a = (low & 0xffff) * scale, b = (low >> 16) * scale;
  const size_t c = (high & 0xffff) * scale, d = (high >> 16) * scale;
  VECTOR xa = LOAD(table.x + a), xb = LOAD(table.x + b), xc = LOAD(table.x + c), xd = LOAD(table.x + d);
  HOLD(xa);
  HOLD(xb);
  HOLD(xc);
  HOLD(xd);
  const VECTOR before = sum->plane[0], between = SUM_3(before, xa, xb), after = SUM_3(between, xc, xd);
  const VECTOR ua = LOAD(table.u + a), ub = LOAD(table.u + b), uc = LOAD(table.u + c), ud = LOAD(table.u + d);
  const VECTOR from_a = up ? TRIT_CARRY(ua, xa, before) : TRIT_BORROW(ua, xa, before);
  const VECTOR from_b = up ? TRIT_BORROW(ub, xb, between) : TRIT_CARRY(ub, xb, between);
  const VECTOR from_c = up ? TRIT_CARRY(uc, xc, between) : TRIT_BORROW(uc, xc, between);
  const VECTOR from_d = up ? TRIT_BORROW(ud, xd, after) : TRIT_CARRY(ud, xd, after);
  sum->plane[0] = after;
  const VECTOR first = add_two(&sum->plane[1], from_a, from_b, up);
  const VECTOR second = add_two(&sum->plane[1], from_c, from_d, up);
  return add_two(&sum->plane[2], first, second, up);
}

static LRS_INLINED VECTOR add_8_trits(counter *sum, table_start table, const uint16_t *list, int up) {
  const VECTOR first = add_4_trits(sum, table, list, up), second = add_4_trits(sum, table, list + 4, up);
  return add_two(&sum->plane[3], first, second, up);
}

static LRS_INLINED VECTOR add_16_trits(counter *sum, table_start table, const uint16_t *list, int up) {
  const VECTOR first = add_8_trits(sum, table, list, up), second = add_8_trits(sum, table, list + 8, up);
  return add_two(&sum->plane[4], first, second, up);
}

/* Counts `fours` times four trits; returns the end of the list. */
static LRS_INLINED const uint16_t *count(counter *sum, table_start table, const uint16_t *list, uint32_t fours,
                                         int up) {
  if (fours & 1) {
    add_carry(sum, 3, add_4_trits(sum, table, list, up), up);
    list += 4;
  }
  if (fours & 2) {
    add_carry(sum, 4, add_8_trits(sum, table, list, up), up);
    list += 8;
  }
  for (fours >>= 2; fours; fours--) {
    add_carry(sum, 5, add_16_trits(sum, table, list, up), up);
    list += 16;
  }
  return list;
}

/* The trits of voxels at dx from those of a vector; `at` is the byte where these begin. A shift within 64-bit words
 * lacks the bits that come from the next word. Where words end with rows, those bits are masked in any case. */
static LRS_INLINED VECTOR moved(const uint8_t *at, VECTOR here, int32_t dx, int whole_rows) {
  switch (dx) {
    case -2: return OR(SHIFT_LEFT(here, 2), whole_rows ? EVERY(0) : SHIFT_RIGHT(WORDS_BELOW(at, here), 62));
    case -1: return OR(SHIFT_LEFT(here, 1), whole_rows ? EVERY(0) : SHIFT_RIGHT(WORDS_BELOW(at, here), 63));
    case 1: return OR(SHIFT_RIGHT(here, 1), whole_rows ? EVERY(0) : SHIFT_LEFT(WORDS_ABOVE(at, here), 63));
    case 2: return OR(SHIFT_RIGHT(here, 2), whole_rows ? EVERY(0) : SHIFT_LEFT(WORDS_ABOVE(at, here), 62));
    default: return here;
  }
}

static LRS_INLINED void put(uint8_t *table, VECTOR u, VECTOR x) {
  STORE(table, u);
  STORE(table + VECTOR_BYTES, x);
}

/* Copies the trits of all neighbours in a chunk, u and x in turn, so that lists can add them in any order. With
 * `by_row` each row of taps has masks of its own, and its middle needs one too. With `whole_rows` no row of voxels goes
 * on from one 64-bit word to the next. */
static LRS_INLINED void fill_rows(const lrs_convolution *convolution, const lrs_chunk *chunk, int64_t position,
                                  uint8_t *table, int by_row, int whole_rows) {
  const lrs_raster *raster = convolution->raster;
  VECTOR within[LRS_NEIGHBOURS];
  enum { LEFT = LRS_MAX_REACH - 1, MIDDLE, RIGHT };
  const lrs_tap_row *row = convolution->lists->rows + chunk->first_row, *end = row + chunk->row_count;
  const uint8_t *const *u_planes = convolution->u, *const *x_planes = convolution->x;
  const int64_t rows = raster->rows, pitch = raster->pitch;
  if (!by_row) {
    for (int32_t i = 0; i < LRS_NEIGHBOURS; i++) {
      const uint8_t *mask = raster->within[LRS_MAX_REACH][i];
      within[i] = mask ? LOAD(mask + position) : EVERY(0);
    }
  }
  for (; row < end; row++) {
    const int64_t place = position + (row->dz * rows + row->dy) * pitch;
    const uint8_t *u = u_planes[row->source] + place, *x = x_planes[row->source] + place;
    uint8_t *const *masks = raster->within[LRS_MAX_REACH + (by_row ? row->dy : 0)];
    LRS_PREFETCH(u + 2 * VECTOR_BYTES); /* of the next vector */
    LRS_PREFETCH(x + 2 * VECTOR_BYTES);
    if (row->first_dx == -1 && row->last_dx == 1) { /* most kernels: each vector is loaded once */
      VECTOR u0 = LOAD(u), x0 = LOAD(x);
      HOLD(u0);
      HOLD(x0);
      const VECTOR left = by_row ? LOAD(masks[LEFT] + position) : within[LEFT];
      const VECTOR right = by_row ? LOAD(masks[RIGHT] + position) : within[RIGHT];
      const VECTOR u_left = moved(u, u0, -1, whole_rows), u_right = moved(u, u0, 1, whole_rows);
      const VECTOR x_left = moved(x, x0, -1, whole_rows), x_right = moved(x, x0, 1, whole_rows);
      if (by_row) {
        const VECTOR middle = LOAD(masks[MIDDLE] + position);
        u0 = AND(u0, middle);
        x0 = OR(x0, NOT(middle));
      }
      put(table, AND(u_left, left), OR(x_left, NOT(left)));
      put(table + 2 * VECTOR_BYTES, u0, x0);
      put(table + 4 * VECTOR_BYTES, AND(u_right, right), OR(x_right, NOT(right)));
      table += 6 * VECTOR_BYTES;
      continue;
    }
    for (int32_t dx = row->first_dx; dx <= row->last_dx; dx++) {
      if (dx == 0 && (!by_row || row->dy == 0)) {
        put(table, LOAD(u), LOAD(x));
      } else {
        const VECTOR mask = by_row ? LOAD(masks[dx + LRS_MAX_REACH] + position) : within[dx + LRS_MAX_REACH];
        const VECTOR u_moved = moved(u, LOAD(u), dx, whole_rows), x_moved = moved(x, LOAD(x), dx, whole_rows);
        put(table, AND(u_moved, mask), OR(x_moved, NOT(mask)));
      }
      table += 2 * VECTOR_BYTES;
    }
  }
  put(table, EVERY(0), EVERY(0)); /* t + 1 = 0: adds nothing */
}

static void fill_table(const lrs_convolution *convolution, const lrs_chunk *chunk, int64_t position, uint8_t *table) {
  const int padded = lrs_is_padded(convolution->raster), whole_rows = 8 % convolution->raster->pitch == 0;
  if (padded && whole_rows) {
    fill_rows(convolution, chunk, position, table, 0, 1);
  } else if (padded) {
    fill_rows(convolution, chunk, position, table, 0, 0);
  } else if (whole_rows) {
    fill_rows(convolution, chunk, position, table, 1, 1);
  } else {
    fill_rows(convolution, chunk, position, table, 1, 0);
  }
}

static LRS_INLINED void clear(counter *sum) {
#define CLEAR(k) sum->plane[k] = EVERY(0);
  EACH_PLANE(CLEAR)
}

/* From a sum and another one of the same chunk: *sum + *other, and *sum - *other. */
static LRS_INLINED void add_and_subtract(counter *sum, counter *other) {
  VECTOR carry = EVERY(0), borrow = carry;
#define ADD_AND_SUBTRACT(k)                                                                           \
  {                                                                                                   \
    const VECTOR first = sum->plane[k], second = other->plane[k], unlike = XOR(first, second);        \
    sum->plane[k] = XOR(unlike, carry);                                                               \
    other->plane[k] = XOR(unlike, borrow);                                                            \
    carry = CARRY(second, carry, first, sum->plane[k]);                                               \
    borrow = BORROW(second, borrow, first, other->plane[k]);                                          \
  }
  EACH_PLANE(ADD_AND_SUBTRACT)
}

/* Adds what a chunk gives to the sum of an output, or begins the sum. */
static LRS_INLINED void add_to_sum(VECTOR *sum, const counter *chunk, int32_t planes, int begin) {
  VECTOR carry = EVERY(0);
  if (begin) {
#define COPY(k) sum[k] = chunk->plane[k];
    EACH_PLANE(COPY)
    for (int32_t k = LRS_CHUNK_PLANES; k < planes; k++) sum[k] = chunk->plane[TOP];
  } else {
#define ADD(k) carry = add_two(&sum[k], chunk->plane[k], carry, UP);
    EACH_PLANE(ADD)
    for (int32_t k = LRS_CHUNK_PLANES; k < planes; k++) carry = add_two(&sum[k], chunk->plane[TOP], carry, UP);
  }
}

/* Counts what two outputs add of one chunk. Trits that both have are counted once, those with which they do the same
 * apart from those with which they do opposite things: the sum of both counts belongs to the first output, the
 * difference to the second one, and each goes on with what it has alone. */
static void add_pair(table_start table, const uint16_t *list, const lrs_pair *pair, VECTOR *sum, VECTOR *other_sum,
                     int32_t planes, int begin) {
  counter first, second;
  clear(&first);
  clear(&second);
  if (pair->plus[LRS_OPPOSITE] | pair->minus[LRS_OPPOSITE] | pair->plus[LRS_SAME] | pair->minus[LRS_SAME]) {
    list = count(&second, table, list, pair->plus[LRS_OPPOSITE], UP);
    list = count(&second, table, list, pair->minus[LRS_OPPOSITE], DOWN);
    list = count(&first, table, list, pair->plus[LRS_SAME], UP);
    list = count(&first, table, list, pair->minus[LRS_SAME], DOWN);
    add_and_subtract(&first, &second);
  }
  list = count(&first, table, list, pair->plus[LRS_FIRST_ALONE], UP);
  list = count(&first, table, list, pair->minus[LRS_FIRST_ALONE], DOWN);
  add_to_sum(sum, &first, planes, begin);
  if (!other_sum) return;
  list = count(&second, table, list, pair->plus[LRS_SECOND_ALONE], UP);
  list = count(&second, table, list, pair->minus[LRS_SECOND_ALONE], DOWN);
  add_to_sum(other_sum, &second, planes, begin);
}

/* Compares the sum of an output with its thresholds: the next layer's bits. A sum in two's complement is at least a
 * threshold where sum - threshold has a carry out of the highest plane, whose bit counts as inverted on both sides.
 * Limits have the thresholds' inverted bits. */
static LRS_INLINED void store_trits(const lrs_convolution *convolution, int32_t channel, int64_t position,
                                    const VECTOR *sum) {
  const lrs_tensor *output = &convolution->output;
  const int32_t planes = convolution->lists->planes, top = planes - 1;
  const uint64_t *upper = convolution->lists->limits + (size_t)channel * 2 * (size_t)planes, *lower = upper + planes;
  VECTOR above = EVERY(~(uint64_t)0), not_below = above; /* carries */
  for (int32_t plane = 0; plane < top; plane++) {
    const VECTOR bits = sum[plane];
    above = MAJORITY(above, bits, EVERY(upper[plane]));
    not_below = MAJORITY(not_below, bits, EVERY(lower[plane]));
  }
  const VECTOR inside = LOAD(convolution->raster->inside + position), sign = NOT(sum[top]);
  above = AND(MAJORITY(above, sign, EVERY(~upper[top])), inside);
  not_below = OR(MAJORITY(not_below, sign, EVERY(~lower[top])), NOT(inside));
  const int64_t place = channel * output->raster->stride + position;
  STORE(output->u + place, above);
  STORE(output->x + place, AND_NOT(not_below, above));
}

static void convolve(const lrs_convolution *convolution, int64_t first, int64_t end, int32_t first_channel,
                     int32_t end_channel, void *scratch) {
  uint8_t *table = (uint8_t *)scratch;
  VECTOR *sums = (VECTOR *)(table + 2 * (LRS_TABLE_ENTRIES + 1) * VECTOR_BYTES);
  const lrs_lists *lists = convolution->lists;
  const int32_t planes = lists->planes;
  table_start start = {table, table + VECTOR_BYTES};
  HOLD_WORD(start.x);
  for (int64_t vector = first; vector < end; vector++) {
    const int64_t position = vector * VECTOR_BYTES;
    for (int32_t c = 0; c < lists->chunk_count; c++) {
      fill_table(convolution, &lists->chunks[c], position, table);
      const lrs_pair *pairs = lists->pairs + (size_t)c * (size_t)lists->pair_count;
      for (int32_t i = first_channel / 2; i < (end_channel + 1) / 2; i++) {
        const int32_t one = pairs[i].output[0], other = pairs[i].output[1];
        VECTOR *sum = sums + (size_t)(one - first_channel) * (size_t)planes;
        VECTOR *other_sum = other < 0 ? NULL : sums + (size_t)(other - first_channel) * (size_t)planes;
        add_pair(start, lists->entries + pairs[i].first, &pairs[i], sum, other_sum, planes, c == 0);
      }
    }
    for (int32_t channel = first_channel; channel < end_channel; channel++) {
      store_trits(convolution, channel, position, sums + (size_t)(channel - first_channel) * (size_t)planes);
    }
  }
}

static void expand_blocks(const uint32_t *positive, const uint32_t *negative, int32_t entries, int16_t *trits) {
  for (int32_t i = 0; i < entries; i++) expand_block(positive[i], negative[i], trits + (size_t)i * LRS_BLOCK);
}

#ifndef OWN_FIRST_BLOCK
static void first_block(const int16_t *intensities, const int32_t *places, const int16_t *weights, int32_t pairs,
                        int32_t outputs, const int32_t *lower, const int32_t *upper, uint32_t *not_below,
                        uint32_t *above) {
  for (int32_t i = 0; i < outputs; i++) {
    first_output(intensities, places, weights + 2 * i * pairs, pairs, lower[i], upper[i], &not_below[i], &above[i]);
  }
}
#endif

static const lrs_kernels kernels = {VECTOR_BYTES, convolve, first_block, expand_blocks, logits_block,
                                    find_lists};
