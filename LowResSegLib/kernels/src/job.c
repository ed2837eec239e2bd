#include "job.h"

#include <string.h>

#include "platform.h"

struct lrs_job {
  lrs_phase *phases;
  int32_t count;
  void *context;
  void (*release)(void *context);
  double cost; /* of all phases */
  uint64_t memory;

  lrs_thread *threads;
  int32_t wanted;
  int64_t core; /* of the thread that started the job, and waits then */
  int32_t started;
  unsigned char *scratch;
  size_t scratch_bytes; /* of one thread */

  /* Read and written without the lock. */
  volatile int64_t next; /* item of the current phase that nobody has taken */
  volatile int64_t finished_items;
  volatile int64_t cancelled;
  volatile int64_t begun; /* threads that have taken a number */

  /* Guarded by the lock. */
  lrs_lock lock;
  lrs_condition changed;
  int32_t phase;
  int32_t waiting; /* threads that found no further item in the current phase */
  int32_t working; /* threads that have not ended */
  double finished_cost;
};

int32_t lrs_job_threads(const lrs_phase *phases, int32_t count, int32_t wanted) {
  int64_t most = 1;
  for (int32_t i = 0; i < count; i++) {
    if (phases[i].items > most) most = phases[i].items;
  }
  if (wanted > LRS_MAX_THREADS) wanted = LRS_MAX_THREADS;
  return (int64_t)wanted < most ? wanted : (int32_t)most;
}

/* Waits until every thread has come here; the last one opens the next phase. */
static void next_phase(lrs_job *job) {
  lrs_lock_take(&job->lock);
  const int32_t phase = job->phase;
  if (++job->waiting == job->started) {
    job->waiting = 0;
    if (!lrs_atomic_get(&job->cancelled)) job->finished_cost += job->phases[phase].cost;
    job->phase = phase + 1;
    lrs_atomic_set(&job->finished_items, 0);
    lrs_atomic_set(&job->next, 0);
    lrs_condition_wake_all(&job->changed);
  } else {
    while (job->phase == phase) lrs_condition_wait(&job->changed, &job->lock);
  }
  lrs_lock_give(&job->lock);
}

static LRS_THREAD_FUNCTION work(void *argument) {
  lrs_job *job = (lrs_job *)argument;
  /* Without the lock, which lrs_job_start has until it knows how many threads there are: who waits for it may be woken
   * on another thread's core. */
  const int64_t number = lrs_atomic_add(&job->begun, 1);
  void *scratch = job->scratch + (size_t)number * job->scratch_bytes;
  if (job->wanted > 1) lrs_thread_spread(job->core, number);
  for (int32_t phase = 0; phase < job->count; phase++) {
    const lrs_phase *current = &job->phases[phase];
    while (!lrs_atomic_get(&job->cancelled)) {
      const int64_t item = lrs_atomic_add(&job->next, 1);
      if (item >= current->items) break;
      current->work(job->context, phase, item, scratch);
      lrs_atomic_add(&job->finished_items, 1);
    }
    next_phase(job);
  }
  lrs_lock_take(&job->lock);
  if (--job->working == 0) lrs_condition_wake_all(&job->changed);
  lrs_lock_give(&job->lock);
  return LRS_THREAD_RESULT;
}

static void discard(lrs_job *job) {
  lrs_release(job->scratch);
  free(job->threads);
  free(job->phases);
  free(job);
}

int32_t lrs_job_start(const lrs_phase *phases, int32_t count, void *context, void (*release)(void *context),
                      int32_t threads, size_t scratch, uint64_t memory, lrs_job **result) {
  int32_t status = LRS_NO_MEMORY;
  lrs_job *job = NULL;
  *result = NULL;
  threads = lrs_job_threads(phases, count, threads);
  scratch = (scratch + LRS_ALIGNMENT - 1) / LRS_ALIGNMENT * LRS_ALIGNMENT;
  if (scratch > SIZE_MAX / (size_t)threads) goto failed;
  job = (lrs_job *)calloc(1, sizeof(lrs_job));
  if (!job) goto failed;
  job->phases = (lrs_phase *)malloc((size_t)count * sizeof(lrs_phase));
  job->threads = (lrs_thread *)malloc((size_t)threads * sizeof(lrs_thread));
  job->scratch = (unsigned char *)lrs_allocate((size_t)threads * scratch);
  if (!job->phases || !job->threads || !job->scratch) goto failed;
  memcpy(job->phases, phases, (size_t)count * sizeof(lrs_phase));
  job->count = count;
  job->context = context;
  job->release = release;
  job->memory = memory + (uint64_t)threads * scratch;
  job->scratch_bytes = scratch;
  job->wanted = threads;
  job->core = lrs_core();
  for (int32_t i = 0; i < count; i++) job->cost += phases[i].cost;
  status = LRS_NO_THREADS;
  if (lrs_lock_init(&job->lock)) goto failed;
  if (lrs_condition_init(&job->changed)) {
    lrs_lock_destroy(&job->lock);
    goto failed;
  }
  lrs_lock_take(&job->lock);
  /* Fewer threads than wanted are enough. */
  while (job->started < threads && !lrs_thread_begin(&job->threads[job->started], work, job)) job->started++;
  job->working = job->started;
  lrs_lock_give(&job->lock);
  if (job->started) {
    *result = job;
    return LRS_DONE;
  }
  lrs_condition_destroy(&job->changed);
  lrs_lock_destroy(&job->lock);
failed:
  if (job) discard(job);
  if (release) release(context);
  return status;
}

int32_t lrs_job_wait(lrs_job *job, uint32_t milliseconds, lrs_progress *progress) {
  if (!job) return LRS_BAD_ARGUMENT;
  const uint64_t end = lrs_milliseconds() + milliseconds;
  lrs_lock_take(&job->lock);
  for (uint64_t now = end - milliseconds; job->working && now < end; now = lrs_milliseconds()) {
    lrs_condition_wait_for(&job->changed, &job->lock, (uint32_t)(end - now));
  }
  /* Who has cancelled wants no result, even where the last item was done all the same. */
  const int whole = job->phase == job->count && !lrs_atomic_get(&job->cancelled);
  const int32_t status = job->working ? LRS_RUNNING : whole ? LRS_DONE : LRS_CANCELLED;
  if (progress) {
    double done = job->finished_cost;
    if (job->phase < job->count && job->phases[job->phase].items > 0) {
      const lrs_phase *current = &job->phases[job->phase];
      done += current->cost * (double)lrs_atomic_get(&job->finished_items) / (double)current->items;
    }
    progress->status = status;
    progress->phase = job->phase;
    progress->phases = job->count;
    progress->threads = job->started;
    progress->share = job->cost > 0 ? done / job->cost : 1.0;
    progress->memory = job->memory;
  }
  lrs_lock_give(&job->lock);
  return status;
}

void lrs_job_cancel(lrs_job *job) {
  if (job) lrs_atomic_set(&job->cancelled, 1);
}

void lrs_job_free(lrs_job *job) {
  if (!job) return;
  lrs_job_cancel(job);
  for (int32_t i = 0; i < job->started; i++) lrs_thread_join(job->threads[i]);
  if (job->release) job->release(job->context);
  lrs_condition_destroy(&job->changed);
  lrs_lock_destroy(&job->lock);
  discard(job);
}
