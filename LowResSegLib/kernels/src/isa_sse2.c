/* 128-bit vectors of x86-64. */
#include "bitplane.h"

#if defined(__SSE2__) || defined(_M_X64)

#include <emmintrin.h>

#define VECTOR __m128i
#define VECTOR_BYTES 16
#define LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define STORE(p, v) _mm_storeu_si128((__m128i *)(void *)(p), v)
#define EVERY(word) _mm_set1_epi64x((long long)(word))
#define AND(a, b) _mm_and_si128(a, b)
#define OR(a, b) _mm_or_si128(a, b)
#define XOR(a, b) _mm_xor_si128(a, b)
#define AND_NOT(a, b) _mm_andnot_si128(b, a)
#define NOT(a) _mm_xor_si128(a, _mm_set1_epi32(-1))
#define SHIFT_LEFT(v, n) _mm_slli_epi64(v, n)
#define SHIFT_RIGHT(v, n) _mm_srli_epi64(v, n)
#define MAJORITY(a, b, c) OR(AND(a, b), AND(XOR(a, b), c))
#define SUM_3(a, b, c) XOR(XOR(a, b), c)
#define CARRY(a, b, before, after) MAJORITY(a, b, before)
#define BORROW(a, b, before, after) OR(AND(a, b), AND_NOT(XOR(a, b), before))
#define TRIT_CARRY(u, x, plane) OR(u, AND(x, plane))
#define TRIT_BORROW(u, x, plane) OR(u, AND_NOT(x, plane))

#if defined(__GNUC__) && !defined(__clang__)
#define HOLD_WORD(w) __asm__("" : "+r"(w))
#endif

static void first_output(const int16_t *intensities, const int32_t *places, const int16_t *weights, int32_t pairs,
                         int32_t lower, int32_t upper, uint32_t *not_below, uint32_t *above) {
  __m128i sum[LRS_BLOCK / 4];
  for (int i = 0; i < LRS_BLOCK / 4; i++) sum[i] = _mm_setzero_si128();
  for (int32_t pair = 0; pair < pairs; pair++) {
    const int16_t *row = intensities + places[pair];
    const __m128i weight = _mm_set1_epi32(lrs_two_numbers(weights + 2 * pair));
    for (int i = 0; i < LRS_BLOCK / 4; i++) {
      sum[i] = _mm_add_epi32(sum[i], _mm_madd_epi16(LOAD(row + 8 * i), weight));
    }
  }
  /* Greater than threshold - 1; thresholds are far from the ends of int32. */
  const __m128i low = _mm_set1_epi32(lower - 1), high = _mm_set1_epi32(upper - 1);
  *not_below = *above = 0;
  for (int i = 0; i < LRS_BLOCK / 4; i++) {
    *not_below |= (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpgt_epi32(sum[i], low))) << (4 * i);
    *above |= (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpgt_epi32(sum[i], high))) << (4 * i);
  }
}

static void expand_block(uint32_t positive, uint32_t negative, int16_t *trits) {
  const __m128i bits = _mm_set_epi16(128, 64, 32, 16, 8, 4, 2, 1);
  for (int i = 0; i < LRS_BLOCK / 8; i++) {
    const __m128i plus = _mm_and_si128(_mm_set1_epi16((short)(positive >> 8 * i & 255)), bits);
    const __m128i minus = _mm_and_si128(_mm_set1_epi16((short)(negative >> 8 * i & 255)), bits);
    /* A comparison that holds is -1. */
    STORE(trits + 8 * i, _mm_sub_epi16(_mm_cmpeq_epi16(minus, bits), _mm_cmpeq_epi16(plus, bits)));
  }
}

static void logits_block(const int16_t *trits, const int16_t *weights, int32_t entries, int16_t offset,
                         int16_t *logits) {
  __m128i sum[LRS_BLOCK / 8];
  for (int i = 0; i < LRS_BLOCK / 8; i++) sum[i] = _mm_set1_epi16(offset);
  for (int32_t entry = 0; entry < entries; entry++) {
    const __m128i weight = _mm_set1_epi16(weights[entry]);
    for (int i = 0; i < LRS_BLOCK / 8; i++) {
      sum[i] = _mm_add_epi16(sum[i], _mm_mullo_epi16(LOAD(trits + entry * LRS_BLOCK + 8 * i), weight));
    }
  }
  for (int i = 0; i < LRS_BLOCK / 8; i++) STORE(logits + 8 * i, sum[i]);
}

#include "isa_template.h"

const lrs_kernels *lrs_kernels_sse2(void) { return &kernels; }

#else

const lrs_kernels *lrs_kernels_sse2(void) { return NULL; }

#endif
