#include <string.h>

#include "fuse.h"
#include "platform.h"

enum { SHIFT = 3 * LRS_WEIGHT_BITS, LEAD_BITS = 8, FEW = 4 };

size_t lrs_counts_scratch(const lrs_reconstruction *job) {
  const int counts = job->fusion && job->fusion->counts;
  return counts ? (size_t)(job->classes + 1) * LRS_LEVELS * sizeof(uint64_t) : 0;
}

uint64_t *lrs_begin_counts(const lrs_reconstruction *job, void *scratch) {
  const size_t bytes = lrs_counts_scratch(job);
  memset(scratch, 0, bytes);
  return bytes ? (uint64_t *)scratch : NULL;
}

void lrs_end_counts(const lrs_reconstruction *job, const uint64_t *counts) {
  for (int32_t i = 0; i < job->classes * LRS_LEVELS; i++) {
    if (counts[i]) lrs_atomic_add(&job->fusion->counts[i], (int64_t)counts[i]);
  }
}

void lrs_count_line(const uint8_t *levels, int64_t stride, const uint8_t *labels, int32_t length, uint64_t *counts) {
  for (int32_t x = 0; x < length; x++) {
    counts[labels[x] * LRS_LEVELS + (levels[x * stride] & (LRS_LEVELS - 1))] += LRS_CERTAIN;
  }
}

/* Values of the classes that may take part at one voxel, less the first one's. */
typedef struct contest {
  const uint8_t *classes;
  uint32_t values[LRS_MAX_CLASSES];
} contest;

/* Adds their probabilities at a voxel. Unsigned, since logits that are too large may overflow. */
static inline void count_voxel(const lrs_fusion *fusion, const contest *at, int32_t count, uint32_t best,
                               uint32_t limit, int32_t level, uint64_t *counts) {
  uint32_t weights[LRS_MAX_CLASSES], total = 0;
  for (int32_t c = 0; c < count; c++) {
    const uint32_t behind = best - at->values[c];
    weights[c] = behind <= limit ? fusion->decay[behind >> SHIFT] : 0;
    total += weights[c];
  }
  for (int32_t c = 0; c < count; c++) {
    counts[at->classes[c] * LRS_LEVELS + level] += (LRS_CERTAIN * weights[c] + total / 2) / total;
  }
}

/* The label of a voxel where more classes than one take part. */
static inline uint8_t fuse_voxel(const lrs_fusion *fusion, const contest *at, int32_t count, uint32_t best,
                                 uint32_t second, uint32_t limit, int32_t here, int32_t known) {
  const int32_t shift = SHIFT + fusion->lead_shift - LEAD_BITS, last = fusion->leads - 2;
  int32_t most = INT32_MIN;
  uint8_t winner = at->classes[0];
  for (int32_t c = 0; c < count; c++) {
    const uint32_t behind = best - at->values[c];
    if (behind > limit) continue;
    /* The lead and the limit: where the first table entry is 0. */
    const uint32_t place = (behind ? limit - behind : limit + (best - second)) >> shift;
    const int32_t before = (int32_t)(place >> LEAD_BITS) < last ? (int32_t)(place >> LEAD_BITS) : last;
    const uint32_t weight = place - ((uint32_t)before << LEAD_BITS);
    const uint8_t *ratios = fusion->evidence[at->classes[c]];
    const int16_t *table = fusion->corrections + (ratios[here] * fusion->ratios + ratios[known]) * fusion->leads + before;
    const uint32_t added = (uint32_t)table[0] * ((1u << LEAD_BITS) - weight) + (uint32_t)table[1] * weight;
    const int32_t value = (int32_t)((added << (SHIFT - LEAD_BITS)) - behind);
    if (value > most) {
      most = value;
      winner = at->classes[c];
    }
  }
  return winner;
}

