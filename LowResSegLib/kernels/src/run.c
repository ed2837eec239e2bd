/* Runs a network as a job: a layer that computes is one or more phases, and all values between layers are bit planes. */
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "instruction_sets.h"
#include "job.h"
#include "lists.h"
#include "network.h"
#include "platform.h"
#include "raster.h"
#include "rows.h"

enum { LARGEST_EDGE = 1 << 14 };
static const int64_t MOST_VOXELS = (int64_t)1 << 31;
static const int64_t WORK_OF_ITEM = 10000000; /* weights times vectors, zeros counted: ten milliseconds or so */
static const int64_t NUMBERS_OF_ITEM = 20000000; /* weights times voxels, where values are no bits */

/* What a layer has at hand during a run. */
typedef struct state {
  lrs_raster *raster;
  lrs_tensor output;
  uint64_t offset; /* of the output in the arena */
  lrs_tensor split; /* of a strided convolution's input */
  uint64_t split_offset;
  lrs_convolution convolution;
  int16_t *first_weights;
  int32_t vectors_of_item, groups; /* of a convolution: vectors of voxels, and shares of the outputs */
  int32_t rows_of_item;            /* of the first layer and of the logits: rows of a slice */
} state;

typedef struct step {
  int32_t layer;
  int split; /* the phase works on the layer's split input */
} step;

typedef struct run {
  const lrs_network *network;
  const lrs_kernels *kernels;
  const uint8_t *grid;
  int16_t *logits;
  lrs_raster *rasters; /* one for each layer that has a grid unlike those before */
  int32_t raster_count;
  state *states;
  uint8_t *memory;
  uint64_t bytes; /* of `memory` */
  const uint8_t **u, **x; /* planes that the last layer reads */
  lrs_phase *phases;
  step *steps;
  int32_t phase_count;
} run;

/* The planes of a layer's output, where a concatenation's are those of its inputs. Returns how many. */
static int32_t find_planes(const run *this, int32_t layer, const uint8_t **u, const uint8_t **x) {
  const lrs_layer *description = &this->network->layers[layer];
  if (description->operation != LRS_CONCATENATE) {
    const lrs_tensor *tensor = &this->states[layer].output;
    for (int32_t channel = 0; channel < tensor->channels; channel++) {
      u[channel] = tensor->u + channel * tensor->raster->stride;
      x[channel] = tensor->x + channel * tensor->raster->stride;
    }
    return tensor->channels;
  }
  int32_t count = 0;
  for (int32_t i = 0; i < description->input_count; i++) {
    count += find_planes(this, description->inputs[i], u + count, x + count);
  }
  return count;
}

/* A tensor with one channel, `channel` of a layer's output. */
static lrs_tensor channel_of(const run *this, int32_t layer, int32_t channel) {
  const lrs_layer *description = &this->network->layers[layer];
  while (description->operation == LRS_CONCATENATE) {
    int32_t i = 0;
    while (channel >= this->network->layers[description->inputs[i]].channels) {
      channel -= this->network->layers[description->inputs[i++]].channels;
    }
    layer = description->inputs[i];
    description = &this->network->layers[layer];
  }
  lrs_tensor tensor = this->states[layer].output;
  tensor.u += channel * tensor.raster->stride;
  tensor.x += channel * tensor.raster->stride;
  tensor.channels = 1;
  return tensor;
}

static void clear(void *context, int32_t phase, int64_t item, void *scratch) {
  const run *this = (const run *)context;
  const step *current = &this->steps[phase];
  const state *layer = &this->states[current->layer];
  (void)scratch;
  /* A convolution writes whole vectors; all others write rows, and leave what is between them. */
  const int whole = current->split || this->network->layers[current->layer].operation != LRS_TERNARY;
  lrs_tensor_clear(current->split ? &layer->split : &layer->output, (int32_t)item, whole);
}

/* The rows of an item: some of a slice. */
static void rows_of(const state *layer, int64_t item, int32_t *z, int32_t *y, int32_t *y_end) {
  const int32_t rows = layer->raster->size[1], parts = (rows + layer->rows_of_item - 1) / layer->rows_of_item;
  *z = (int32_t)(item / parts);
  *y = (int32_t)(item % parts) * layer->rows_of_item;
  *y_end = *y + layer->rows_of_item < rows ? *y + layer->rows_of_item : rows;
}

