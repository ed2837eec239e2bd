/* What differs between operating systems and compilers: threads, atomic numbers, aligned memory. */
#ifndef LRS_PLATFORM_H
#define LRS_PLATFORM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Bit planes are read at byte positions: the lowest bit of a word has to be in its first byte."
#endif

#define LRS_ALIGNMENT 64 /* bytes: a cache line, and the widest vector */

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <process.h>
#include <windows.h>

typedef SRWLOCK lrs_lock;
typedef CONDITION_VARIABLE lrs_condition;
typedef HANDLE lrs_thread;
typedef unsigned(__stdcall *lrs_thread_start)(void *);
#define LRS_THREAD_FUNCTION unsigned __stdcall
#define LRS_THREAD_RESULT 0

static inline int lrs_lock_init(lrs_lock *lock) { InitializeSRWLock(lock); return 0; }
static inline void lrs_lock_destroy(lrs_lock *lock) { (void)lock; }
static inline void lrs_lock_take(lrs_lock *lock) { AcquireSRWLockExclusive(lock); }
static inline void lrs_lock_give(lrs_lock *lock) { ReleaseSRWLockExclusive(lock); }
static inline int lrs_condition_init(lrs_condition *condition) { InitializeConditionVariable(condition); return 0; }
static inline void lrs_condition_destroy(lrs_condition *condition) { (void)condition; }
static inline void lrs_condition_wake_all(lrs_condition *condition) { WakeAllConditionVariable(condition); }
static inline void lrs_condition_wait(lrs_condition *condition, lrs_lock *lock) {
  SleepConditionVariableSRW(condition, lock, INFINITE, 0);
}
/* Returns at the latest after so many milliseconds, or for no reason at all: callers look again. */
static inline void lrs_condition_wait_for(lrs_condition *condition, lrs_lock *lock, uint32_t milliseconds) {
  SleepConditionVariableSRW(condition, lock, milliseconds, 0);
}
static inline int lrs_thread_begin(lrs_thread *thread, lrs_thread_start start, void *argument) {
  *thread = (HANDLE)_beginthreadex(NULL, 0, start, argument, 0, NULL);
  return *thread ? 0 : 1;
}
static inline void lrs_thread_join(lrs_thread thread) {
  WaitForSingleObject(thread, INFINITE);
  CloseHandle(thread);
}
static inline uint64_t lrs_milliseconds(void) { return GetTickCount64(); }
static inline uint64_t lrs_microseconds(void) {
  LARGE_INTEGER now, second;
  QueryPerformanceCounter(&now);
  QueryPerformanceFrequency(&second);
  return (uint64_t)((double)now.QuadPart * 1e6 / (double)second.QuadPart);
}
static inline void *lrs_allocate(size_t bytes) { return _aligned_malloc(bytes ? bytes : 1, LRS_ALIGNMENT); }
static inline void lrs_release(void *memory) { _aligned_free(memory); }

#else

#include <errno.h>
#include <pthread.h>
#if defined(__linux__)
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#include <time.h>

typedef pthread_mutex_t lrs_lock;
typedef pthread_cond_t lrs_condition;
typedef pthread_t lrs_thread;
typedef void *(*lrs_thread_start)(void *);
#define LRS_THREAD_FUNCTION void *
#define LRS_THREAD_RESULT NULL

static inline int lrs_lock_init(lrs_lock *lock) { return pthread_mutex_init(lock, NULL); }
static inline void lrs_lock_destroy(lrs_lock *lock) { pthread_mutex_destroy(lock); }
static inline void lrs_lock_take(lrs_lock *lock) { pthread_mutex_lock(lock); }
static inline void lrs_lock_give(lrs_lock *lock) { pthread_mutex_unlock(lock); }
/* Waits go by a clock that nobody sets, where the system lets conditions have one. */
#if defined(__linux__)
#define LRS_WAITING_CLOCK CLOCK_MONOTONIC
static inline int lrs_condition_init(lrs_condition *condition) {
  pthread_condattr_t attributes;
  if (pthread_condattr_init(&attributes)) return 1;
  const int failed =
      pthread_condattr_setclock(&attributes, LRS_WAITING_CLOCK) || pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
  return failed;
}
#else
#define LRS_WAITING_CLOCK CLOCK_REALTIME
static inline int lrs_condition_init(lrs_condition *condition) { return pthread_cond_init(condition, NULL); }
#endif
static inline void lrs_condition_destroy(lrs_condition *condition) { pthread_cond_destroy(condition); }
static inline void lrs_condition_wake_all(lrs_condition *condition) { pthread_cond_broadcast(condition); }
static inline void lrs_condition_wait(lrs_condition *condition, lrs_lock *lock) { pthread_cond_wait(condition, lock); }
/* Returns at the latest after so many milliseconds, or for no reason at all: callers look again. */
static inline void lrs_condition_wait_for(lrs_condition *condition, lrs_lock *lock, uint32_t milliseconds) {
  struct timespec end;
  clock_gettime(LRS_WAITING_CLOCK, &end);
  end.tv_sec += (time_t)(milliseconds / 1000);
  end.tv_nsec += (long)(milliseconds % 1000) * 1000000L;
  if (end.tv_nsec >= 1000000000L) {
    end.tv_sec += 1;
    end.tv_nsec -= 1000000000L;
  }
  pthread_cond_timedwait(condition, lock, &end);
}
static inline int lrs_thread_begin(lrs_thread *thread, lrs_thread_start start, void *argument) {
  return pthread_create(thread, NULL, start, argument);
}
static inline void lrs_thread_join(lrs_thread thread) { pthread_join(thread, NULL); }
static inline uint64_t lrs_microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}
static inline uint64_t lrs_milliseconds(void) { return lrs_microseconds() / 1000u; }
/* Memory of many megabytes is asked for in large pages, where the system (Linux) has them on request: a run has it anew
 * each time, and the first touch of thousands of small pages takes as long as some layers. */
