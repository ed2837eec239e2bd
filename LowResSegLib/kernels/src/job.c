#include "job.h"

#include <string.h>

#include "platform.h"

enum { WAKEFUL = 20 };   /* microseconds that a thread without work looks for the next phase before it sleeps */
enum { ITEM_BITS = 40 }; /* of a lane's number; the phase is above them */

/* The share of each phase that one thread begins with, in a cache line of its own. */
typedef struct lane {
  volatile int64_t next; /* the current phase, and how many items of its share are taken, in the end perhaps more */
  char apart[LRS_ALIGNMENT - sizeof(int64_t)];
} lane;

struct lrs_job {
  lrs_phase *phases;
  int32_t count;
  void *context;
  void (*release)(void *context);
  double cost; /* of all phases */
  uint64_t memory;

  lrs_thread *threads;
  lane *lanes; /* of as many threads as were wanted */
  int32_t lane_count, thread_count;
  int64_t core; /* of the thread that started the job, and waits then */
  unsigned char *scratch;
  size_t scratch_bytes; /* of one lane */

  /* Read and written without the lock. */
  volatile int64_t left;  /* items of the current phase that are not done */
  volatile int64_t begun; /* threads that have taken a number */

  /* Written only with the lock, so that no thread that is about to sleep misses it; `cancelled` and `phase` are read
   * without it too. */
  lrs_lock lock;
  lrs_condition opened;   /* another phase */
  lrs_condition ended;    /* the last thread: apart from `opened`, so that no phase wakes who waits for the job */
  volatile int64_t cancelled;
  volatile int64_t phase; /* the number of phases at the end */
  int32_t working;        /* threads that have not ended */
  double finished_cost;   /* of the phases before */
};

int32_t lrs_job_threads(const lrs_phase *phases, int32_t count, int32_t wanted) {
  int64_t most = 1;
  for (int32_t i = 0; i < count; i++) {
    if (phases[i].items > most) most = phases[i].items;
  }
  if (wanted > LRS_MAX_THREADS) wanted = LRS_MAX_THREADS;
  return (int64_t)wanted < most ? wanted : (int32_t)most;
}

/* Opens the first phase from `phase` on that has items. Nobody else does meanwhile: all items before are done. */
static void open_phase(lrs_job *job, int64_t phase) {
  while (phase < job->count && job->phases[phase].items <= 0) job->finished_cost += job->phases[phase++].cost;
  if (phase < job->count) lrs_atomic_set(&job->left, job->phases[phase].items);
  for (int32_t i = 0; i < job->lane_count; i++) lrs_atomic_publish(&job->lanes[i].next, phase << ITEM_BITS);
  lrs_atomic_publish(&job->phase, phase);
}

/* The item that a lane's number stands for; -1 where its share of the phase is taken. */
static int64_t item_of(const lrs_job *job, int64_t owner, int64_t next) {
  const int64_t phase = next >> ITEM_BITS, lanes = job->lane_count;
  if (phase >= job->count) return -1;
  const int64_t all = job->phases[phase].items;
  const int64_t item = all * owner / lanes + (next & (((int64_t)1 << ITEM_BITS) - 1));
  return item < all * (owner + 1) / lanes ? item : -1;
}

/* Takes an item of the current phase: of the lane's own ones first, which lie where its thread worked in the phase
 * before, so that what they read is in that core's cache; then of others'. Returns the phase, -1 where none is left. */
static int32_t take(lrs_job *job, int64_t number, int64_t *item) {
  for (int64_t i = 0; i < job->lane_count; i++) {
    const int64_t owner = (number + i) % job->lane_count;
    volatile int64_t *next = &job->lanes[owner].next;
    if (item_of(job, owner, lrs_atomic_see(next)) < 0) continue; /* only looked at: many threads may */
    const int64_t taken = lrs_atomic_meet(next, 1);
    *item = item_of(job, owner, taken);
    if (*item >= 0) return (int32_t)(taken >> ITEM_BITS);
  }
  return -1;
}

/* Does an item, and opens the next phase if it was the last one. Returns whether there was one. */
static int do_item(lrs_job *job, int64_t number) {
  int64_t item;
  const int32_t phase = lrs_atomic_get(&job->cancelled) ? -1 : take(job, number, &item);
  if (phase < 0) return 0;
  job->phases[phase].work(job->context, phase, item, job->scratch + (size_t)number * job->scratch_bytes);
  if (lrs_atomic_meet(&job->left, -1) == 1) {
    lrs_lock_take(&job->lock);
    job->finished_cost += job->phases[phase].cost;
    open_phase(job, (int64_t)phase + 1);
    lrs_condition_wake_all(&job->opened);
    lrs_lock_give(&job->lock);
  }
  return 1;
}