static void do_first(void *context, int32_t phase, int64_t item, void *scratch) {
  const run *this = (const run *)context;
  const int32_t layer = this->steps[phase].layer;
  const state *own = &this->states[layer];
  int32_t z, y, y_end;
  rows_of(own, item, &z, &y, &y_end);
  lrs_first_rows(&this->network->layers[layer], own->first_weights, this->grid, &own->output, this->kernels, z, y,
                 y_end, scratch);
}

static void do_split(void *context, int32_t phase, int64_t item, void *scratch) {
  const run *this = (const run *)context;
  const int32_t layer = this->steps[phase].layer;
  const lrs_layer *description = &this->network->layers[layer];
  const state *own = &this->states[layer];
  const int32_t slices = own->raster->size[0], channel = (int32_t)(item / slices);
  const lrs_tensor input = channel_of(this, description->inputs[0], channel);
  (void)scratch;
  lrs_split_slice(&input, &own->split, description->factor, channel * lrs_phase_count(description),
                  (int32_t)(item % slices));
}

/* The smallest shares of a convolution's outputs that can be worked on apart. */
static int32_t shares_of(int32_t channels) { return (channels + LRS_PAIRING - 1) / LRS_PAIRING; }

static void do_convolution(void *context, int32_t phase, int64_t item, void *scratch) {
  const run *this = (const run *)context;
  const state *own = &this->states[this->steps[phase].layer];
  const int64_t vectors = (own->raster->used + this->kernels->vector - 1) / this->kernels->vector;
  const int64_t first = item / own->groups * own->vectors_of_item;
  const int64_t end = first + own->vectors_of_item < vectors ? first + own->vectors_of_item : vectors;
  const int64_t group = item % own->groups, channels = own->output.channels, shares = shares_of(own->output.channels);
  const int64_t first_channel = shares * group / own->groups * LRS_PAIRING;
  const int64_t end_channel = shares * (group + 1) / own->groups * LRS_PAIRING;
  this->kernels->convolve(&own->convolution, first, end, (int32_t)first_channel,
                          (int32_t)(end_channel < channels ? end_channel : channels), scratch);
}

/* Slices of a channel that pooling or upsampling works on one by one: the smaller ones. */
static int32_t resized_slices(const lrs_layer *layer, const lrs_raster *output) {
  return output->size[0] / (layer->operation == LRS_UPSAMPLE ? layer->factor[0] : 1);
}

static void do_resize(void *context, int32_t phase, int64_t item, void *scratch) {
  const run *this = (const run *)context;
  const int32_t layer = this->steps[phase].layer;
  const lrs_layer *description = &this->network->layers[layer];
  const lrs_tensor *output = &this->states[layer].output;
  const int32_t slices = resized_slices(description, output->raster);
  const int32_t channel = (int32_t)(item / slices), z = (int32_t)(item % slices);
  const lrs_tensor input = channel_of(this, description->inputs[0], channel);
  (void)scratch;
  if (description->operation == LRS_MAX_POOL) {
    lrs_pool_slice(&input, output, description->factor, channel, z);
  } else {
    lrs_upsample_slice(&input, output, description->factor, channel, z);
  }
}

static void do_logits(void *context, int32_t phase, int64_t item, void *scratch) {
  const run *this = (const run *)context;
  const int32_t layer = this->steps[phase].layer;
  const state *own = &this->states[layer];
  int32_t z, y, y_end;
  rows_of(own, item, &z, &y, &y_end);
  lrs_logits_rows(&this->network->layers[layer], own->raster, this->u, this->x, this->kernels, z, y, y_end,
                  this->logits, scratch);
}

static void release(void *context) {
  run *this = (run *)context;
  if (!this) return;
  for (int32_t i = 0; this->states && i < this->network->count; i++) {
    free((void *)this->states[i].convolution.u);
    free((void *)this->states[i].convolution.x);
    free(this->states[i].first_weights);
  }
  for (int32_t i = 0; i < this->raster_count; i++) lrs_raster_free(&this->rasters[i]);
  free(this->rasters);
  free(this->states);
  lrs_release(this->memory);
  free((void *)this->u);
  free((void *)this->x);
  free(this->phases);
  free(this->steps);
  free(this);
}

static void add_phase(run *this, int32_t layer, int split, lrs_work work, int64_t items, double cost) {
  const lrs_phase phase = {work, items, cost};
  const step current = {layer, split};
  this->phases[this->phase_count] = phase;
  this->steps[this->phase_count++] = current;
}

