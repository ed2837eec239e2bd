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
 *   TRIT_CARRY(u, x, ones)   u | (x & ones)
 *
 * and `first_block`, `expand_block` and `logits_block`, which need numbers instead of bits.
 *
 * A sum of trits is counted in bit planes: plane k of the counter holds bit k of every voxel's sum. As in a
 * Harley-Seal counter, carries of one plane are collected and added to the next one two at a time. Where any function of
 * three bits is one instruction, a trit costs 2 operations for plane 0, then 1, 1/2, 1/4, 1/8, and 9/16 for the carry
 * beyond (4.4); with gates of two inputs 8.25.
 */
#include "bitplane.h"

/* One plane of a counter takes two carries of its own weight, and gives one of twice the weight. */
#define ADD_TWO(plane, first, second, carry) \
  do {                                       \
    const VECTOR a_ = (first), b_ = (second); \
    (carry) = MAJORITY(plane, a_, b_);       \
    (plane) = SUM_3(plane, a_, b_);          \
  } while (0)

/* One plane takes one carry and gives one. */
#define ADD_ONE(plane, carry)              \
  do {                                     \
    const VECTOR before_ = (plane);        \
    (plane) = XOR(before_, carry);         \
    (carry) = AND(before_, carry);         \
  } while (0)

#define ENTRY(place) (table + (size_t)(place) * (2 * VECTOR_BYTES / LRS_ENTRY_SCALE))

/* Two trits go to plane 0. t + 1 = 2 u + x: x is added, and u leaves together with x's carry, as they are never both
 * set. Plane 0 takes both x in one operation, since it is what the next trits have to wait for. */
#define ADD_TWO_TRITS(list, first_carry, second_carry)                                                    \
  do {                                                                                                    \
    const uint8_t *first_ = ENTRY((list)[0]), *second_ = ENTRY((list)[1]);                                \
    const VECTOR x0_ = LOAD(first_ + VECTOR_BYTES), x1_ = LOAD(second_ + VECTOR_BYTES), before_ = p0;     \
    p0 = SUM_3(before_, x0_, x1_);                                                                        \
    (first_carry) = TRIT_CARRY(LOAD(first_), x0_, before_);                                               \
    (second_carry) = TRIT_CARRY(LOAD(second_), x1_, XOR(before_, x0_));                                   \
  } while (0)

/* Four trits go to planes 0 to 2; the carry has weight 8. */
#define ADD_FOUR_TRITS(list, carry)                 \
  do {                                              \
    VECTOR t0_, t1_, d0_, d1_;                      \
    ADD_TWO_TRITS(list, t0_, t1_);                  \
    ADD_TWO(p1, t0_, t1_, d0_);                     \
    ADD_TWO_TRITS((list) + 2, t0_, t1_);            \
    ADD_TWO(p1, t0_, t1_, d1_);                     \
    ADD_TWO(p2, d0_, d1_, carry);                   \
  } while (0)

#define ADD_8_TRITS(list, carry)         \
  do {                                   \
    VECTOR e0_, e1_;                     \
    ADD_FOUR_TRITS(list, e0_);           \
    ADD_FOUR_TRITS((list) + 4, e1_);     \
    ADD_TWO(p3, e0_, e1_, carry);        \
  } while (0)

#define ADD_16_TRITS(list, carry)        \
  do {                                   \
    VECTOR f0_, f1_;                     \
    ADD_8_TRITS(list, f0_);              \
    ADD_8_TRITS((list) + 8, f1_);        \
    ADD_TWO(p4, f0_, f1_, carry);        \
  } while (0)

