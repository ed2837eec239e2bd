/* Runs that are polled, and then waited for, cancelled or freed at a random moment. */
#include <stdio.h>

#include "driver.h"

int cancel(unsigned long count) {
  unsigned long done = 0, cancelled = 0, freed = 0;
  const uint32_t sets = lrs_instruction_sets();
  for (unsigned long n = 0; n < count; n++) {
    const uint32_t index = (uint32_t)below(section_count);
    const section *given = &sections[index];
    run this;
    char what[60];
    volatile uint64_t spin = below(2) ? below(20000) : below(2000000);
    snprintf(what, sizeof what, "cancelled run %lu (%s)", n, kind_of(given)->name);
    prepare(given, &this, given->blobs[given->count - 1].length, 0);
    this.threads = (int32_t)(1 + below(5));
    do this.instruction_set = (int32_t)below(LRS_INSTRUCTION_SETS);
    while (!(sets >> this.instruction_set & 1));
    begin(given, &this, what);
    while (spin) spin--;
    for (uint64_t polls = below(4); polls--;) lrs_job_wait(this.job, (uint32_t)below(2), NULL);
    const uint64_t choice = below(4);
    if (choice >= 2) {
      lrs_job_cancel(this.job);
      const int32_t status = lrs_job_wait(this.job, PATIENCE, NULL);
      if (status != LRS_CANCELLED) fail("%s: status %d", what, status);
      if (lrs_job_wait(this.job, 0, NULL) != status) fail("%s: the status changed", what);
      cancelled++;
    } else if (choice) {
      wait_for(&this, what);
      compare(given, &this, what);
      done++;
    } else {
      freed++;
    }
    stop(&this, what);
  }
  printf("%lu runs: %lu cancelled, %lu done, %lu freed as they ran\n", count, cancelled, done, freed);
  return 0;
}