/* The raster of a layer's output, the same for all layers of one size. */
static lrs_raster *raster_for(run *this, const int32_t shape[3], const lrs_layer *layer) {
  int32_t size[3];
  for (int axis = 0; axis < 3; axis++) size[axis] = shape[axis] >> layer->halvings[axis];
  for (int32_t i = 0; i < this->raster_count; i++) {
    if (!memcmp(this->rasters[i].size, size, sizeof size)) return &this->rasters[i];
  }
  lrs_raster_set(&this->rasters[this->raster_count], size, this->network->margin);
  return &this->rasters[this->raster_count++];
}

/* The last layer that reads the planes of each layer; a concatenation's planes are those of its inputs. */
static void find_last_uses(const lrs_network *network, int32_t *last) {
  for (int32_t i = network->count - 1; i >= 0; i--) {
    const lrs_layer *layer = &network->layers[i];
    last[i] = layer->last_use;
    for (int32_t reader = i + 1; reader < network->count; reader++) {
      if (network->layers[reader].operation != LRS_CONCATENATE || last[reader] <= last[i]) continue;
      for (int32_t k = 0; k < network->layers[reader].input_count; k++) {
        if (network->layers[reader].inputs[k] == i) last[i] = last[reader];
      }
    }
  }
}

/* Finds a place for each tensor; the planes themselves do not exist yet. */
static int32_t plan_memory(run *this, const int32_t shape[3]) {
  const lrs_network *network = this->network;
  lrs_arena arena = {NULL, 0, 2 * network->count, 0};
  int32_t *last = (int32_t *)malloc((size_t)network->count * sizeof(int32_t));
  arena.blocks = (lrs_span *)malloc((size_t)arena.most * sizeof(lrs_span));
  if (!last || !arena.blocks) {
    free(last);
    free(arena.blocks);
    return LRS_NO_MEMORY;
  }
  find_last_uses(network, last);
  for (int32_t i = 0; i < network->count; i++) {
    const lrs_layer *layer = &network->layers[i];
    state *own = &this->states[i];
    own->raster = raster_for(this, shape, layer);
    if (layer->operation == LRS_IMAGE || layer->operation == LRS_CONCATENATE || layer->operation == LRS_LOGITS) continue;
    own->offset = lrs_arena_take(&arena, lrs_tensor_bytes(own->raster, layer->channels), i, last[i]);
    if (layer->operation == LRS_TERNARY && lrs_phase_count(layer) > 1) {
      const int32_t channels = layer->incoming * lrs_phase_count(layer);
      own->split_offset = lrs_arena_take(&arena, lrs_tensor_bytes(own->raster, channels), i, i);
    }
  }
  free(last);
  free(arena.blocks);
  this->bytes = arena.bytes;
  return LRS_DONE;
}

/* Bytes of all masks. */
static uint64_t mask_memory(const run *this) {
  uint64_t bytes = 0;
  for (int32_t i = 0; i < this->raster_count; i++) bytes += lrs_mask_bytes(&this->rasters[i], this->network->margin);
  return bytes;
}

/* Cuts a convolution into items: short ones, so that a job can be cancelled, and enough of them for all threads. Few
 * vectors are shared out by outputs as well, though each share then fills tables of its own. */
static int64_t cut(const run *this, state *own, const lrs_layer *layer, int32_t threads) {
  const int64_t vectors = (own->raster->used + this->kernels->vector - 1) / this->kernels->vector;
  const int64_t work = (int64_t)layer->incoming * lrs_kernel_size(layer) * layer->channels; /* of a vector */
  int64_t most = vectors / (8 * (int64_t)threads);
  if (most > WORK_OF_ITEM / (work + 1)) most = WORK_OF_ITEM / (work + 1);
  own->vectors_of_item = (int32_t)(most < 1 ? 1 : most > 1 << 20 ? 1 << 20 : most);
  int64_t groups = threads == 1 ? 1 : 8 * (int64_t)threads / vectors;
  if (groups < work / WORK_OF_ITEM) groups = work / WORK_OF_ITEM;
  if (groups > shares_of(layer->channels)) groups = shares_of(layer->channels);
  own->groups = (int32_t)(groups < 1 ? 1 : groups);
  return (vectors + own->vectors_of_item - 1) / own->vectors_of_item * own->groups;
}