/* Adds `fours` times four trits to the planes p0 to p9. */
#define ADD_LIST(list, fours)                             \
  do {                                                    \
    uint32_t left_ = (fours);                             \
    VECTOR carry_;                                        \
    if (left_ & 1) {                                      \
      ADD_FOUR_TRITS(list, carry_);                       \
      (list) += 4;                                        \
      ADD_ONE(p3, carry_);                                \
      ADD_ONE(p4, carry_);                                \
      ADD_ONE(p5, carry_);                                \
      ADD_ONE(p6, carry_);                                \
      ADD_ONE(p7, carry_);                                \
      ADD_ONE(p8, carry_);                                \
      p9 = XOR(p9, carry_);                               \
    }                                                     \
    if (left_ & 2) {                                      \
      ADD_8_TRITS(list, carry_);                          \
      (list) += 8;                                        \
      ADD_ONE(p4, carry_);                                \
      ADD_ONE(p5, carry_);                                \
      ADD_ONE(p6, carry_);                                \
      ADD_ONE(p7, carry_);                                \
      ADD_ONE(p8, carry_);                                \
      p9 = XOR(p9, carry_);                               \
    }                                                     \
    for (left_ >>= 2; left_; left_--) {                   \
      ADD_16_TRITS(list, carry_);                         \
      (list) += 16;                                       \
      ADD_ONE(p5, carry_);                                \
      ADD_ONE(p6, carry_);                                \
      ADD_ONE(p7, carry_);                                \
      ADD_ONE(p8, carry_);                                \
      p9 = XOR(p9, carry_);                               \
    }                                                     \
  } while (0)

/* The trits of voxels at dx from those of a vector; `at` is the byte where these begin. A shift within 64-bit words
 * lacks the bits that come from the next word; the same shift of what lies one byte further has them. */
static inline VECTOR moved(const uint8_t *at, int32_t dx) {
  switch (dx) {
    case -2: return OR(SHIFT_LEFT(LOAD(at), 2), SHIFT_RIGHT(LOAD(at - 1), 6));
    case -1: return OR(SHIFT_LEFT(LOAD(at), 1), SHIFT_RIGHT(LOAD(at - 1), 7));
    case 1: return OR(SHIFT_RIGHT(LOAD(at), 1), SHIFT_LEFT(LOAD(at + 1), 7));
    case 2: return OR(SHIFT_RIGHT(LOAD(at), 2), SHIFT_LEFT(LOAD(at + 1), 6));
    default: return LOAD(at);
  }
}

/* Copies the trits of all neighbours in a chunk, u and x in turn, so that lists can add them in any order. */
static void fill_table(const lrs_convolution *convolution, const lrs_chunk *chunk, int64_t position, uint8_t *table) {
  const lrs_raster *raster = convolution->raster;
  VECTOR within[2 * LRS_MAX_REACH + 1];
  for (int32_t dx = -LRS_MAX_REACH; dx <= LRS_MAX_REACH; dx++) {
    const uint8_t *mask = raster->within[dx + LRS_MAX_REACH];
    within[dx + LRS_MAX_REACH] = mask ? LOAD(mask + position) : EVERY(0);
  }
  for (int32_t i = 0; i < chunk->row_count; i++) {
    const lrs_tap_row *row = &convolution->lists->rows[chunk->first_row + i];
    const int64_t place = position + ((int64_t)row->dz * raster->rows + row->dy) * raster->pitch;
    const uint8_t *u = convolution->u[row->source] + place, *x = convolution->x[row->source] + place;
    for (int32_t dx = row->first_dx; dx <= row->last_dx; dx++) {
      if (dx == 0) {
        STORE(table, LOAD(u));
        STORE(table + VECTOR_BYTES, LOAD(x));
      } else {
        const VECTOR mask = within[dx + LRS_MAX_REACH];
        STORE(table, AND(moved(u, dx), mask));
        STORE(table + VECTOR_BYTES, OR(moved(x, dx), NOT(mask)));
      }
      table += 2 * VECTOR_BYTES;
    }
  }
  STORE(table, EVERY(0)); /* t + 1 = 0: adds nothing */
  STORE(table + VECTOR_BYTES, EVERY(0));
}

/* Counts what one output adds of one chunk. In two's complement ~s = -s - 1: the counter takes the trits of weight -1,
 * is inverted, and takes those of weight +1; it then holds plus - minus - 1. */
