#include "instruction_sets.h"

#include "lowresseg.h"

#if defined(__x86_64__) || defined(_M_X64)

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static void cpuid(int32_t leaf, uint32_t registers[4]) { __cpuidex((int *)registers, leaf, 0); }
static uint64_t saved_registers(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(int32_t leaf, uint32_t registers[4]) {
  __cpuid_count((uint32_t)leaf, 0, registers[0], registers[1], registers[2], registers[3]);
}
static uint64_t saved_registers(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}
#endif

/* Whether the processor has an instruction set and the operating system saves its registers. */
static int processor_has(int32_t instruction_set) {
  if (instruction_set == LRS_WORD || instruction_set == LRS_SSE2) return 1;
  uint32_t basic[4], extended[4] = {0, 0, 0, 0}, most[4];
  cpuid(0, most);
  cpuid(1, basic);
  if (most[0] < 7 || !(basic[2] >> 27 & 1)) return 0; /* OSXSAVE */
  cpuid(7, extended);
  const uint64_t saved = saved_registers();
  if (instruction_set == LRS_AVX2) return (saved & 0x6) == 0x6 && (extended[1] >> 5 & 1);
  /* F, DQ, BW, VL: all that the compiler was allowed to use. */
  const uint32_t wanted = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
  return instruction_set == LRS_AVX512 && (saved & 0xe6) == 0xe6 && (extended[1] & wanted) == wanted;
}

#else

static int processor_has(int32_t instruction_set) { return instruction_set == LRS_WORD || instruction_set == LRS_NEON; }

#endif

const lrs_kernels *lrs_kernels_of(int32_t instruction_set) {
  if (instruction_set == LRS_BEST) {
    const lrs_kernels *best = NULL;
    for (int32_t i = LRS_INSTRUCTION_SETS - 1; i >= 0 && !best; i--) best = lrs_kernels_of(i);
    return best;
  }
  if (instruction_set < 0 || instruction_set >= LRS_INSTRUCTION_SETS || !processor_has(instruction_set)) return NULL;
  switch (instruction_set) {
    case LRS_SSE2: return lrs_kernels_sse2();
    case LRS_AVX2: return lrs_kernels_avx2();
    case LRS_AVX512: return lrs_kernels_avx512();
    case LRS_NEON: return lrs_kernels_neon();
    default: return lrs_kernels_word();
  }
}

uint32_t lrs_instruction_sets(void) {
  uint32_t present = 0;
  for (int32_t i = 0; i < LRS_INSTRUCTION_SETS; i++) present |= (uint32_t)(lrs_kernels_of(i) != NULL) << i;
  return present;
}

int32_t lrs_interface_version(void) { return LRS_INTERFACE_VERSION; }