static inline void *lrs_allocate(size_t bytes) {
  void *memory = NULL;
#if defined(MADV_HUGEPAGE)
  const size_t page = (size_t)1 << 21;
  if (bytes >= 2 * page && !posix_memalign(&memory, page, bytes)) {
    (void)madvise(memory, bytes / page * page, MADV_HUGEPAGE); /* without it, pages are small */
    return memory;
  }
#endif
  return posix_memalign(&memory, LRS_ALIGNMENT, bytes ? bytes : 1) ? NULL : memory;
}
static inline void lrs_release(void *memory) { free(memory); }

#endif

#if defined(__linux__) && defined(SYS_getcpu) && defined(SYS_sched_getaffinity) && defined(SYS_sched_setaffinity)

enum { LRS_CORE_WORD = 8 * sizeof(unsigned long), LRS_CORE_WORDS = 1024 / LRS_CORE_WORD };

/* The core that the calling thread is on; less than 0 where that cannot be told. */
static inline int64_t lrs_core(void) {
  unsigned core = 0;
  return syscall(SYS_getcpu, &core, NULL, NULL) ? -1 : (int64_t)core;
}

/* Moves the calling thread to the core that is `number` ones behind `core`, of those that it may use, from where the
 * system may move it on. Linux now and then begins all threads of a job on one core although others rest, and spreads
 * them only after milliseconds, in which a short job would be done. */
static inline void lrs_thread_spread(int64_t core, int64_t number) {
  unsigned long all[LRS_CORE_WORDS] = {0}, one[LRS_CORE_WORDS] = {0};
  int64_t count = 0, place = 0, wanted;
  if (core < 0 || syscall(SYS_sched_getaffinity, 0, sizeof all, all) <= 0) return;
  for (int64_t i = 0; i < 1024; i++) {
    if (i == core) place = count;
    count += (int64_t)(all[i / LRS_CORE_WORD] >> i % LRS_CORE_WORD & 1);
  }
  if (count < 2) return;
  wanted = (place + number) % count;
  for (int64_t i = 0; i < 1024; i++) {
    if ((all[i / LRS_CORE_WORD] >> i % LRS_CORE_WORD & 1) && wanted-- == 0) {
      one[i / LRS_CORE_WORD] = 1ul << i % LRS_CORE_WORD;
    }
  }
  if (!syscall(SYS_sched_setaffinity, 0, sizeof one, one)) (void)syscall(SYS_sched_setaffinity, 0, sizeof all, all);
}

#else

static inline int64_t lrs_core(void) { return -1; }
static inline void lrs_thread_spread(int64_t core, int64_t number) {
  (void)core;
  (void)number;
}

#endif

#if defined(_MSC_VER) && !defined(__clang__)

static inline int64_t lrs_atomic_add(volatile int64_t *number, int64_t value) {
  return InterlockedExchangeAdd64((volatile LONG64 *)number, value);
}
static inline int64_t lrs_atomic_get(volatile int64_t *number) { return lrs_atomic_add(number, 0); }
static inline void lrs_atomic_set(volatile int64_t *number, int64_t value) {
  InterlockedExchange64((volatile LONG64 *)number, value);
}
static inline int64_t lrs_atomic_meet(volatile int64_t *number, int64_t value) { return lrs_atomic_add(number, value); }
static inline int64_t lrs_atomic_see(volatile int64_t *number) { return lrs_atomic_get(number); }
static inline void lrs_atomic_publish(volatile int64_t *number, int64_t value) { lrs_atomic_set(number, value); }
static inline void lrs_pause(void) { YieldProcessor(); }

#else

/* Returns the number before. */
static inline int64_t lrs_atomic_add(volatile int64_t *number, int64_t value) {
  return __atomic_fetch_add(number, value, __ATOMIC_RELAXED);
}
static inline int64_t lrs_atomic_get(volatile int64_t *number) { return __atomic_load_n(number, __ATOMIC_RELAXED); }
static inline void lrs_atomic_set(volatile int64_t *number, int64_t value) {
  __atomic_store_n(number, value, __ATOMIC_RELAXED);
}
/* As `add`; who meets here later sees what was written before. */
static inline int64_t lrs_atomic_meet(volatile int64_t *number, int64_t value) {
  return __atomic_fetch_add(number, value, __ATOMIC_ACQ_REL);
}
/* Who sees a number that was published sees what was written before it. */
static inline int64_t lrs_atomic_see(volatile int64_t *number) { return __atomic_load_n(number, __ATOMIC_ACQUIRE); }
static inline void lrs_atomic_publish(volatile int64_t *number, int64_t value) {
  __atomic_store_n(number, value, __ATOMIC_RELEASE);
}
/* Tells the core that it only looks at a number again and again. */
static inline void lrs_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

#endif
#endif
