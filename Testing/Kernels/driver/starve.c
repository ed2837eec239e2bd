/* Runs in which memory and threads run out; the linker's --wrap has the library call the functions of this file. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver.h"

static volatile int starving;

static int denied(void) { return starving && !below(12); }

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) { return denied() ? NULL : __real_malloc(bytes); }

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes) { return denied() ? NULL : __real_calloc(count, bytes); }

void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes) { return denied() ? NULL : __real_realloc(memory, bytes); }

int __real_posix_memalign(void **memory, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes) {
  return denied() ? 12 : __real_posix_memalign(memory, alignment, bytes);
}

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*start)(void *), void *argument) {
  return starving && below(2) ? 11 : __real_pthread_create(thread, how, start, argument);
}

int starve(unsigned long count) {
  unsigned long refused = 0, done = 0;
  for (unsigned long n = 0; n < count; n++) {
    const section *given = &sections[below(section_count)];
    run this;
    char what[60];
    snprintf(what, sizeof what, "starved run %lu (%s)", n, kind_of(given)->name);
    prepare(given, &this, given->blobs[given->count - 1].length, 0);
    this.threads = (int32_t)(1 + below(4));
    starving = 1;
    const int32_t status = kind_of(given)->start(given, &this);
    if (!kind_of(given)->tells) starving = 0;
    if (status != LRS_DONE) {
      const int known = status == LRS_NO_MEMORY || status == LRS_NO_THREADS;
      if (this.job || !known) fail("%s: status %d", what, status);
      refused++;
    } else {
      this.memory = 0;
      wait_for(&this, what);
      if (kind_of(given)->tells && *(int64_t *)(void *)this.result.data == -1) {
        refused++;
      } else {
        compare(given, &this, what);
        done++;
      }
    }
    starving = 0;
    stop(&this, what);
  }
  printf("%lu starved runs: %lu refused, %lu done\n", count, refused, done);
  return 0;
}
