/* Sections that are damaged at random are refused, or run to an end. */
#include <stdio.h>
#include <string.h>

#include "driver.h"

static void damage_numbers(blob *target, size_t bytes) {
  static const int64_t telling[] = {0,         1,         -1,        2,         3,         64,        127,
                                    128,       255,       256,       32767,     -32768,    65536,     1000000,
                                    INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, INT64_C(1) << 32, -64};
  if (target->length < bytes || !bytes) return;
  unsigned char *at = target->data + below(target->length / bytes) * bytes;
  int64_t value = 0;
  memcpy(&value, at, bytes); /* little-endian, as every machine that is tested */
  switch (below(4)) {
    case 0: value = (int64_t)((uint64_t)value + below(5) - 2); break;
    case 1: value = (int64_t)((uint64_t)value << 1); break;
    case 2: value = -(value & INT64_C(0x7fffffff)); break;
    default: value = telling[below(sizeof telling / sizeof *telling)];
  }
  memcpy(at, &value, bytes);
}

static size_t other_length(size_t length, size_t bytes) {
  switch (below(5)) {
    case 0: return 0;
    case 1: return length > bytes ? length - bytes : 0;
    case 2: return length + bytes;
    case 3: return length ? length - 1 : 1;
    default: return below(2 * length + 1);
  }
}

static void damage_blob(blob *target, size_t bytes) {
  switch (below(4)) {
    case 0: {
      blob other = allocate(other_length(target->length, bytes), 0);
      for (size_t i = 0; i < other.length; i++) other.data[i] = i < target->length ? target->data[i] : 0;
      release(target, "an input");
      *target = other;
      break;
    }
    case 1:
      for (uint64_t i = 1 + below(4); i-- && target->length;) {
        target->data[below(target->length)] = (unsigned char)random_number();
      }
      break;
    case 2: damage_numbers(target, bytes); break;
    default: damage_numbers(target, below(2) ? 4 : bytes); /* numbers of four bytes stand in a network too */
  }
}

int damage(unsigned long count) {
  unsigned long refused = 0, done = 0, stopped = 0;
  for (unsigned long n = 0; n < count; n++) {
    const section *given = &sections[below(section_count)];
    section other = *given;
    size_t length = given->blobs[given->count - 1].length;
    const size_t bytes = element(given, given->count - 1);
    run this;
    char what[60];
    snprintf(what, sizeof what, "damaged run %lu (%s)", n, kind_of(given)->name);
    for (uint32_t i = 0; i < given->count; i++) {
      /* Copies are aligned as their numbers need it, and no better. */
      other.blobs[i] = copy(&given->blobs[i], element(given, i) == 8 ? 0 : element(given, i));
    }
    for (uint64_t i = 1 + below(3); i--;) {
      const uint32_t which = (uint32_t)below(given->count);
      if (which == given->count - 1) length = other_length(length, bytes);
      else damage_blob(&other.blobs[which], element(given, which));
    }
    prepare(given, &this, length, 0);
    this.threads = (int32_t)(1 + below(3));
    if (!below(10)) this.threads = (int32_t)random_number();
    if (!below(10)) this.instruction_set = (int32_t)below(9) - 2;
    /* Hundreds of threads are no fault, but cost time. */
    if (this.threads > 16 && below(20)) this.threads = 16;
    const int32_t status = kind_of(given)->start(&other, &this);
    if ((status == LRS_DONE) != (this.job != NULL)) fail("%s: status %d, job %p", what, status, (void *)this.job);
    if (status != LRS_DONE) {
      refused++;
      if (status < LRS_NO_MEMORY || status > LRS_NO_THREADS) fail("%s: refused with status %d", what, status);
    } else if (lrs_job_wait(this.job, 500, NULL) == LRS_RUNNING) {
      stopped++;
      lrs_job_cancel(this.job);
      if (lrs_job_wait(this.job, PATIENCE, NULL) == LRS_RUNNING) fail("%s: does not end", what);
    } else {
      done++;
    }
    stop(&this, what);
    for (uint32_t i = 0; i < other.count; i++) release(&other.blobs[i], what);
  }
  printf("%lu damaged runs: %lu refused, %lu done, %lu cancelled\n", count, refused, done, stopped);
  return 0;
}