static inline void add_chunk(const uint8_t *table, const uint16_t *entries, const lrs_list *list, VECTOR *chunk) {
  VECTOR p0 = EVERY(0), p1 = p0, p2 = p0, p3 = p0, p4 = p0, p5 = p0, p6 = p0, p7 = p0, p8 = p0, p9 = p0;
  ADD_LIST(entries, list->minus);
  p0 = NOT(p0);
  p1 = NOT(p1);
  p2 = NOT(p2);
  p3 = NOT(p3);
  p4 = NOT(p4);
  p5 = NOT(p5);
  p6 = NOT(p6);
  p7 = NOT(p7);
  p8 = NOT(p8);
  p9 = NOT(p9);
  ADD_LIST(entries, list->plus);
  chunk[0] = p0;
  chunk[1] = p1;
  chunk[2] = p2;
  chunk[3] = p3;
  chunk[4] = p4;
  chunk[5] = p5;
  chunk[6] = p6;
  chunk[7] = p7;
  chunk[8] = p8;
  chunk[9] = p9;
}

/* Where a sum in two's complement is at least a threshold: the carry of sum - threshold out of the highest plane,
 * whose bit counts as inverted on both sides. `limit` has the threshold's inverted bits. */
static inline VECTOR at_least(const VECTOR *sum, const uint64_t *limit, int32_t planes) {
  VECTOR carry = EVERY(~(uint64_t)0);
  for (int32_t plane = 0; plane < planes - 1; plane++) carry = MAJORITY(sum[plane], EVERY(limit[plane]), carry);
  return MAJORITY(NOT(sum[planes - 1]), NOT(EVERY(limit[planes - 1])), carry);
}

static void convolve(const lrs_convolution *convolution, int64_t first, int64_t end, int32_t first_channel,
                     int32_t end_channel, void *scratch) {
  uint8_t *table = (uint8_t *)scratch;
  VECTOR *sums = (VECTOR *)(table + 2 * (LRS_TABLE_ENTRIES + 1) * VECTOR_BYTES);
  const lrs_lists *lists = convolution->lists;
  const lrs_tensor *output = &convolution->output;
  const int32_t planes = lists->planes, last_chunk = lists->chunk_count - 1;
  const int32_t common = planes < LRS_CHUNK_PLANES ? planes : LRS_CHUNK_PLANES;
  for (int64_t vector = first; vector < end; vector++) {
    const int64_t position = vector * VECTOR_BYTES;
    const VECTOR inside = LOAD(convolution->raster->inside + position);
    for (int32_t c = 0; c <= last_chunk; c++) {
      fill_table(convolution, &lists->chunks[c], position, table);
      const lrs_list *list = lists->lists + (size_t)c * (size_t)output->channels + first_channel;
      for (int32_t channel = first_channel; channel < end_channel; channel++, list++) {
        VECTOR chunk[LRS_CHUNK_PLANES];
        VECTOR *sum = sums + (size_t)(channel - first_channel) * (size_t)planes;
        add_chunk(table, lists->entries + list->first, list, chunk);
        if (c == 0) {
          for (int32_t p = 0; p < common; p++) sum[p] = chunk[p];
          for (int32_t p = common; p < planes; p++) sum[p] = chunk[LRS_CHUNK_PLANES - 1];
        } else {
          VECTOR carry = EVERY(0);
          for (int32_t p = 0; p < common; p++) ADD_TWO(sum[p], chunk[p], carry, carry);
          for (int32_t p = common; p < planes; p++) ADD_TWO(sum[p], chunk[LRS_CHUNK_PLANES - 1], carry, carry);
        }
        if (c < last_chunk) continue;
        const uint64_t *limits = lists->limits + (size_t)channel * 2 * (size_t)planes;
        const VECTOR above = AND(at_least(sum, limits, planes), inside);
        const VECTOR not_below = OR(at_least(sum, limits + planes, planes), NOT(inside));
        const int64_t place = channel * output->raster->stride + position;
        STORE(output->u + place, above);
        STORE(output->x + place, AND_NOT(not_below, above));
      }
    }
  }
}

static const lrs_kernels kernels = {VECTOR_BYTES, convolve, first_block, expand_block, logits_block};
