/* Plain 64-bit words, for any processor. */
#include <string.h>

#include "bitplane.h"

#define VECTOR uint64_t
#define VECTOR_BYTES 8

static inline uint64_t load_word(const void *from) {
  uint64_t word;
  memcpy(&word, from, sizeof word);
  return word;
}
static inline void store_word(void *to, uint64_t word) { memcpy(to, &word, sizeof word); }

#define LOAD(p) load_word(p)
#define STORE(p, v) store_word(p, v)
#define EVERY(word) ((uint64_t)(word))
#define AND(a, b) ((a) & (b))
#define OR(a, b) ((a) | (b))
#define XOR(a, b) ((a) ^ (b))
#define AND_NOT(a, b) ((a) & ~(b))
#define NOT(a) (~(a))
#define SHIFT_LEFT(v, n) ((v) << (n))
#define SHIFT_RIGHT(v, n) ((v) >> (n))
#define MAJORITY(a, b, c) (((a) & (b)) | (((a) ^ (b)) & (c)))
#define SUM_3(a, b, c) ((a) ^ (b) ^ (c))
#define CARRY(a, b, before, after) MAJORITY(a, b, before)
#define BORROW(a, b, before, after) OR(AND(a, b), AND_NOT(XOR(a, b), before))
#define TRIT_CARRY(u, x, plane) OR(u, AND(x, plane))
#define TRIT_BORROW(u, x, plane) OR(u, AND_NOT(x, plane))

static void first_output(const int16_t *intensities, const int32_t *places, const int16_t *weights, int32_t pairs,
                         int32_t lower, int32_t upper, uint32_t *not_below, uint32_t *above) {
  *not_below = *above = 0;
  for (uint32_t voxel = 0; voxel < LRS_BLOCK; voxel++) {
    int32_t sum = 0;
    for (int32_t pair = 0; pair < pairs; pair++) {
      const int16_t *both = intensities + places[pair] + 2 * voxel;
      sum += both[0] * weights[2 * pair] + both[1] * weights[2 * pair + 1];
    }
    *not_below |= (uint32_t)(sum >= lower) << voxel;
    *above |= (uint32_t)(sum >= upper) << voxel;
  }
}

static void expand_block(uint32_t positive, uint32_t negative, int16_t *trits) {
  for (int voxel = 0; voxel < LRS_BLOCK; voxel++) {
    trits[voxel] = (int16_t)((int)(positive >> voxel & 1) - (int)(negative >> voxel & 1));
  }
}

static void logits_block(const int16_t *trits, const int16_t *weights, int32_t entries, int16_t offset,
                         int16_t *logits) {
  for (int32_t voxel = 0; voxel < LRS_BLOCK; voxel++) logits[voxel] = offset;
  for (int32_t entry = 0; entry < entries; entry++) {
    const int16_t *row = trits + (size_t)entry * LRS_BLOCK;
    for (int32_t voxel = 0; voxel < LRS_BLOCK; voxel++) {
      logits[voxel] = (int16_t)(logits[voxel] + weights[entry] * row[voxel]);
    }
  }
}

#include "isa_template.h"

const lrs_kernels *lrs_kernels_word(void) { return &kernels; }
