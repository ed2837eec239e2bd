/* Results must be those of the file, bit for bit. */
#include <stdio.h>
#include <string.h>

#include "driver.h"

static const char *describe(uint32_t index, const run *this) {
  static const char *const names[] = {"best set", "word", "sse2", "avx2", "avx512", "neon"};
  static char text[100];
  snprintf(text, sizeof text, "section %u (%s), %s, %d threads", index + 1, kind_of(&sections[index])->name,
           names[this->instruction_set + 1], this->threads);
  return text;
}

/* Random arrays as runs and back, and runs that do not fit. */
static void check_runs(void) {
  for (int n = 0; n < 300; n++) {
    const size_t length = (size_t)below(n % 10 ? 300 : 200000), most = (size_t)below(n % 10 ? 40 : 150000) + 1;
    blob values = allocate(length, (size_t)below(8)), again = allocate(length, (size_t)below(8));
    size_t count = 0;
    for (size_t i = 0; i < length;) {
      const unsigned char value = (unsigned char)below(3);
      for (size_t left = (size_t)below(most) + 1; left && i < length; left--) values.data[i++] = value;
    }
    const size_t there = (size_t)lrs_find_runs(values.data, length, NULL, NULL, 0);
    const size_t room = below(4) ? there : (size_t)below(there + 1);
    blob runs = allocate(room, 0), lengths = allocate(room * sizeof(uint16_t), 0);
    uint16_t *numbers = (uint16_t *)(void *)lengths.data;
    if (lrs_find_runs(values.data, length, runs.data, numbers, room) != there) fail("runs: another number of them");
    for (size_t i = 0; i < room; i++) count += (size_t)numbers[i] + 1;
    const int32_t status = lrs_write_runs(runs.data, numbers, room, again.data, length);
    if (status != (count == length ? LRS_DONE : LRS_BAD_ARGUMENT)) fail("runs: status %d", status);
    if (room == there && (count != length || (length && memcmp(values.data, again.data, length)))) fail("runs differ");
    if (room && !below(3)) { /* damaged lengths */
      numbers[below(room)] = (uint16_t)random_number();
      lrs_write_runs(runs.data, numbers, room, again.data, length);
    }
    release(&values, "values");
    release(&again, "values of runs");
    release(&runs, "runs");
    release(&lengths, "lengths of runs");
  }
}

int check(void) {
  static const int32_t threads[] = {1, 2, 3, 8};
  static run together[MAX_SECTIONS];
  unsigned long runs = 0;
  const uint32_t sets = lrs_instruction_sets();
  if (!(sets & 1u << LRS_WORD) || sets >> LRS_INSTRUCTION_SETS) fail("instruction sets %x", sets);
  for (uint32_t i = 0; i < section_count; i++) {
    const section *given = &sections[i];
    const size_t length = given->blobs[given->count - 1].length, bytes = element(given, given->count - 1);
    for (int32_t set = LRS_BEST; set < (kind_of(given)->instruction_sets ? LRS_INSTRUCTION_SETS : 0); set++) {
      if (set >= 0 && !(sets >> set & 1)) continue;
      for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        run this;
        prepare(given, &this, length, t * bytes);
        this.threads = threads[t];
        this.instruction_set = set;
        begin(given, &this, describe(i, &this));
        wait_for(&this, describe(i, &this));
        compare(given, &this, describe(i, &this));
        stop(&this, describe(i, &this));
        runs++;
      }
    }
  }
  for (uint32_t i = 0; i < section_count; i++) {
    const section *given = &sections[i];
    prepare(given, &together[i], given->blobs[given->count - 1].length, 0);
    together[i].threads = 2;
    begin(given, &together[i], describe(i, &together[i]));
  }
  for (uint32_t i = 0; i < section_count; i++) {
    wait_for(&together[i], describe(i, &together[i]));
    compare(&sections[i], &together[i], describe(i, &together[i]));
    stop(&together[i], describe(i, &together[i]));
    runs++;
  }
  check_runs();
  lrs_job_free(NULL);
  lrs_job_cancel(NULL);
  lrs_network_free(NULL);
  printf("%lu runs of %u sections are as expected; instruction sets %x\n", runs, section_count, sets);
  return 0;
}
