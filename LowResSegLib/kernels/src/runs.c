/* Arrays of small numbers as runs of equal ones, which labels mostly are. */
#include <string.h>

#include "lowresseg.h"

enum { LONGEST = 1 << 16, PIECE = 1024, SHORT = 16 };

/* Finds where runs end: places of `piece` whose number is not that of the next one, which is there as well. */
static int32_t find_ends(const uint8_t *piece, int32_t count, uint16_t ends[PIECE + 1]) {
  int32_t found = 0;
  for (int32_t i = 0; i < count; i += 8) {
    const int32_t stop = i + 8 < count ? i + 8 : count;
    uint64_t own, next;
    if (stop == i + 8) {
      memcpy(&own, piece + i, sizeof own);
      memcpy(&next, piece + i + 1, sizeof next);
      if (own == next) continue;
    }
    for (int32_t k = i; k < stop; k++) { /* without a branch, which would be hard to foresee */
      ends[found] = (uint16_t)k;
      found += piece[k] != piece[k + 1];
    }
  }
  return found;
}

uint64_t lrs_find_runs(const uint8_t *values, size_t bytes, uint8_t *runs, uint16_t *lengths, size_t room) {
  uint64_t count = 0;
  size_t first = 0;
  if (!values || ((!runs || !lengths) && room)) return 0;
  for (size_t begin = 0; begin < bytes; begin += PIECE) {
    const size_t left = bytes - begin - 1; /* numbers that have a next one */
    uint16_t ends[PIECE + 1];
    int32_t found = find_ends(values + begin, (int32_t)(left < PIECE ? left : PIECE), ends);
    if (left < PIECE) ends[found++] = (uint16_t)left; /* the last one of all */
    for (int32_t i = 0; i < found; i++) {
      for (const size_t end = begin + ends[i] + 1; first < end; count++) {
        const size_t length = end - first < LONGEST ? end - first : LONGEST;
        if (count < room) {
          runs[count] = values[first];
          lengths[count] = (uint16_t)(length - 1);
        }
        first += length;
      }
    }
  }
  return count;
}

int32_t lrs_write_runs(const uint8_t *runs, const uint16_t *lengths, size_t count, uint8_t *values, size_t bytes) {
  size_t first = 0;
  if (!runs || !lengths || !values) return LRS_BAD_ARGUMENT;
  for (size_t i = 0; i < count; i++) {
    const size_t length = (size_t)lengths[i] + 1;
    if (length > bytes - first) return LRS_BAD_ARGUMENT;
    if (length <= SHORT && bytes - first >= SHORT) {
      const uint64_t eight = runs[i] * UINT64_C(0x0101010101010101); /* what is too much the next runs overwrite */
      memcpy(values + first, &eight, sizeof eight);
      memcpy(values + first + sizeof eight, &eight, sizeof eight);
    } else {
      memset(values + first, runs[i], length);
    }
    first += length;
  }
  return first == bytes ? LRS_DONE : LRS_BAD_ARGUMENT;
}
