/* Runs the kernels on cases that cases.py has written, with the public interface alone.
 *
 *   driver check CASES           every section with every instruction set and several numbers of threads; results must
 *                                be those in the file, bit for bit. Then several sections at the same time.
 *   driver damage CASES SEED N   N runs of damaged sections: refused, or run to an end, and never a fault
 *   driver cancel CASES SEED N   N runs that are polled and then waited for, cancelled or freed at random moments
 *   driver starve CASES SEED N   N runs in which memory and threads run out at random moments; only where it is built
 *                                with STARVE and the linker's --wrap for what is found there
 *
 * A file is "LRSCASE1" and then sections: uint32 kind, uint32 number of blobs, and for each blob its uint64 length and
 * its bytes. The last blob of a section is the result that is expected; see `kinds` for the others.
 * Exits with 1 and a sentence where something is wrong.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("driver: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

/* ---- random numbers ---- */

static uint64_t state = 1;

static uint64_t random_number(void) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * UINT64_C(2685821657736338717);
}

static uint64_t below(uint64_t end) { return (random_number() >> 16) % end; }

/* ---- memory whose ends are watched ---- */

/* `shift` bytes from an address that suits everything, so that arrays are aligned to no more than their numbers. */
static blob allocate(size_t length, size_t shift) {
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

static blob copy(const blob *other, size_t shift) {
  blob result = allocate(other->length, shift);
  if (other->length) memcpy(result.data, other->data, other->length);
  return result;
}

static void release(blob *used, const char *what) {
  if (!used->memory) return;
  for (ptrdiff_t i = 0; i < GUARD; i++) {
    if (used->data[(ptrdiff_t)used->length + i] != GUARD_BYTE) fail("%s: written beyond the end", what);
    if (used->data[-1 - i] != GUARD_BYTE) fail("%s: written before the beginning", what);
  }
  free(used->memory);
  memset(used, 0, sizeof *used);
}

/* ---- the kinds of sections ---- */

static size_t element(const section *given, uint32_t index);

#define DATA(index, type) ((type *)(void *)given->blobs[index].data)
#define BYTES(index) (given->blobs[index].length)
/* A blob of small numbers as a copy of fixed size, zeros where the blob is too short. */
#define TAKE(index, array)                                                                       \
  do {                                                                                           \
    memset(array, 0, sizeof array);                                                              \
    if (BYTES(index))                                                                            \
      memcpy(array, given->blobs[index].data, BYTES(index) < sizeof array ? BYTES(index) : sizeof array); \
  } while (0)

/* network, shape, grid; logits */
static int32_t start_network(const section *given, run *this) {
  int32_t shape[3];
  TAKE(1, shape);
  if (!this->network) {
    const int32_t status = lrs_network_read(DATA(0, void), BYTES(0), &this->network);
    if ((status == LRS_DONE) != (this->network != NULL)) fail("status %d of a network that is %p", status,
                                                              (void *)this->network);
    if (status != LRS_DONE) return status;
  }
  this->memory = lrs_network_memory(this->network, shape, this->threads, this->instruction_set);
  return lrs_network_start(this->network, shape, DATA(2, uint8_t), BYTES(2), (int16_t *)(void *)this->result.data,
                           this->result.length, this->threads, this->instruction_set, &this->job);
}

static void take_layout(const section *given, uint32_t index, lrs_layout *layout) {
  int64_t numbers[4];
  TAKE(index, layout->shape);
  TAKE(index + 1, numbers);
  layout->first = numbers[0];
  memcpy(layout->strides, numbers + 1, sizeof layout->strides);
}

/* source, type, shape and numbers of its layout, for each axis indices, weights and (size, taps); clip; result */
static int32_t start_resample(const section *given, run *this) {
  int32_t type[1];
  lrs_layout layout;
  lrs_taps taps[3];
  TAKE(1, type);
  take_layout(given, 2, &layout);
  for (uint32_t axis = 0; axis < 3; axis++) {
    int32_t sizes[2];
    const uint32_t at = 4 + 3 * axis;
    TAKE(at + 2, sizes);
    taps[axis].index = DATA(at, int32_t);
    taps[axis].index_bytes = BYTES(at);
    taps[axis].weight = DATA(at + 1, float);
    taps[axis].weight_bytes = BYTES(at + 1);
    taps[axis].size = sizes[0];
    taps[axis].taps = sizes[1];
  }
  return lrs_resample_start(DATA(0, void), BYTES(0), type[0], &layout, taps,
                            BYTES(13) >= 2 * sizeof(float) ? DATA(13, float) : NULL,
                            (float *)(void *)this->result.data, this->result.length, this->threads, &this->job);
}

/* values, ranks; values at these */
static int32_t start_order(const section *given, run *this) {
  const size_t ranks = BYTES(1) / sizeof(int64_t), places = this->result.length / sizeof(float);
  return lrs_order_start(DATA(0, float), BYTES(0), DATA(1, int64_t), (float *)(void *)this->result.data,
                         (int32_t)(ranks < places ? ranks : places), this->threads, &this->job);
}

/* What reconstructions begin with: logits, (classes), grid, used, for each axis places and weights. */
typedef struct ground {
  int32_t classes[1], grid[3], used[3];
  lrs_places places[3];
} ground;

static void take_ground(const section *given, ground *on) {
  TAKE(1, on->classes);
  TAKE(2, on->grid);
  TAKE(3, on->used);
  for (uint32_t axis = 0; axis < 3; axis++) {
    on->places[axis].before = DATA(4 + 2 * axis, int32_t);
    on->places[axis].before_bytes = BYTES(4 + 2 * axis);
    on->places[axis].weight = DATA(5 + 2 * axis, uint8_t);
    on->places[axis].weight_bytes = BYTES(5 + 2 * axis);
  }
}

/* The ground, shape and numbers of the layout; labels */
static int32_t start_reconstruct(const section *given, run *this) {
  ground on;
  lrs_layout layout;
  take_ground(given, &on);
  take_layout(given, 10, &layout);
  return lrs_reconstruct_start(DATA(0, int16_t), BYTES(0), on.classes[0], on.grid, on.used, on.places,
                               this->result.data, this->result.length, &layout, this->threads, &this->job);
}

/* counts before, the ground's other numbers, logits, levels, shape and numbers of their layout, decay; counts */
static int32_t start_count(const section *given, run *this) {
  ground on;
  lrs_layout layout;
  take_ground(given, &on);
  take_layout(given, 12, &layout);
  return lrs_count_start(DATA(10, int16_t), BYTES(10), on.classes[0], on.grid, on.used, on.places, DATA(11, uint8_t),
                         BYTES(11), &layout, DATA(14, uint16_t), BYTES(14), (int64_t *)(void *)this->result.data,
                         this->result.length, this->threads, &this->job);
}

/* The ground, seen and its layout, levels and their layout, corrections, (ratios, leads, shift), evidence, shape and
 * numbers of the labels' layout; labels */
static int32_t start_fuse(const section *given, run *this) {
  ground on;
  lrs_layout seen, levels, layout;
  int32_t numbers[3];
  lrs_corrections corrections;
  take_ground(given, &on);
  take_layout(given, 11, &seen);
  take_layout(given, 14, &levels);
  TAKE(17, numbers);
  take_layout(given, 19, &layout);
  corrections.values = DATA(16, int16_t);
  corrections.bytes = BYTES(16);
  corrections.ratios = numbers[0];
  corrections.leads = numbers[1];
  corrections.lead_shift = numbers[2];
  return lrs_fuse_start(DATA(0, int16_t), BYTES(0), on.classes[0], on.grid, on.used, on.places, DATA(10, uint8_t),
                        BYTES(10), &seen, DATA(13, uint8_t), BYTES(13), &levels, &corrections, DATA(18, uint8_t),
                        BYTES(18), this->result.data, this->result.length, &layout, this->threads, &this->job);
}

/* source, type, shape and numbers of its layout, clip, (low, scale), shape and numbers of the result's; levels */
static int32_t start_levels(const section *given, run *this) {
  int32_t type[1];
  float line[2];
  lrs_layout layout, levels;
  TAKE(1, type);
  take_layout(given, 2, &layout);
  TAKE(5, line);
  take_layout(given, 6, &levels);
  return lrs_levels_start(DATA(0, void), BYTES(0), type[0], &layout,
                          BYTES(4) >= 2 * sizeof(float) ? DATA(4, float) : NULL, line[0], line[1], this->result.data,
                          this->result.length, &levels, this->threads, &this->job);
}

/* first, shape and numbers of its layout, second, the same, elements between classes, (classes, aside, count); result */
static int32_t start_blend(const section *given, run *this) {
  lrs_layout first, second;
  int64_t between[2];
  int32_t numbers[3];
  take_layout(given, 1, &first);
  take_layout(given, 4, &second);
  TAKE(6, between);
  TAKE(7, numbers);
  return lrs_blend_start((int16_t *)(void *)this->result.data, this->result.length, &first, between[0],
                         DATA(3, int16_t), BYTES(3), &second, between[1], numbers[0], numbers[1], numbers[2],
                         this->threads, &this->job);
}

/* The result is several arrays, one after another, whose lengths a blob says; what of them there is no room for. */
static void split(const section *given, const run *this, uint32_t index, unsigned char **parts, size_t *lengths,
                  size_t count) {
  int64_t sizes[5];
  size_t first = 0;
  TAKE(index, sizes);
  for (size_t i = 0; i < count; i++) {
    const size_t left = this->result.length - first;
    parts[i] = this->result.data + first;
    lengths[i] = sizes[i] < 0 || (uint64_t)sizes[i] > left ? left : (size_t)sizes[i];
    first += lengths[i];
  }
}

/* logits, (classes), grid, used, lengths; sizes, numbers below the winners, winners, mixed and lists */
static int32_t start_reduce(const section *given, run *this) {
  int32_t classes[1], grid[3], used[3];
  unsigned char *parts[5];
  size_t lengths[5];
  TAKE(1, classes);
  TAKE(2, grid);
  TAKE(3, used);
  split(given, this, 4, parts, lengths, 5);
  return lrs_reduce_start(DATA(0, int16_t), BYTES(0), classes[0], grid, used, parts[2], lengths[2], parts[3],
                          lengths[3], parts[4], lengths[4], (uint16_t *)(void *)parts[1], lengths[1],
                          lengths[0] < 2 * sizeof(int64_t) ? NULL : (int64_t *)(void *)parts[0],
                          this->instruction_set, this->threads, &this->job);
}

/* zeros, (classes), shape, winners, mixed, lists, numbers below the winners; faults and logits */
static int32_t start_restore(const section *given, run *this) {
  int32_t classes[1], shape[3];
  TAKE(1, classes);
  TAKE(2, shape);
  const int whole = this->result.length >= sizeof(int64_t);
  return lrs_restore_start(classes[0], shape, DATA(3, uint8_t), BYTES(3), DATA(4, uint8_t), BYTES(4), DATA(5, uint8_t),
                           BYTES(5), DATA(6, uint16_t), BYTES(6),
                           whole ? (int16_t *)(void *)(this->result.data + sizeof(int64_t)) : NULL,
                           whole ? this->result.length - sizeof(int64_t) : 0,
                           whole ? (int64_t *)(void *)this->result.data : NULL, this->threads, &this->job);
}

typedef struct kind {
  const char *name;
  const char *elements; /* bytes of one number of each blob; what is mapped to structures takes 4 and 8 */
  int32_t (*start)(const section *given, run *this);
  int instruction_sets; /* whether one can be chosen */
  int in_place;         /* whether the result holds the first blob before */
  int tells;            /* whether the result begins with -1 where memory ran out on the way */
} kind;

static const kind kinds[] = {
    {"nothing", "", NULL, 0, 0, 0},
    {"network", "1412", start_network, 1, 0, 0},
    {"resample", "844844444444444", start_resample, 0, 0, 0},
    {"order", "484", start_order, 0, 0, 0},
    {"reconstruct", "2444414141481", start_reconstruct, 0, 0, 0},
    {"blend", "248248842", start_blend, 0, 1, 0},
    {"count", "8444414141214828", start_count, 0, 1, 0},
    {"fuse", "2444414141148148241481", start_fuse, 0, 0, 0},
    {"levels", "844844481", start_levels, 0, 0, 0},
    {"reduce", "244488", start_reduce, 1, 0, 1},
    {"restore", "84411128", start_restore, 0, 1, 0},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static size_t element(const section *given, uint32_t index) {
  return (size_t)(kinds[given->kind].elements[index] - '0');
}

static const char *name_of(const section *given) { return kinds[given->kind].name; }

static void stop(run *this, const char *what) {
  lrs_job_free(this->job);
  lrs_network_free(this->network);
  this->job = NULL;
  this->network = NULL;
  release(&this->result, what);
}

static void prepare(const section *given, run *this, size_t length, size_t shift) {
  memset(this, 0, sizeof *this);
  this->threads = 1;
  this->instruction_set = LRS_BEST;
  this->result = allocate(length, shift);
  if (length) memset(this->result.data, UNTOUCHED, length);
  if (kinds[given->kind].in_place) {
    const blob *before = &given->blobs[0];
    const size_t taken = length < before->length ? length : before->length;
    if (taken) memcpy(this->result.data, before->data, taken);
  }
}

/* ---- files ---- */

static section sections[MAX_SECTIONS];
static uint32_t section_count;

static uint64_t number(FILE *file, size_t bytes) {
  unsigned char buffer[8];
  uint64_t value = 0;
  if (fread(buffer, 1, bytes, file) != bytes) fail("the file of cases is cut short");
  for (size_t i = 0; i < bytes; i++) value |= (uint64_t)buffer[i] << (8 * i);
  return value;
}

static void read_cases(const char *path) {
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
    if (!new->kind || new->kind >= KINDS || new->count != strlen(kinds[new->kind].elements)) {
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

/* ---- check ---- */

static void compare(const section *given, const run *this, const char *what) {
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
static void wait_for(const run *this, const char *what) {
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

static void begin(const section *given, run *this, const char *what) {
  const int32_t status = kinds[given->kind].start(given, this);
  if (status != LRS_DONE || !this->job) fail("%s: refused with status %d", what, status);
}

static const char *describe(uint32_t index, const run *this) {
  static const char *const names[] = {"best set", "word", "sse2", "avx2", "avx512", "neon"};
  static char text[100];
  snprintf(text, sizeof text, "section %u (%s), %s, %d threads", index + 1, name_of(&sections[index]),
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

static int check(void) {
  static const int32_t threads[] = {1, 2, 3, 8};
  static run together[MAX_SECTIONS];
  unsigned long runs = 0;
  const uint32_t sets = lrs_instruction_sets();
  if (!(sets & 1u << LRS_WORD) || sets >> LRS_INSTRUCTION_SETS) fail("instruction sets %x", sets);
  for (uint32_t i = 0; i < section_count; i++) {
    const section *given = &sections[i];
    const size_t length = given->blobs[given->count - 1].length, bytes = element(given, given->count - 1);
    for (int32_t set = LRS_BEST; set < (kinds[given->kind].instruction_sets ? LRS_INSTRUCTION_SETS : 0); set++) {
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

/* ---- damage ---- */

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

static int damage(unsigned long count) {
  unsigned long refused = 0, done = 0, stopped = 0;
  for (unsigned long n = 0; n < count; n++) {
    const section *given = &sections[below(section_count)];
    section other = *given;
    size_t length = given->blobs[given->count - 1].length;
    const size_t bytes = element(given, given->count - 1);
    run this;
    char what[60];
    snprintf(what, sizeof what, "damaged run %lu (%s)", n, name_of(given));
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
    const int32_t status = kinds[given->kind].start(&other, &this);
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

/* ---- cancel ---- */

static int cancel(unsigned long count) {
  unsigned long done = 0, cancelled = 0, freed = 0;
  const uint32_t sets = lrs_instruction_sets();
  for (unsigned long n = 0; n < count; n++) {
    const uint32_t index = (uint32_t)below(section_count);
    const section *given = &sections[index];
    run this;
    char what[60];
    volatile uint64_t spin = below(2) ? below(20000) : below(2000000);
    snprintf(what, sizeof what, "cancelled run %lu (%s)", n, name_of(given));
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

/* ---- starve ---- */

#if defined(STARVE)
#include <pthread.h>

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

static int starve(unsigned long count) {
  unsigned long refused = 0, done = 0;
  for (unsigned long n = 0; n < count; n++) {
    const section *given = &sections[below(section_count)];
    run this;
    char what[60];
    snprintf(what, sizeof what, "starved run %lu (%s)", n, name_of(given));
    prepare(given, &this, given->blobs[given->count - 1].length, 0);
    this.threads = (int32_t)(1 + below(4));
    starving = 1;
    const int32_t status = kinds[given->kind].start(given, &this);
    if (!kinds[given->kind].tells) starving = 0;
    if (status != LRS_DONE) {
      const int known = status == LRS_NO_MEMORY || status == LRS_NO_THREADS;
      if (this.job || !known) fail("%s: status %d", what, status);
      refused++;
    } else {
      this.memory = 0;
      wait_for(&this, what);
      if (kinds[given->kind].tells && *(int64_t *)(void *)this.result.data == -1) {
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
#endif

int main(int count, char **arguments) {
  int status = 2;
  if (lrs_interface_version() != LRS_INTERFACE_VERSION) fail("the library is of another version");
  if (count >= 3) {
    read_cases(arguments[2]);
    if (!section_count) fail("there are no sections");
  }
  if (count == 5) state = strtoul(arguments[3], NULL, 10) * 2 + 1;
  if (count == 3 && !strcmp(arguments[1], "check")) status = check();
  if (count == 5 && !strcmp(arguments[1], "damage")) status = damage(strtoul(arguments[4], NULL, 10));
  if (count == 5 && !strcmp(arguments[1], "cancel")) status = cancel(strtoul(arguments[4], NULL, 10));
#if defined(STARVE)
  if (count == 5 && !strcmp(arguments[1], "starve")) status = starve(strtoul(arguments[4], NULL, 10));
#endif
  if (status == 2) fputs("usage: driver check CASES | damage CASES SEED COUNT | cancel CASES SEED COUNT\n", stderr);
  for (uint32_t i = 0; i < section_count; i++) {
    for (uint32_t j = 0; j < sections[i].count; j++) release(&sections[i].blobs[j], "an input");
  }
  return status;
}
