/* The phases of layers: how their work is cut into items, and what is done for one. */
#include <stdlib.h>

#include "lists.h"
#include "rows.h"
#include "run.h"

static const int64_t WORK_OF_ITEM = 10000000; /* weights times vectors, zeros counted: ten milliseconds or so */
static const int64_t NUMBERS_OF_ITEM = 20000000; /* weights times voxels, where values are no bits */
static const int64_t WORDS_OF_ITEM = 200000;     /* of the output, where whole words are written: a few milliseconds */

/* The planes of a layer's output, where a concatenation's are those of its inputs. Returns how many. */
static int32_t find_planes(const lrs_run *this, int32_t layer, const uint8_t **u, const uint8_t **x) {
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
static lrs_tensor channel_of(const lrs_run *this, int32_t layer, int32_t channel) {
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
  const lrs_run *this = (const lrs_run *)context;
  const lrs_step *current = &this->steps[phase];
  const lrs_state *layer = &this->states[current->layer];
  (void)scratch;
  /* A convolution writes whole vectors; all others write the rows of the grid alone. */
  const int rows = current->split || this->network->layers[current->layer].operation != LRS_TERNARY;
  lrs_tensor_clear(current->split ? &layer->split : &layer->output, (int32_t)item, rows);
}

/* The rows of an item: some of a slice. */
static void rows_of(const lrs_state *layer, int64_t item, int32_t *z, int32_t *y, int32_t *y_end) {
  const int32_t rows = layer->raster->size[1], parts = (rows + layer->rows_of_item - 1) / layer->rows_of_item;
  *z = (int32_t)(item / parts);
  *y = (int32_t)(item % parts) * layer->rows_of_item;
  *y_end = *y + layer->rows_of_item < rows ? *y + layer->rows_of_item : rows;
}

static void do_first(void *context, int32_t phase, int64_t item, void *scratch) {
  const lrs_run *this = (const lrs_run *)context;
  const int32_t layer = this->steps[phase].layer;
  const lrs_state *own = &this->states[layer];
  int32_t z, y, y_end;
  rows_of(own, item, &z, &y, &y_end);
  lrs_first_rows(&this->network->layers[layer], own->first_weights, this->grid, &own->output, this->kernels, z, y,
                 y_end, scratch);
}

/* An item of what is done slice by slice is a slice of the smaller grid, of some of the input's channels. */
static void do_split(void *context, int32_t phase, int64_t item, void *scratch) {
  const lrs_run *this = (const lrs_run *)context;
  const int32_t layer = this->steps[phase].layer;
  const lrs_layer *description = &this->network->layers[layer];
  const lrs_state *own = &this->states[layer];
  const int64_t groups = own->slice_groups, group = item % groups;
  const int32_t end = (int32_t)(description->incoming * (group + 1) / groups);
  (void)scratch;
  for (int32_t channel = (int32_t)(description->incoming * group / groups); channel < end; channel++) {
    const lrs_tensor input = channel_of(this, description->inputs[0], channel);
    lrs_split_slice(&input, &own->split, description->factor, channel * lrs_phase_count(description),
                    (int32_t)(item / groups));
  }
}

/* The smallest shares of a convolution's outputs that can be worked on apart. */
static int32_t shares_of(int32_t channels) { return (channels + LRS_PAIRING - 1) / LRS_PAIRING; }

static void do_convolution(void *context, int32_t phase, int64_t item, void *scratch) {
  const lrs_run *this = (const lrs_run *)context;
  const lrs_state *own = &this->states[this->steps[phase].layer];
  const int64_t vectors = (own->raster->used + this->kernels->vector - 1) / this->kernels->vector;
  const int64_t first = item / own->groups * own->vectors_of_item;
  const int64_t end = first + own->vectors_of_item < vectors ? first + own->vectors_of_item : vectors;
  const int64_t group = item % own->groups, channels = own->output.channels, shares = shares_of(own->output.channels);
  const int64_t first_channel = shares * group / own->groups * LRS_PAIRING;
  const int64_t end_channel = shares * (group + 1) / own->groups * LRS_PAIRING;
  this->kernels->convolve(&own->convolution, first, end, (int32_t)first_channel,
                          (int32_t)(end_channel < channels ? end_channel : channels), scratch);
}

/* Slices that pooling or upsampling works on one by one: the smaller ones. */
static int32_t resized_slices(const lrs_layer *layer, const lrs_raster *output) {
  return output->size[0] / (layer->operation == LRS_UPSAMPLE ? layer->factor[0] : 1);
}

static void do_resize(void *context, int32_t phase, int64_t item, void *scratch) {
  const lrs_run *this = (const lrs_run *)context;
  const int32_t layer = this->steps[phase].layer;
  const lrs_layer *description = &this->network->layers[layer];
  const lrs_state *own = &this->states[layer];
  const int64_t groups = own->slice_groups, group = item % groups;
  const int32_t end = (int32_t)(description->channels * (group + 1) / groups), z = (int32_t)(item / groups);
  (void)scratch;
  for (int32_t channel = (int32_t)(description->channels * group / groups); channel < end; channel++) {
    const lrs_tensor input = channel_of(this, description->inputs[0], channel);
    if (description->operation == LRS_MAX_POOL) {
      lrs_pool_slice(&input, &own->output, description->factor, channel, z);
    } else {
      lrs_upsample_slice(&input, &own->output, description->factor, channel, z);
    }
  }
}

static void do_logits(void *context, int32_t phase, int64_t item, void *scratch) {
  const lrs_run *this = (const lrs_run *)context;
  const int32_t layer = this->steps[phase].layer;
  const lrs_state *own = &this->states[layer];
  int32_t z, y, y_end;
  rows_of(own, item, &z, &y, &y_end);
  lrs_logits_rows(&this->network->layers[layer], own->raster, this->u, this->x, this->kernels, z, y, y_end,
                  this->logits, scratch);
}

static void add_phase(lrs_run *this, int32_t layer, int split, lrs_work work, int64_t items, double cost) {
  const lrs_phase phase = {work, items, cost};
  const lrs_step current = {layer, split};
  this->phases[this->phase_count] = phase;
  this->steps[this->phase_count++] = current;
}

/* Cuts a convolution into items: short ones, so that a job can be cancelled, and enough of them for all threads. Few
 * vectors are shared out by outputs as well, though each share then fills tables of its own. */
static int64_t cut(const lrs_run *this, lrs_state *own, const lrs_layer *layer, int32_t threads) {
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

/* Cuts slices into items of some channels each: enough for all threads, and short ones. Returns how many there are. */
static int64_t cut_slices(lrs_state *own, int64_t slices, int32_t channels, int32_t threads) {
  const int64_t words = (int64_t)own->raster->size[1] * ((own->raster->size[2] + 63) / 64); /* of a channel's slice */
  int64_t groups = threads == 1 ? 1 : (4 * (int64_t)threads + slices - 1) / slices;
  if (groups < channels * words / WORDS_OF_ITEM) groups = channels * words / WORDS_OF_ITEM;
  own->slice_groups = groups < channels ? groups : channels;
  return slices * own->slice_groups;
}

/* Cuts slices into items of some rows; returns how many items there are. */
static int64_t cut_rows(lrs_state *own, const lrs_layer *layer) {
  const int64_t rows = own->raster->size[1];
  const int64_t work = (int64_t)layer->incoming * lrs_kernel_size(layer) * layer->channels * own->raster->size[2];
  int64_t each = NUMBERS_OF_ITEM / (work + 1);
  if (each < 1) each = 1;
  if (each > rows) each = rows;
  own->rows_of_item = (int32_t)each;
  return own->raster->size[0] * ((rows + each - 1) / each);
}

int32_t lrs_prepare_layer(lrs_run *this, int32_t position, int32_t threads, size_t *scratch) {
  const lrs_layer *layer = &this->network->layers[position];
  lrs_state *own = &this->states[position];
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
    const int64_t items = cut_slices(own, resized_slices(layer, own->raster), layer->channels, threads);
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
    const int64_t items = cut_slices(own, slices, layer->incoming, threads);
    add_phase(this, position, 1, do_split, items, voxels * own->split.channels);
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
