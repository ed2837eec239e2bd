/* Values by their rank, without sorting: numbers are counted by their highest bits, then those that share them with the
 * one that is looked for by the next bits, and so on. */
#include <string.h>

#include "job.h"
#include "platform.h"

enum {
  DIGITS = 3,
  BINS = 1 << 11,  /* of a digit; the last digit has one bit less */
  PARTS = 64,      /* at most, each with counts of its own, whatever the number of threads */
  LEAST_PART = 1 << 15,
  TABLES = 4       /* counts of a part; neighbours, which are often equal, fall into different ones */
};

static const int32_t SHIFTS[DIGITS] = {21, 10, 0};
static const uint32_t MASKS[DIGITS] = {0x7ff, 0x7ff, 0x3ff};

typedef struct search {
  const float *values;
  int64_t count, parts;
  int32_t ranks;
  uint64_t left[LRS_MAX_RANKS];   /* rank among the values that share the digits that are known */
  uint32_t prefix[LRS_MAX_RANKS]; /* the digits that are known, at their places */
  uint32_t *counts;               /* parts x ranks x BINS */
  float *found;
} search;

/* Bits of a float, changed so that they are ordered as whole numbers. */
static inline uint32_t ordered(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static inline float unordered(uint32_t key) {
  const uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

/* Counts a part by the first digit, which is the same for all ranks. */
static void count_first(const search *job, const float *values, int64_t count, uint32_t *counts, uint32_t *tables) {
  memset(tables, 0, TABLES * BINS * sizeof(uint32_t));
  int64_t i = 0;
  for (; i + TABLES <= count; i += TABLES) {
    for (int32_t k = 0; k < TABLES; k++) tables[k * BINS + (ordered(values[i + k]) >> SHIFTS[0])]++;
  }
  for (; i < count; i++) tables[ordered(values[i]) >> SHIFTS[0]]++;
  for (int32_t bin = 0; bin < BINS; bin++) {
    counts[bin] = tables[bin] + tables[BINS + bin] + tables[2 * BINS + bin] + tables[3 * BINS + bin];
  }
  for (int32_t rank = 1; rank < job->ranks; rank++) memcpy(counts + rank * BINS, counts, BINS * sizeof(uint32_t));
}

/* Counts those values of a part that share the known digits with a rank by the next one. */
static void count_next(const float *values, int64_t count, int32_t digit, uint32_t prefix, uint32_t *counts) {
  const int32_t known = SHIFTS[digit - 1], shift = SHIFTS[digit];
  const uint32_t mask = MASKS[digit], wanted = prefix >> known;
  memset(counts, 0, BINS * sizeof(uint32_t));
  for (int64_t i = 0; i < count; i++) {
    const uint32_t key = ordered(values[i]);
    if (key >> known == wanted) counts[key >> shift & mask]++;
  }
}

static void count_part(void *context, int32_t phase, int64_t part, void *scratch) {
  const search *job = (const search *)context;
  const int64_t begin = job->count / job->parts * part;
  const int64_t end = part + 1 == job->parts ? job->count : begin + job->count / job->parts;
  uint32_t *counts = job->counts + part * job->ranks * BINS;
  if (phase == 0) {
    count_first(job, job->values + begin, end - begin, counts, (uint32_t *)scratch);
    return;
  }
  for (int32_t rank = 0; rank < job->ranks; rank++) {
    count_next(job->values + begin, end - begin, phase / 2, job->prefix[rank], counts + rank * BINS);
  }
}

/* Finds the next digit of each rank's value. */
static void choose(void *context, int32_t phase, int64_t item, void *scratch) {
  search *job = (search *)context;
  const int32_t digit = phase / 2;
  (void)item;
  (void)scratch;
  for (int32_t rank = 0; rank < job->ranks; rank++) {
    uint64_t left = job->left[rank];
    uint32_t bin = 0;
    for (; bin < MASKS[digit]; bin++) {
      uint64_t count = 0;
      for (int64_t part = 0; part < job->parts; part++) count += job->counts[(part * job->ranks + rank) * BINS + bin];
      if (left < count) break;
      left -= count;
    }
    job->left[rank] = left;
    job->prefix[rank] |= bin << SHIFTS[digit];
    if (digit == DIGITS - 1) job->found[rank] = unordered(job->prefix[rank]);
  }
}

static void release(void *context) {
  search *job = (search *)context;
  lrs_release(job->counts);
  free(job);
}

int32_t lrs_order_start(const float *values, size_t values_bytes, const int64_t *ranks, float *found, int32_t count,
                        int32_t threads, lrs_job **started) {
  if (!started) return LRS_BAD_ARGUMENT;
  *started = NULL;
  const size_t size = values_bytes / sizeof(float);
  if (!values || !ranks || !found || threads < 1 || count < 1 || count > LRS_MAX_RANKS || size < 1 ||
      values_bytes % sizeof(float) || (uintptr_t)values % sizeof(float) || size / PARTS >= UINT32_MAX - 1) {
    return LRS_BAD_ARGUMENT;
  }
  for (int32_t rank = 0; rank < count; rank++) {
    if (ranks[rank] < 0 || (uint64_t)ranks[rank] >= size) return LRS_BAD_ARGUMENT;
  }
  search *job = (search *)calloc(1, sizeof(search));
  if (!job) return LRS_NO_MEMORY;
  const int64_t parts = (int64_t)size / LEAST_PART;
  job->values = values;
  job->count = (int64_t)size;
  job->parts = parts < 1 ? 1 : parts < PARTS ? parts : PARTS;
  job->ranks = count;
  job->found = found;
  for (int32_t rank = 0; rank < count; rank++) job->left[rank] = (uint64_t)ranks[rank];
  const size_t bytes = (size_t)job->parts * (size_t)count * BINS * sizeof(uint32_t);
  job->counts = (uint32_t *)lrs_allocate(bytes);
  if (!job->counts) {
    release(job);
    return LRS_NO_MEMORY;
  }
  lrs_phase phases[2 * DIGITS];
  for (int32_t i = 0; i < DIGITS; i++) {
    phases[2 * i] = (lrs_phase){count_part, job->parts, 1.0};
    phases[2 * i + 1] = (lrs_phase){choose, 1, 0.02};
  }
  return lrs_job_start(phases, 2 * DIGITS, job, release, threads, TABLES * BINS * sizeof(uint32_t), bytes, started);
}
