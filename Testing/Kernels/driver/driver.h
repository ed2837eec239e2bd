/* What the driver's files share: inputs of a run, the run, and how it is begun, compared and ended. */
#ifndef LRS_DRIVER_H
#define LRS_DRIVER_H

#include "lowresseg.h"

#if defined(__SANITIZE_ADDRESS__)
#define EXACT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EXACT 1
#endif
#endif

#if defined(EXACT)
#define GUARD 0 /* the sanitizer sees what lies beyond */
#else
#define GUARD 64
#endif
#define GUARD_BYTE 0xA5
#define UNTOUCHED 0xEE /* what a result holds before */
#define MAX_BLOBS 24
#define MAX_SECTIONS 256
#define PATIENCE 60000u /* milliseconds; on a slow emulator with a sanitizer too */

typedef struct blob {
  unsigned char *memory;
  unsigned char *data;
  size_t length;
} blob;

typedef struct section {
  uint32_t kind;
  uint32_t count;
  blob blobs[MAX_BLOBS];
} section;

/* What one run is given beside its section. */
typedef struct run {
  int32_t threads;
  int32_t instruction_set;
  lrs_network *network;
  lrs_job *job;
  blob result;
  uint64_t memory; /* that the library says a run of a network takes; 0 where it was not asked */
} run;

typedef struct kind {
  const char *name;
  const char *elements; /* bytes of one number of each blob; what is mapped to structures takes 4 and 8 */
  int32_t (*start)(const section *given, run *this);
  int instruction_sets; /* whether one can be chosen */
  int in_place;         /* whether the result holds the first blob before */
  int tells;            /* whether the result begins with -1 where memory ran out on the way */
} kind;

/* memory.c */
extern uint64_t random_state;
void fail(const char *format, ...);
uint64_t random_number(void);
uint64_t below(uint64_t end);
blob allocate(size_t length, size_t shift);
blob copy(const blob *other, size_t shift);
void release(blob *used, const char *what);

/* kinds.c */
const kind *kind_numbered(uint32_t number); /* NULL where there is none */
const kind *kind_of(const section *given);
size_t element(const section *given, uint32_t index); /* bytes of one number of a blob */

/* runs.c */
extern section sections[MAX_SECTIONS];
extern uint32_t section_count;
void read_cases(const char *path);
void prepare(const section *given, run *this, size_t length, size_t shift);
void begin(const section *given, run *this, const char *what);
void wait_for(const run *this, const char *what);
void compare(const section *given, const run *this, const char *what);
void stop(run *this, const char *what);

/* check.c, damage.c, cancel.c and starve.c; the program's exit status */
int check(void);
int damage(unsigned long count);
int cancel(unsigned long count);
int starve(unsigned long count);

#endif
