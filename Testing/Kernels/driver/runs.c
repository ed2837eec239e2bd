/* Files of cases, and runs of their sections: begun, waited for, compared and ended. */
#include <stdio.h>
#include <string.h>

#include "driver.h"

section sections[MAX_SECTIONS];
uint32_t section_count;

static uint64_t number(FILE *file, size_t bytes) {
  unsigned char buffer[8];
  uint64_t value = 0;
  if (fread(buffer, 1, bytes, file) != bytes) fail("the file of cases is cut short");
  for (size_t i = 0; i < bytes; i++) value |= (uint64_t)buffer[i] << (8 * i);
  return value;
}

void read_cases(const char *path) {
  char magic[8];
  FILE *file = fopen(path, "rb");
  if (!file) fail("%s cannot be opened", path);
  if (fread(magic, 1, 8, file) != 8 || memcmp(magic, "LRSCASE1", 8)) fail("%s is no file of cases", path);
  for (int next = fgetc(file); next != EOF; next = fgetc(file)) {
    ungetc(next, file);
    if (section_count == MAX_SECTIONS) fail("there are too many sections");
    section *new = &sections[section_count++];
    new->kind = (uint32_t)number(file, 4);
    new->count = (uint32_t)number(file, 4);
    const kind *known = kind_numbered(new->kind);
    if (!known || new->count != strlen(known->elements)) {
      fail("section %u is of an unknown kind", section_count);
    }
    for (uint32_t i = 0; i < new->count; i++) {
      const size_t length = (size_t)number(file, 8);
      new->blobs[i] = allocate(length, (section_count + i) % 3 * element(new, i));
      if (fread(new->blobs[i].data, 1, length, file) != length) fail("the file of cases is cut short");
    }
  }
  fclose(file);
}

void stop(run *this, const char *what) {
  lrs_job_free(this->job);
  lrs_network_free(this->network);
  this->job = NULL;
  this->network = NULL;
  release(&this->result, what);
}

void prepare(const section *given, run *this, size_t length, size_t shift) {
  memset(this, 0, sizeof *this);
  this->threads = 1;
  this->instruction_set = LRS_BEST;
  this->result = allocate(length, shift);
  if (length) memset(this->result.data, UNTOUCHED, length);
  if (kind_of(given)->in_place) {
    const blob *before = &given->blobs[0];
    const size_t taken = length < before->length ? length : before->length;
    if (taken) memcpy(this->result.data, before->data, taken);
  }
}

void compare(const section *given, const run *this, const char *what) {
  const blob *expected = &given->blobs[given->count - 1];
  for (size_t i = 0; i < expected->length; i++) {
    if (expected->data[i] != this->result.data[i]) {
      const size_t bytes = element(given, given->count - 1);
      fail("%s: number %lu of %lu differs", what, (unsigned long)(i / bytes),
           (unsigned long)(expected->length / bytes));
    }
  }
}

/* Waits for the end; progress must not go back, and must come to 1. */
void wait_for(const run *this, const char *what) {
  lrs_progress progress;
  double before = 0;
  uint32_t waited = 0;
  for (;;) {
    const int32_t status = lrs_job_wait(this->job, 100, &progress);
    if (status != progress.status) fail("%s: status %d beside %d", what, status, progress.status);
    if (!(progress.share >= before - 1e-9 && progress.share <= 1 + 1e-9)) {
      fail("%s: a share of %g after %g", what, progress.share, before);
    }
    if (progress.threads < 1 || progress.threads > this->threads) fail("%s: %d threads", what, progress.threads);
    before = progress.share;
    if (status == LRS_DONE) break;
    if (status != LRS_RUNNING) fail("%s: ended with status %d", what, status);
    if ((waited += 100) > PATIENCE) fail("%s: does not end", what);
  }
  /* Each thread's own memory may be rounded up. */
  if (this->memory && progress.memory > this->memory + 64 * (uint64_t)progress.threads) {
    fail("%s: %lu bytes instead of %lu", what, (unsigned long)progress.memory, (unsigned long)this->memory);
  }
  if (progress.share < 1 - 1e-9 || progress.phase != progress.phases) fail("%s: done with %g", what, progress.share);
}

void begin(const section *given, run *this, const char *what) {
  const int32_t status = kind_of(given)->start(given, this);
  if (status != LRS_DONE || !this->job) fail("%s: refused with status %d", what, status);
}
