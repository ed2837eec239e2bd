/* 256-bit vectors. */
#include "bitplane.h"

#if defined(__AVX2__)

#include <immintrin.h>

#define VECTOR __m256i
#define VECTOR_BYTES 32
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define EVERY(word) _mm256_set1_epi64x((long long)(word))
#define AND(a, b) _mm256_and_si256(a, b)
#define OR(a, b) _mm256_or_si256(a, b)
#define XOR(a, b) _mm256_xor_si256(a, b)
#define AND_NOT(a, b) _mm256_andnot_si256(b, a)
#define NOT(a) _mm256_xor_si256(a, _mm256_set1_epi32(-1))
#define SHIFT_LEFT(v, n) _mm256_slli_epi64(v, n)
#define SHIFT_RIGHT(v, n) _mm256_srli_epi64(v, n)
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
  __m256i sum[LRS_BLOCK / 8];
  for (int i = 0; i < LRS_BLOCK / 8; i++) sum[i] = _mm256_setzero_si256();
  for (int32_t pair = 0; pair < pairs; pair++) {
    const int16_t *row = intensities + places[pair];
    const __m256i weight = _mm256_set1_epi32(lrs_two_numbers(weights + 2 * pair));
    for (int i = 0; i < LRS_BLOCK / 8; i++) {
      sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(LOAD(row + 16 * i), weight));
    }
  }
  /* Greater than threshold - 1; thresholds are far from the ends of int32. */
  const __m256i low = _mm256_set1_epi32(lower - 1), high = _mm256_set1_epi32(upper - 1);
  *not_below = *above = 0;
  for (int i = 0; i < LRS_BLOCK / 8; i++) {
    *not_below |= (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(sum[i], low))) << (8 * i);
    *above |= (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(sum[i], high))) << (8 * i);
  }
}

static void expand_block(uint32_t positive, uint32_t negative, int16_t *trits) {
  const __m256i bits = _mm256_set_epi16(-32768, 16384, 8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1);
  for (int i = 0; i < LRS_BLOCK / 16; i++) {
    const __m256i plus = _mm256_and_si256(_mm256_set1_epi16((short)(positive >> 16 * i)), bits);
    const __m256i minus = _mm256_and_si256(_mm256_set1_epi16((short)(negative >> 16 * i)), bits);
    /* A comparison that holds is -1. */
    STORE(trits + 16 * i, _mm256_sub_epi16(_mm256_cmpeq_epi16(minus, bits), _mm256_cmpeq_epi16(plus, bits)));
  }
}

static void logits_block(const int16_t *trits, const int16_t *weights, int32_t entries, int16_t offset,
                         int16_t *logits) {
  __m256i low = _mm256_set1_epi16(offset), high = low;
  for (int32_t entry = 0; entry < entries; entry++) {
    const __m256i weight = _mm256_set1_epi16(weights[entry]);
    const int16_t *row = trits + (size_t)entry * LRS_BLOCK;
    low = _mm256_add_epi16(low, _mm256_mullo_epi16(LOAD(row), weight));
    high = _mm256_add_epi16(high, _mm256_mullo_epi16(LOAD(row + 16), weight));
  }
  STORE(logits, low);
  STORE(logits + 16, high);
}

#include "isa_template.h"

const lrs_kernels *lrs_kernels_avx2(void) { return &kernels; }

#else

const lrs_kernels *lrs_kernels_avx2(void) { return NULL; }

#endif
