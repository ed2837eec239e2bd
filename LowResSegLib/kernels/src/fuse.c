#include "fuse.h"

#include <string.h>

#include "bounds.h"
#include "platform.h"

/* Where the levels lie, by the job's sides. Where labels run backwards, so do the levels. */
static void place_levels(lrs_reconstruction *job, const uint8_t *levels, const lrs_layout *layout,
                         const lrs_layout *labels, const int32_t order[3]) {
  lrs_fusion *fusion = job->fusion;
  fusion->levels = levels + layout->first;
  for (int32_t i = 0; i < 3; i++) {
    const int32_t a = order[i];
    const int64_t stride = layout->shape[a] == 1 ? 0 : layout->strides[a];
    const int backwards = labels->strides[a] < 0 && labels->shape[a] > 1;
    if (backwards) fusion->levels += stride * (layout->shape[a] - 1);
    fusion->level_stride[i] = backwards ? -stride : stride;
  }
}

int32_t lrs_count_start(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                        const int32_t used[3], const lrs_places places[3], const uint8_t *levels, size_t levels_bytes,
                        const lrs_layout *layout, const uint16_t *decay, size_t decay_bytes, int64_t *counts,
                        size_t counts_bytes, int32_t threads, lrs_job **started) {
  lrs_reconstruction *job;
  int32_t order[3];
  if (!started) return LRS_BAD_ARGUMENT;
  *started = NULL;
  const size_t steps = decay_bytes / sizeof(uint16_t);
  if (threads < 1 || !decay || !counts || (uintptr_t)decay % sizeof(uint16_t) || (uintptr_t)counts % sizeof(int64_t) ||
      decay_bytes % sizeof(uint16_t) || steps < 1 || steps > LRS_MAX_REACH + 1 || classes < 1 ||
      counts_bytes != (size_t)classes * LRS_LEVELS * sizeof(int64_t)) {
    return LRS_BAD_ARGUMENT;
  }
  /* The levels take the labels' place, and are only read. */
  int32_t status = lrs_prepare(logits, logits_bytes, classes, grid, used, places, (uint8_t *)(uintptr_t)levels,
                               levels_bytes, layout, order, &job);
  if (status != LRS_DONE) return status;
  job->fusion = (lrs_fusion *)calloc(1, sizeof(lrs_fusion));
  if (!job->fusion) status = LRS_NO_MEMORY;
  if (status == LRS_DONE) {
    memcpy(job->fusion->decay, decay, decay_bytes);
    if (!job->fusion->decay[0]) status = LRS_BAD_ARGUMENT;
  }
  if (status != LRS_DONE) {
    lrs_release_reconstruction(job);
    return status;
  }
  job->reach = (int32_t)steps - 1;
  job->fusion->counts = counts;
  place_levels(job, levels, layout, layout, order);
  return lrs_start_reconstruction(job, threads, started);
}

/* Copies what is looked up, and checks the copy, which nobody else can change. */
static int32_t copy_tables(lrs_reconstruction *job, const lrs_corrections *corrections, const uint8_t *evidence,
                           size_t evidence_bytes) {
  lrs_fusion *fusion = job->fusion;
  const int32_t ratios = corrections->ratios, leads = corrections->leads, shift = corrections->lead_shift;
  if (!corrections->values || (uintptr_t)corrections->values % sizeof(int16_t) || ratios < 1 || ratios > 256 ||
      leads < 3 || leads % 2 == 0 || leads / 2 > LRS_MAX_REACH || shift < 0 || shift > 12 ||
      leads / 2 > LRS_MAX_REACH >> shift ||
      corrections->bytes != (size_t)ratios * (size_t)ratios * (size_t)leads * sizeof(int16_t) || !evidence ||
      evidence_bytes != (size_t)job->classes * LRS_LEVELS) {
    return LRS_BAD_ARGUMENT;
  }
  memcpy(fusion->evidence, evidence, evidence_bytes);
  for (int32_t c = 0; c < job->classes; c++) {
    for (int32_t i = 0; i < LRS_LEVELS; i++) {
      if (fusion->evidence[c][i] >= ratios) return LRS_BAD_ARGUMENT;
    }
  }
  fusion->corrections = corrections->values;
  fusion->ratios = ratios;
  fusion->leads = leads;
  fusion->lead_shift = shift;
  job->reach = leads / 2 << shift;
  return LRS_DONE;
}

int32_t lrs_fuse_start(const int16_t *logits, size_t logits_bytes, int32_t classes, const int32_t grid[3],
                       const int32_t used[3], const lrs_places places[3], const uint8_t *seen, size_t seen_bytes,
                       const lrs_layout *seen_layout, const uint8_t *levels, size_t levels_bytes,
                       const lrs_layout *levels_layout, const lrs_corrections *corrections, const uint8_t *evidence,
                       size_t evidence_bytes, uint8_t *labels, size_t labels_bytes, const lrs_layout *layout,
                       int32_t threads, lrs_job **started) {
  lrs_reconstruction *job;
  int32_t order[3];
  if (!started) return LRS_BAD_ARGUMENT;
  *started = NULL;
  if (threads < 1 || !seen || !seen_layout || !levels || !levels_layout || !corrections ||
      !lrs_layout_fits(seen_layout, seen_bytes) || !lrs_layout_fits(levels_layout, levels_bytes)) {
    return LRS_BAD_ARGUMENT;
  }
  int32_t status = lrs_prepare(logits, logits_bytes, classes, grid, used, places, labels, labels_bytes, layout, order,
                               &job);
  if (status != LRS_DONE) return status;
  job->fusion = (lrs_fusion *)calloc(1, sizeof(lrs_fusion));
  status = job->fusion ? copy_tables(job, corrections, evidence, evidence_bytes) : LRS_NO_MEMORY;
  for (int32_t a = 0; status == LRS_DONE && a < 3; a++) {
    if (seen_layout->shape[a] != used[a] || levels_layout->shape[a] != layout->shape[a]) status = LRS_BAD_ARGUMENT;
  }
  if (status != LRS_DONE) {
    lrs_release_reconstruction(job);
    return status;
  }
  place_levels(job, levels, levels_layout, layout, order);
  job->fusion->seen = seen + seen_layout->first;
  for (int32_t i = 0; i < 3; i++) {
    job->fusion->seen_step[i] = used[order[i]] == 1 ? 0 : seen_layout->strides[order[i]];
  }
  return lrs_start_reconstruction(job, threads, started);
}