/* The compiler knows `count` where this is expanded for few classes, and whether it counts. */
static inline void fuse_cell(const lrs_reconstruction *job, const lrs_corners *cell, const uint8_t candidates[],
                             int32_t count, const lrs_room *to, uint64_t *counts) {
  const lrs_fusion *fusion = job->fusion;
  const uint32_t limit = (uint32_t)job->reach << SHIFT;
  int32_t values[8][LRS_MAX_CLASSES + 1], z[4][LRS_MAX_CLASSES + 1], y[2][LRS_MAX_CLASSES + 1];
  contest at;
  at.classes = candidates;
  at.values[0] = 0;
  /* The last one is the intensity, if it is needed. */
  const int32_t channels = counts ? count : count + 1;
  for (int32_t i = 0; i < 8; i++) {
    for (int32_t c = 1; c < count; c++) values[i][c] = cell->at[i][candidates[c]] - cell->at[i][candidates[0]];
    if (counts) continue;
    const int64_t place = to->corner[i >> 2][0] * fusion->seen_step[0] + to->corner[i >> 1 & 1][1] * fusion->seen_step[1] +
                          to->corner[i & 1][2] * fusion->seen_step[2];
    values[i][count] = fusion->seen[place];
  }
  for (int32_t i = 0; i < to->count[0]; i++) {
    for (int32_t k = 0; k < 4; k++) {
      for (int32_t c = 1; c < channels; c++) z[k][c] = lrs_between(values[k][c], values[k + 4][c], to->weight[0][i]);
    }
    for (int32_t j = 0; j < to->count[1]; j++) {
      for (int32_t k = 0; k < 2; k++) {
        for (int32_t c = 1; c < channels; c++) y[k][c] = lrs_between(z[k][c], z[k + 2][c], to->weight[1][j]);
      }
      uint8_t *labels = to->labels + i * to->stride[0] + j * to->stride[1];
      const uint8_t *levels = fusion->levels + (to->first[0] + i) * fusion->level_stride[0] +
                              (to->first[1] + j) * fusion->level_stride[1] + to->first[2] * fusion->level_stride[2];
      for (int32_t k = 0; k < to->count[2]; k++) {
        const int32_t weight = to->weight[2][k], here = levels[k * fusion->level_stride[2]] & (LRS_LEVELS - 1);
        int32_t best = 0, second = INT32_MIN, winner = 0;
        for (int32_t c = 1; c < count; c++) {
          const int32_t value = lrs_between(y[0][c], y[1][c], weight), lower = value < best ? value : best;
          at.values[c] = (uint32_t)value;
          second = lower > second ? lower : second;
          winner = value > best ? c : winner;
          best = value > best ? value : best;
        }
        if (counts) {
          count_voxel(fusion, &at, count, (uint32_t)best, limit, here, counts);
        } else if (count == 1 || (uint32_t)best - (uint32_t)second > limit) {
          labels[k * to->stride[2]] = candidates[winner];
        } else {
          const int32_t known = (lrs_between(y[0][count], y[1][count], weight) + (1 << (SHIFT - 1))) >> SHIFT;
          labels[k * to->stride[2]] = fuse_voxel(fusion, &at, count, (uint32_t)best, (uint32_t)second, limit, here,
                                                 known & (LRS_LEVELS - 1));
        }
      }
    }
  }
}

void lrs_fuse_cell(const lrs_reconstruction *job, const lrs_corners *cell, const uint8_t candidates[], int32_t count,
                   const lrs_room *to, uint64_t *counts) {
  if (counts) {
    switch (count) {
      case 2: fuse_cell(job, cell, candidates, 2, to, counts); break;
      case 3: fuse_cell(job, cell, candidates, 3, to, counts); break;
      default: fuse_cell(job, cell, candidates, count, to, counts); break;
    }
  } else {
    switch (count) {
      case 2: fuse_cell(job, cell, candidates, 2, to, NULL); break;
      case 3: fuse_cell(job, cell, candidates, 3, to, NULL); break;
      case FEW: fuse_cell(job, cell, candidates, FEW, to, NULL); break;
      default: fuse_cell(job, cell, candidates, count, to, NULL); break;
    }
  }
}