/* Cuts slices into items of some rows; returns how many items there are. */
static int64_t cut_rows(state *own, const lrs_layer *layer) {
  const int64_t rows = own->raster->size[1];
  const int64_t work = (int64_t)layer->incoming * lrs_kernel_size(layer) * layer->channels * own->raster->size[2];
  int64_t each = NUMBERS_OF_ITEM / (work + 1);
  if (each < 1) each = 1;
  if (each > rows) each = rows;
  own->rows_of_item = (int32_t)each;
  return own->raster->size[0] * ((rows + each - 1) / each);
}

/* Sets up one layer once its memory is there: its tensors, lists and phases. Returns the scratch that it needs. */
static int32_t prepare_layer(run *this, int32_t position, int32_t threads, size_t *scratch) {
  const lrs_layer *layer = &this->network->layers[position];
  state *own = &this->states[position];
  const int64_t slices = own->raster->size[0];
  const double voxels = (double)slices * own->raster->size[1] * own->raster->size[2];
  *scratch = 0;
  if (layer->operation == LRS_IMAGE || layer->operation == LRS_CONCATENATE) return LRS_DONE;
  if (layer->operation == LRS_LOGITS) {
    *scratch = lrs_logits_scratch(layer);
    this->u = (const uint8_t **)malloc((size_t)layer->incoming * sizeof(uint8_t *));
    this->x = (const uint8_t **)malloc((size_t)layer->incoming * sizeof(uint8_t *));
    if (!this->u || !this->x) return LRS_NO_MEMORY;
    find_planes(this, layer->inputs[0], this->u, this->x);
    add_phase(this, position, 0, do_logits, cut_rows(own, layer), voxels * layer->incoming * lrs_kernel_size(layer) * layer->channels);
    return LRS_DONE;
  }
  own->output = lrs_tensor_in(this->memory + own->offset, own->raster, layer->channels);
  add_phase(this, position, 0, clear, layer->channels, voxels * layer->channels * 0.1);
  if (layer->operation == LRS_FIRST) {
    *scratch = lrs_first_scratch(layer);
    own->first_weights = lrs_first_weights(layer);
    if (!own->first_weights) return LRS_NO_MEMORY;
    add_phase(this, position, 0, do_first, cut_rows(own, layer), voxels * lrs_kernel_size(layer) * layer->channels);
    return LRS_DONE;
  }
  if (layer->operation != LRS_TERNARY) {
    const int64_t items = (int64_t)layer->channels * resized_slices(layer, own->raster);
    add_phase(this, position, 0, do_resize, items, voxels * layer->channels);
    return LRS_DONE;
  }
  const int32_t phases = lrs_phase_count(layer);
  const size_t sources = (size_t)layer->incoming * (size_t)phases;
  lrs_convolution *convolution = &own->convolution;
  convolution->lists = &layer->lists;
  convolution->raster = own->raster;
  convolution->output = own->output;
  convolution->u = (const uint8_t **)malloc(sources * sizeof(uint8_t *));
  convolution->x = (const uint8_t **)malloc(sources * sizeof(uint8_t *));
  if (!convolution->u || !convolution->x) return LRS_NO_MEMORY;
  *scratch = lrs_convolution_scratch(&layer->lists, layer->channels, this->kernels->vector);
  if (phases > 1) {
    own->split = lrs_tensor_in(this->memory + own->split_offset, own->raster, layer->incoming * phases);
    add_phase(this, position, 1, clear, own->split.channels, voxels * own->split.channels * 0.1);
    add_phase(this, position, 1, do_split, layer->incoming * slices, voxels * own->split.channels);
    for (int32_t channel = 0; channel < own->split.channels; channel++) {
      convolution->u[channel] = own->split.u + channel * own->raster->stride;
      convolution->x[channel] = own->split.x + channel * own->raster->stride;
    }
  } else {
    find_planes(this, layer->inputs[0], convolution->u, convolution->x);
  }
  add_phase(this, position, 0, do_convolution, cut(this, own, layer, threads),
            voxels * layer->incoming * lrs_kernel_size(layer) * layer->channels * 0.05);
  return LRS_DONE;
}

