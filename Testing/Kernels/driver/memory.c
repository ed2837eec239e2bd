/* Random numbers, and memory whose ends are watched. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

uint64_t random_state = 1;

uint64_t random_number(void) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return random_state * UINT64_C(2685821657736338717);
}

uint64_t below(uint64_t end) { return (random_number() >> 16) % end; }

void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("driver: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

/* `shift` bytes from an address that suits everything, so that arrays are aligned to no more than their numbers. */
blob allocate(size_t length, size_t shift) {
  blob result;
  result.memory = malloc(shift + length + 2 * GUARD + !length);
  if (!result.memory) fail("there is no memory");
  result.data = result.memory + GUARD + shift;
  result.length = length;
#if GUARD
  memset(result.memory, GUARD_BYTE, GUARD + shift);
  memset(result.data + length, GUARD_BYTE, GUARD);
#endif
  return result;
}

blob copy(const blob *other, size_t shift) {
  blob result = allocate(other->length, shift);
  if (other->length) memcpy(result.data, other->data, other->length);
  return result;
}

void release(blob *used, const char *what) {
  if (!used->memory) return;
  for (ptrdiff_t i = 0; i < GUARD; i++) {
    if (used->data[(ptrdiff_t)used->length + i] != GUARD_BYTE) fail("%s: written beyond the end", what);
    if (used->data[-1 - i] != GUARD_BYTE) fail("%s: written before the beginning", what);
  }
  free(used->memory);
  memset(used, 0, sizeof *used);
}
