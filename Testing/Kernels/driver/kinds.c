/* The kinds of sections: what their blobs are, and which function each begins. */
#include <string.h>

#include "driver.h"

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

const kind *kind_numbered(uint32_t number) {
  return number && number < sizeof kinds / sizeof *kinds ? &kinds[number] : NULL;
}

const kind *kind_of(const section *given) { return &kinds[given->kind]; }

size_t element(const section *given, uint32_t index) { return (size_t)(kind_of(given)->elements[index] - '0'); }
