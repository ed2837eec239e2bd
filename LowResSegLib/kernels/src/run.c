/* Runs a network as a job: a layer that computes is one or more phases, and all values between layers are bit planes. */
#include "run.h"

#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "instruction_sets.h"
#include "lists.h"
#include "platform.h"
#include "rows.h"

enum { LARGEST_EDGE = 1 << 14 };
static const int64_t MOST_VOXELS = (int64_t)1 << 31;

static void release(void *context) {
  lrs_run *this = (lrs_run *)context;
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

/* The raster of a layer's output, the same for all layers of one size. */
static lrs_raster *raster_for(lrs_run *this, const int32_t shape[3], const lrs_layer *layer) {
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
static int32_t plan_memory(lrs_run *this, const int32_t shape[3]) {
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
    lrs_state *own = &this->states[i];
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
static uint64_t mask_memory(const lrs_run *this) {
  uint64_t bytes = 0;
  for (int32_t i = 0; i < this->raster_count; i++) bytes += lrs_mask_bytes(&this->rasters[i], this->network->margin);
  return bytes;
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
static lrs_run *planned(const lrs_network *network, const int32_t shape[3], const lrs_kernels *kernels) {
  lrs_run *this = (lrs_run *)calloc(1, sizeof *this);
  if (!this) return NULL;
  this->network = network;
  this->kernels = kernels;
  this->rasters = (lrs_raster *)calloc((size_t)network->count, sizeof *this->rasters);
  this->states = (lrs_state *)calloc((size_t)network->count, sizeof *this->states);
  /* A strided convolution has most: two to clear, one to split, one to run. */
  this->phases = (lrs_phase *)calloc((size_t)network->count * 4, sizeof *this->phases);
  this->steps = (lrs_step *)calloc((size_t)network->count * 4, sizeof *this->steps);
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
  lrs_run *this = planned(network, shape, kernels);
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
  lrs_run *this = planned(network, shape, kernels);
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
    status = lrs_prepare_layer(this, i, threads, &own);
    if (status != LRS_DONE) goto failed;
    if (scratch < own) scratch = own;
  }
  return lrs_job_start(this->phases, this->phase_count, this, release, threads, scratch, held, job);
failed:
  release(this);
  return status;
}
