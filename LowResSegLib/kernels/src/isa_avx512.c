/* 512-bit vectors: any function of three bits is one instruction. */
#include "bitplane.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)

#include <immintrin.h>

#define VECTOR __m512i
#define OWN_FIRST_BLOCK
#define VECTOR_BYTES 64
#define LOAD(p) _mm512_loadu_si512((const void *)(p))
#define STORE(p, v) _mm512_storeu_si512((void *)(p), v)
#define EVERY(word) _mm512_set1_epi64((long long)(word))
#define AND(a, b) _mm512_and_si512(a, b)
#define OR(a, b) _mm512_or_si512(a, b)
#define XOR(a, b) _mm512_xor_si512(a, b)
#define AND_NOT(a, b) _mm512_andnot_si512(b, a)
#define NOT(a) _mm512_ternarylogic_epi64(a, a, a, 0x55)
#define SHIFT_LEFT(v, n) _mm512_slli_epi64(v, n)
#define SHIFT_RIGHT(v, n) _mm512_srli_epi64(v, n)
#define MAJORITY(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xe8)
#define SUM_3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define CARRY(a, b, before, after) _mm512_ternarylogic_epi64(a, b, after, 0xd4)
#define BORROW(a, b, before, after) _mm512_ternarylogic_epi64(a, b, after, 0xe8)
#define TRIT_CARRY(u, x, plane) _mm512_ternarylogic_epi64(x, plane, u, 0xea)
#define TRIT_BORROW(u, x, plane) _mm512_ternarylogic_epi64(x, plane, u, 0xba)

/* Each word from its neighbour in the vector, and the one at the end from memory: a load of a whole vector there would
 * cross the end of a cache line, which takes twice as long. */
static LRS_INLINED __m512i word_at(const uint8_t *at) {
  int64_t word;
  memcpy(&word, at, sizeof word);
  return _mm512_set1_epi64(word);
}
#define WORDS_BELOW(p, v) _mm512_alignr_epi64(v, word_at((p)-8), 7)
#define WORDS_ABOVE(p, v) _mm512_alignr_epi64(word_at((p) + VECTOR_BYTES), v, 1)

/* GCC loads a vector again where it is needed twice, and loads are what this waits for. */
#if defined(__GNUC__) && !defined(__clang__)
#define HOLD(v) __asm__("" : "+v"(v))
#define HOLD_WORD(w) __asm__("" : "+r"(w))
#endif

/* So many outputs: what is loaded of the intensities does for all of them. */
static LRS_INLINED void first_outputs(const int16_t *intensities, const int32_t *places, const int16_t *weights,
                                      int32_t pairs, int outputs, const int32_t *lower, const int32_t *upper,
                                      uint32_t *not_below, uint32_t *above) {
  __m512i left[LRS_TOGETHER], right[LRS_TOGETHER];
  for (int i = 0; i < outputs; i++) left[i] = right[i] = _mm512_setzero_si512();
  for (int32_t pair = 0; pair < pairs; pair++) {
    const int16_t *row = intensities + places[pair];
    const __m512i row_left = LOAD(row), row_right = LOAD(row + 32);
    for (int i = 0; i < outputs; i++) {
      const __m512i weight = _mm512_set1_epi32(lrs_two_numbers(weights + 2 * (i * pairs + pair)));
      left[i] = _mm512_add_epi32(left[i], _mm512_madd_epi16(row_left, weight));
      right[i] = _mm512_add_epi32(right[i], _mm512_madd_epi16(row_right, weight));
    }
  }
  for (int i = 0; i < outputs; i++) {
    const __m512i low = _mm512_set1_epi32(lower[i]), high = _mm512_set1_epi32(upper[i]);
    not_below[i] = _mm512_cmpge_epi32_mask(left[i], low) | (uint32_t)_mm512_cmpge_epi32_mask(right[i], low) << 16;
    above[i] = _mm512_cmpge_epi32_mask(left[i], high) | (uint32_t)_mm512_cmpge_epi32_mask(right[i], high) << 16;
  }
}

static void first_block(const int16_t *intensities, const int32_t *places, const int16_t *weights, int32_t pairs,
                        int32_t outputs, const int32_t *lower, const int32_t *upper, uint32_t *not_below,
                        uint32_t *above) {
  if (outputs == LRS_TOGETHER) {
    first_outputs(intensities, places, weights, pairs, LRS_TOGETHER, lower, upper, not_below, above);
  } else {
    for (int32_t i = 0; i < outputs; i++) {
      first_outputs(intensities, places, weights + 2 * i * pairs, pairs, 1, lower + i, upper + i, not_below + i,
                    above + i);
    }
  }
}

static void expand_block(uint32_t positive, uint32_t negative, int16_t *trits) {
  STORE(trits, _mm512_sub_epi16(_mm512_movm_epi16(negative), _mm512_movm_epi16(positive)));
}

static void logits_block(const int16_t *trits, const int16_t *weights, int32_t entries, int16_t offset,
                         int16_t *logits) {
  __m512i sum = _mm512_set1_epi16(offset);
  for (int32_t entry = 0; entry < entries; entry++) {
    const __m512i weight = _mm512_set1_epi16(weights[entry]);
    sum = _mm512_add_epi16(sum, _mm512_mullo_epi16(LOAD(trits + (size_t)entry * LRS_BLOCK), weight));
  }
  STORE(logits, sum);
}

#include "isa_template.h"

const lrs_kernels *lrs_kernels_avx512(void) { return &kernels; }

#else

const lrs_kernels *lrs_kernels_avx512(void) { return NULL; }

#endif
