/* Arrays of small numbers as runs of equal ones, which labels mostly are. */
#include <string.h>

#include "lowresseg.h"

enum { LONGEST = 1 << 16 };

/* Where a run that begins at `first` ends. */
static size_t end_of(const uint8_t *values, size_t first, size_t bytes) {
  const uint8_t value = values[first];
  const uint64_t same = value * UINT64_C(0x0101010101010101);
  uint64_t eight = same;
  size_t end = first + 1;
  for (; end + sizeof eight <= bytes; end += sizeof eight) {
    memcpy(&eight, values + end, sizeof eight);
    if (eight != same) break;
  }
  while (end < bytes && values[end] == value) end++;
  return end;
}

uint64_t lrs_find_runs(const uint8_t *values, size_t bytes, uint8_t *runs, uint16_t *lengths, size_t room) {
  uint64_t count = 0;
  if (!values || ((!runs || !lengths) && room)) return 0;
  for (size_t first = 0; first < bytes;) {
    const size_t end = end_of(values, first, bytes);
    for (; first < end; count++) {
      const size_t length = end - first < LONGEST ? end - first : LONGEST;
      if (count < room) {
        runs[count] = values[first];
        lengths[count] = (uint16_t)(length - 1);
      }
      first += length;
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
    memset(values + first, runs[i], length);
    first += length;
  }
  return first == bytes ? LRS_DONE : LRS_BAD_ARGUMENT;
}
