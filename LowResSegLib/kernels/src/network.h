/* A network as the library keeps it, read from bytes and checked.
 *
 * The bytes, all numbers little-endian: "LRSN", int32 version (1), int32 number of layers; then for each layer int32
 * operation, channels, kernel z, y, x, factor z, y, x, number of inputs, the inputs' positions; then for `first` and
 * `ternary` int8 weights (out, in, z, y, x), int32 lower (out), int32 upper (out); for `logits` int16 weights and
 * int32 offset (out). LowResSegLib/model/plan.py says what the operations do and what holds for their numbers.
 */
#ifndef LRS_NETWORK_H
#define LRS_NETWORK_H

#include "bitplane.h"
#include "lowresseg.h"

enum { LRS_IMAGE, LRS_FIRST, LRS_TERNARY, LRS_MAX_POOL, LRS_UPSAMPLE, LRS_CONCATENATE, LRS_LOGITS, LRS_OPERATIONS };

#define LRS_MAX_LAYERS 1000
#define LRS_MAX_CHANNELS 4096
#define LRS_MAX_WEIGHTS (1 << 28) /* of a layer */
#define LRS_MAX_INTENSITY 127
#define LRS_MAX_HALVINGS 8

typedef struct lrs_layer {
  int32_t operation;
  int32_t channels;
  int32_t kernel[3];
  int32_t factor[3];
  int32_t input_count;
  int32_t *inputs;
  int32_t incoming;    /* channels of all inputs together */
  int32_t halvings[3]; /* how often the grid was halved */
  int32_t last_use;    /* position of the last layer that reads this one */
  int8_t *weights;     /* of first and ternary; a ternary layer's are freed when its lists are made */
  lrs_lists lists;     /* of ternary */
  int16_t *logit_weights;
  int32_t *lower, *upper, *offset;
} lrs_layer;

struct lrs_network {
  int32_t count;
  lrs_layer *layers;
  int32_t divisor[3]; /* sizes of a grid are multiples of these */
  int32_t margin[3];  /* how far the largest kernel reaches */
  int32_t classes;
};

static inline int lrs_is_convolution(int32_t operation) {
  return operation == LRS_FIRST || operation == LRS_TERNARY || operation == LRS_LOGITS;
}

/* Positions in a kernel. */
static inline int32_t lrs_kernel_size(const lrs_layer *layer) {
  return layer->kernel[0] * layer->kernel[1] * layer->kernel[2];
}

#endif