static int good_shape(const lrs_network *network, const int32_t shape[3]) {
  int64_t voxels = 1;
  for (int axis = 0; axis < 3; axis++) {
    if (shape[axis] < 1 || shape[axis] > LARGEST_EDGE || shape[axis] % network->divisor[axis]) return 0;
    voxels *= shape[axis];
  }
  return voxels <= MOST_VOXELS;
}

/* A run with its memory planned, but not allocated; NULL where memory lacks. */
static run *planned(const lrs_network *network, const int32_t shape[3], const lrs_kernels *kernels) {
  run *this = (run *)calloc(1, sizeof *this);
  if (!this) return NULL;
  this->network = network;
  this->kernels = kernels;
  this->rasters = (lrs_raster *)calloc((size_t)network->count, sizeof *this->rasters);
  this->states = (state *)calloc((size_t)network->count, sizeof *this->states);
  /* A strided convolution has most: two to clear, one to split, one to run. */
  this->phases = (lrs_phase *)calloc((size_t)network->count * 4, sizeof *this->phases);
  this->steps = (step *)calloc((size_t)network->count * 4, sizeof *this->steps);
  if (!this->rasters || !this->states || !this->phases || !this->steps || plan_memory(this, shape) != LRS_DONE) {
    release(this);
    return NULL;
  }
  return this;
}

uint64_t lrs_network_memory(const lrs_network *network, const int32_t shape[3], int32_t threads,
                            int32_t instruction_set) {
  const lrs_kernels *kernels = lrs_kernels_of(instruction_set);
  if (!network || !shape || !kernels || threads < 1 || !good_shape(network, shape)) return 0;
  run *this = planned(network, shape, kernels);
  if (!this) return 0;
  uint64_t scratch = 0;
  for (int32_t i = 0; i < network->count; i++) {
    const lrs_layer *layer = &network->layers[i];
    uint64_t own = 0;
    if (layer->operation == LRS_LOGITS) own = lrs_logits_scratch(layer);
    if (layer->operation == LRS_FIRST) own = lrs_first_scratch(layer);
    if (layer->operation == LRS_TERNARY) own = lrs_convolution_scratch(&layer->lists, layer->channels, kernels->vector);
    if (scratch < own) scratch = own;
  }
  const uint64_t most = (uint64_t)(threads < LRS_MAX_THREADS ? threads : LRS_MAX_THREADS);
  const uint64_t bytes = this->bytes + mask_memory(this) + scratch * most;
  release(this);
  return bytes;
}

int32_t lrs_network_start(const lrs_network *network, const int32_t shape[3], const uint8_t *grid, size_t grid_bytes,
                          int16_t *logits, size_t logits_bytes, int32_t threads, int32_t instruction_set,
                          lrs_job **job) {
  if (!job) return LRS_BAD_ARGUMENT;
  *job = NULL;
  const lrs_kernels *kernels = lrs_kernels_of(instruction_set);
  if (!network || !shape || !grid || !logits || !kernels || threads < 1) return LRS_BAD_ARGUMENT;
  if (!good_shape(network, shape)) return LRS_BAD_ARGUMENT;
  const uint64_t voxels = (uint64_t)shape[0] * (uint64_t)shape[1] * (uint64_t)shape[2];
  if (grid_bytes != voxels || logits_bytes != voxels * (uint64_t)network->classes * sizeof(int16_t)) {
    return LRS_BAD_ARGUMENT;
  }
  if (threads > LRS_MAX_THREADS) threads = LRS_MAX_THREADS;
  run *this = planned(network, shape, kernels);
  if (!this) return LRS_NO_MEMORY;
  this->grid = grid;
  this->logits = logits;
  const uint64_t held = this->bytes + mask_memory(this);
  int32_t status = LRS_NO_MEMORY;
  size_t scratch = 0;
  this->memory = this->bytes <= SIZE_MAX ? (uint8_t *)lrs_allocate((size_t)this->bytes) : NULL;
  if (!this->memory) goto failed;
  for (int32_t i = 0; i < this->raster_count; i++) {
    if (lrs_raster_masks(&this->rasters[i], network->margin) != LRS_DONE) goto failed;
  }
  for (int32_t i = 0; i < network->count; i++) {
    size_t own;
    status = prepare_layer(this, i, threads, &own);
    if (status != LRS_DONE) goto failed;
    if (scratch < own) scratch = own;
  }
  return lrs_job_start(this->phases, this->phase_count, this, release, threads, scratch, held, job);
failed:
  release(this);
  return status;
}
