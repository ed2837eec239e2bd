/* 128-bit vectors of ARMv8. */
#include "bitplane.h"

#if defined(__ARM_NEON) && defined(__aarch64__)

#include <arm_neon.h>

#define VECTOR uint64x2_t
#define VECTOR_BYTES 16
#define LOAD(p) vreinterpretq_u64_u8(vld1q_u8((const uint8_t *)(const void *)(p)))
#define STORE(p, v) vst1q_u8((uint8_t *)(void *)(p), vreinterpretq_u8_u64(v))
#define EVERY(word) vdupq_n_u64(word)
#define AND(a, b) vandq_u64(a, b)
#define OR(a, b) vorrq_u64(a, b)
#define XOR(a, b) veorq_u64(a, b)
#define AND_NOT(a, b) vbicq_u64(a, b)
#define NOT(a) vreinterpretq_u64_u8(vmvnq_u8(vreinterpretq_u8_u64(a)))
#define SHIFT_LEFT(v, n) vshlq_n_u64(v, n)
#define SHIFT_RIGHT(v, n) vshrq_n_u64(v, n)
#define MAJORITY(a, b, c) vbslq_u64(XOR(a, b), c, a)
#define SUM_3(a, b, c) XOR(XOR(a, b), c)
#define CARRY(a, b, before, after) vbslq_u64(XOR(a, b), before, a)
#define BORROW(a, b, before, after) vbslq_u64(XOR(a, b), after, a)
#define TRIT_CARRY(u, x, plane) OR(u, AND(x, plane))
#define TRIT_BORROW(u, x, plane) OR(u, AND_NOT(x, plane))

/* Bit n: whether number n of four is all ones. */
static inline uint32_t mask_of(uint32x4_t truths) {
  const uint32x4_t bits = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(truths, bits));
}

static void first_output(const int16_t *intensities, const int32_t *places, const int16_t *weights, int32_t pairs,
                         int32_t lower, int32_t upper, uint32_t *not_below, uint32_t *above) {
  const int32x4_t low = vdupq_n_s32(lower), high = vdupq_n_s32(upper);
  *not_below = *above = 0;
  for (int i = 0; i < LRS_BLOCK / 4; i++) {
    int32x4_t sum = vdupq_n_s32(0);
    for (int32_t pair = 0; pair < pairs; pair++) {
      const int16x4x2_t both = vld2_s16(intensities + places[pair] + 8 * (size_t)i);
      sum = vmlal_n_s16(sum, both.val[0], weights[2 * pair]);
      sum = vmlal_n_s16(sum, both.val[1], weights[2 * pair + 1]);
    }
    *not_below |= mask_of(vcgeq_s32(sum, low)) << (4 * i);
    *above |= mask_of(vcgeq_s32(sum, high)) << (4 * i);
  }
}

static void expand_block(uint32_t positive, uint32_t negative, int16_t *trits) {
  const uint16x8_t bits = {1, 2, 4, 8, 16, 32, 64, 128};
  for (int i = 0; i < LRS_BLOCK / 8; i++) {
    const uint16x8_t plus = vtstq_u16(vdupq_n_u16((uint16_t)(positive >> 8 * i)), bits);
    const uint16x8_t minus = vtstq_u16(vdupq_n_u16((uint16_t)(negative >> 8 * i)), bits);
    /* A test that holds is all ones, -1. */
    vst1q_s16(trits + 8 * i, vreinterpretq_s16_u16(vsubq_u16(minus, plus)));
  }
}

static void logits_block(const int16_t *trits, const int16_t *weights, int32_t entries, int16_t offset,
                         int16_t *logits) {
  int16x8_t sum[LRS_BLOCK / 8];
  for (int i = 0; i < LRS_BLOCK / 8; i++) sum[i] = vdupq_n_s16(offset);
  for (int32_t entry = 0; entry < entries; entry++) {
    for (int i = 0; i < LRS_BLOCK / 8; i++) {
      sum[i] = vmlaq_n_s16(sum[i], vld1q_s16(trits + entry * LRS_BLOCK + 8 * i), weights[entry]);
    }
  }
  for (int i = 0; i < LRS_BLOCK / 8; i++) vst1q_s16(logits + 8 * i, sum[i]);
}

#include "isa_template.h"

const lrs_kernels *lrs_kernels_neon(void) { return &kernels; }

#else

const lrs_kernels *lrs_kernels_neon(void) { return NULL; }

#endif