/* Waits for another phase. The phases of small grids take some microseconds, less than it takes to sleep and to be
 * woken: so a thread looks for a while before it sleeps. */
static void await_phase(lrs_job *job, int64_t phase) {
  const uint64_t end = lrs_microseconds() + WAKEFUL;
  do {
    for (int look = 0; look < 16; look++) { /* between two looks at the clock */
      if (lrs_atomic_see(&job->phase) != phase) return;
      lrs_pause();
    }
  } while (lrs_microseconds() < end);
  lrs_lock_take(&job->lock);
  while (lrs_atomic_get(&job->phase) == phase && !lrs_atomic_get(&job->cancelled)) {
    lrs_condition_wait(&job->opened, &job->lock);
  }
  lrs_lock_give(&job->lock);
}

static LRS_THREAD_FUNCTION work(void *argument) {
  lrs_job *job = (lrs_job *)argument;
  /* Without the lock, which lrs_job_start still has: who waits for it may be woken on another thread's core. */
  const int64_t number = lrs_atomic_add(&job->begun, 1);
  if (job->lane_count > 1) lrs_thread_spread(job->core, number);
  for (;;) {
    /* Before items are looked for, so that none of a later phase is missed. */
    const int64_t phase = lrs_atomic_see(&job->phase);
    if (phase == job->count || lrs_atomic_get(&job->cancelled)) break;
    while (do_item(job, number)) continue;
    await_phase(job, phase);
  }
  lrs_lock_take(&job->lock);
  if (--job->working == 0) lrs_condition_wake_all(&job->ended);
  lrs_lock_give(&job->lock);
  return LRS_THREAD_RESULT;
}

static void discard(lrs_job *job) {
  lrs_release(job->scratch);
  lrs_release(job->lanes);
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
  job->lanes = (lane *)lrs_allocate((size_t)threads * sizeof(lane));
  job->scratch = (unsigned char *)lrs_allocate((size_t)threads * scratch);
  if (!job->phases || !job->threads || !job->lanes || !job->scratch) goto failed;
  memcpy(job->phases, phases, (size_t)count * sizeof(lrs_phase));
  job->count = count;
  job->context = context;
  job->release = release;
  job->memory = memory + (uint64_t)threads * scratch;
  job->scratch_bytes = scratch;
  job->lane_count = threads;
  job->core = lrs_core();
  for (int32_t i = 0; i < count; i++) job->cost += phases[i].cost;
  status = LRS_NO_THREADS;
  if (lrs_lock_init(&job->lock)) goto failed;
  if (lrs_condition_init(&job->opened)) goto no_opened;
  if (lrs_condition_init(&job->ended)) goto no_ended;
  lrs_lock_take(&job->lock);
  open_phase(job, 0);
  /* Fewer threads than wanted are enough. */
  while (job->thread_count < threads && !lrs_thread_begin(&job->threads[job->thread_count], work, job)) {
    job->thread_count++;
  }
  job->working = job->thread_count;
  lrs_lock_give(&job->lock);
  if (job->thread_count) {
    *result = job;
    return LRS_DONE;
  }
  lrs_condition_destroy(&job->ended);
no_ended:
  lrs_condition_destroy(&job->opened);
no_opened:
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
    lrs_condition_wait_for(&job->ended, &job->lock, (uint32_t)(end - now));
  }
  /* Who has cancelled wants no result, even where the last item was done all the same. */
  const int whole = job->phase == job->count && !lrs_atomic_get(&job->cancelled);
  const int32_t status = job->working ? LRS_RUNNING : whole ? LRS_DONE : LRS_CANCELLED;
  if (progress) {
    const int64_t phase = job->phase;
    double done = job->finished_cost;
    if (phase < job->count) {
      const int64_t items = job->phases[phase].items, left = lrs_atomic_get(&job->left);
      done += job->phases[phase].cost * (double)(items - left) / (double)items;
    }
    progress->status = status;
    progress->phase = (int32_t)phase;
    progress->phases = job->count;
    progress->threads = job->thread_count;
    progress->share = job->cost > 0 ? done / job->cost : 1.0;
    progress->memory = job->memory;
  }
  lrs_lock_give(&job->lock);
  return status;
}

void lrs_job_cancel(lrs_job *job) {
  if (!job) return;
  lrs_lock_take(&job->lock);
  lrs_atomic_set(&job->cancelled, 1);
  lrs_condition_wake_all(&job->opened);
  lrs_lock_give(&job->lock);
}

void lrs_job_free(lrs_job *job) {
  if (!job) return;
  lrs_job_cancel(job);
  for (int32_t i = 0; i < job->thread_count; i++) lrs_thread_join(job->threads[i]);
  if (job->release) job->release(job->context);
  lrs_condition_destroy(&job->ended);
  lrs_condition_destroy(&job->opened);
  lrs_lock_destroy(&job->lock);
  discard(job);
}
