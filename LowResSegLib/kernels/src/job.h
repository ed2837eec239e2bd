/* A job: a row of phases, each a number of independent items that the job's own threads share.
 *
 * A phase begins when every item of the one before it is done, so it may read what that one wrote. Each thread begins
 * with a share of neighbouring items, and helps others when it has done them; since items write to places of their own,
 * results do not depend on who does which.
 */
#ifndef LRS_JOB_H
#define LRS_JOB_H

#include "lowresseg.h"

#define LRS_MAX_THREADS 256

/* Does one item of a phase. `scratch` is memory of the calling thread alone, aligned to LRS_ALIGNMENT. An item should
 * take no longer than some ten milliseconds: between items a job looks whether it was cancelled. */
typedef void (*lrs_work)(void *context, int32_t phase, int64_t item, void *scratch);

typedef struct lrs_phase {
  lrs_work work;
  int64_t items;
  double cost; /* of the whole phase, in any unit, for the progress */
} lrs_phase;

/* Starts a job; copies `phases`. `context` is handed to each call of `work` and to `release` (may be NULL) when the
 * job is freed, or at once where it cannot start. `memory` is what the context holds, for the report. */
int32_t lrs_job_start(const lrs_phase *phases, int32_t count, void *context, void (*release)(void *context),
                      int32_t threads, size_t scratch, uint64_t memory, lrs_job **job);

/* Threads that are worth starting for so much to do: at most as many as the largest phase has items. */
int32_t lrs_job_threads(const lrs_phase *phases, int32_t count, int32_t wanted);

#endif
