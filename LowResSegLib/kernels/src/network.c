#include "network.h"

#include <stdlib.h>
#include <string.h>

#include "lists.h"

typedef struct reader {
  const unsigned char *next;
  size_t left;
} reader;

/* Copies `count` numbers of `size` bytes from the reader into new memory. */
static int32_t take(reader *from, size_t count, size_t size, void **copy) {
  if (count == 0 || count > from->left / size) return LRS_BAD_NETWORK;
  *copy = malloc(count * size);
  if (!*copy) return LRS_NO_MEMORY;
  memcpy(*copy, from->next, count * size);
  from->next += count * size;
  from->left -= count * size;
  return LRS_DONE;
}

/* Fills `numbers`; returns 0 where the bytes end too early. */
static int take_numbers(reader *from, int32_t *numbers, size_t count) {
  if (count > from->left / sizeof(int32_t)) return 0;
  memcpy(numbers, from->next, count * sizeof(int32_t));
  from->next += count * sizeof(int32_t);
  from->left -= count * sizeof(int32_t);
  return 1;
}

static int good_weights(const lrs_layer *layer) {
  const size_t each = (size_t)layer->incoming * (size_t)lrs_kernel_size(layer);
  for (int32_t out = 0; out < layer->channels; out++) {
    int64_t sum = 0;
    for (size_t i = 0; i < each; i++) {
      const int32_t weight = layer->logit_weights ? layer->logit_weights[out * each + i] : layer->weights[out * each + i];
      const int32_t magnitude = weight < 0 ? -weight : weight;
      if (magnitude > (layer->operation == LRS_TERNARY ? 1 : layer->operation == LRS_FIRST ? 63 : 4095)) return 0;
      sum += magnitude;
    }
    if (layer->operation == LRS_LOGITS) {
      const int64_t offset = layer->offset[out];
      if (sum + (offset < 0 ? -offset : offset) > 4095) return 0;
      continue;
    }
    if (layer->operation == LRS_FIRST) sum *= LRS_MAX_INTENSITY;
    if (sum >= 1 << 21) return 0;
    if (layer->lower[out] >= layer->upper[out]) return 0;
    if (layer->lower[out] < -sum - 1 || layer->upper[out] > sum + 2) return 0;
  }
  return 1;
}

static int32_t read_convolution(reader *from, lrs_layer *layer) {
  for (int axis = 0; axis < 3; axis++) {
    const int32_t edge = layer->kernel[axis];
    if (edge != 1 && edge != 3 && edge != 5) return LRS_BAD_NETWORK;
  }
  const uint64_t product = (uint64_t)layer->channels * (uint64_t)layer->incoming * (uint64_t)lrs_kernel_size(layer);
  if (product > LRS_MAX_WEIGHTS) return LRS_BAD_NETWORK;
  const size_t count = (size_t)product;
  const size_t channels = (size_t)layer->channels;
  void *weights = NULL, *numbers[2] = {NULL, NULL};
  const int logits = layer->operation == LRS_LOGITS;
  int32_t status = take(from, count, logits ? sizeof(int16_t) : 1, &weights);
  for (int i = 0; i < (logits ? 1 : 2) && status == LRS_DONE; i++) {
    status = take(from, channels, sizeof(int32_t), &numbers[i]);
  }
  layer->weights = logits ? NULL : (int8_t *)weights;
  layer->logit_weights = logits ? (int16_t *)weights : NULL;
  layer->offset = logits ? (int32_t *)numbers[0] : NULL;
  layer->lower = logits ? NULL : (int32_t *)numbers[0];
  layer->upper = (int32_t *)numbers[1];
  if (status != LRS_DONE) return status;
  if (!good_weights(layer)) return LRS_BAD_NETWORK;
  if (layer->operation != LRS_TERNARY) return LRS_DONE;
  status = lrs_lists_make(&layer->lists, layer);
  free(layer->weights);
  layer->weights = NULL;
  return status;
}

/* Whether a layer fits those before it; sets its incoming channels and its halvings. */
static int fits(lrs_layer *layers, int32_t position, int32_t count) {
  lrs_layer *layer = &layers[position];
  const int32_t operation = layer->operation;
  if (operation < 0 || operation >= LRS_OPERATIONS) return 0;
  if ((operation == LRS_IMAGE) != (position == 0)) return 0;
  if ((operation == LRS_LOGITS) != (position == count - 1)) return 0;
  if (layer->channels < 1 || layer->channels > LRS_MAX_CHANNELS) return 0;
  if (operation == LRS_IMAGE) {
    if (layer->input_count != 0 || layer->channels != 1) return 0;
  } else if (operation == LRS_CONCATENATE ? layer->input_count < 2 : layer->input_count != 1) {
    return 0;
  }
  for (int32_t i = 0; i < layer->input_count; i++) {
    const int32_t input = layer->inputs[i];
    if (input < 0 || input >= position) return 0;
    if ((layers[input].operation == LRS_IMAGE) != (operation == LRS_FIRST)) return 0;
    if (i && memcmp(layers[input].halvings, layers[layer->inputs[0]].halvings, sizeof layer->halvings)) return 0;
    layer->incoming += layers[input].channels; /* below 1000 * 4096 */
    layers[input].last_use = position;
  }
  int changes = 0;
  for (int axis = 0; axis < 3; axis++) {
    const int32_t factor = layer->factor[axis];
    if (factor != 1 && factor != 2) return 0;
    changes |= factor == 2;
    layer->halvings[axis] = layer->input_count ? layers[layer->inputs[0]].halvings[axis] : 0;
    if (factor == 2) layer->halvings[axis] += operation == LRS_UPSAMPLE ? -1 : 1;
    if (layer->halvings[axis] < 0 || layer->halvings[axis] > LRS_MAX_HALVINGS) return 0;
  }
  const int resizes = operation == LRS_MAX_POOL || operation == LRS_UPSAMPLE;
  if (changes ? !resizes && operation != LRS_TERNARY : resizes) return 0;
  return lrs_is_convolution(operation) || operation == LRS_IMAGE || layer->channels == layer->incoming;
}

static int32_t read_layer(reader *from, lrs_layer *layers, int32_t position, int32_t count) {
  lrs_layer *layer = &layers[position];
  int32_t head[9];
  if (!take_numbers(from, head, 9)) return LRS_BAD_NETWORK;
  layer->operation = head[0];
  layer->channels = head[1];
  memcpy(layer->kernel, head + 2, sizeof layer->kernel);
  memcpy(layer->factor, head + 5, sizeof layer->factor);
  layer->input_count = head[8];
  layer->last_use = position;
  if (layer->input_count < 0 || layer->input_count > LRS_MAX_LAYERS) return LRS_BAD_NETWORK;
  if (layer->input_count) {
    void *inputs = NULL;
    const int32_t status = take(from, (size_t)layer->input_count, sizeof(int32_t), &inputs);
    if (status != LRS_DONE) return status;
    layer->inputs = (int32_t *)inputs;
  }
  if (!fits(layers, position, count)) return LRS_BAD_NETWORK;
  return lrs_is_convolution(layer->operation) ? read_convolution(from, layer) : LRS_DONE;
}

static int32_t read_layers(reader *from, lrs_network *network) {
  for (int32_t i = 0; i < network->count; i++) {
    const int32_t status = read_layer(from, network->layers, i, network->count);
    if (status != LRS_DONE) return status;
  }
  if (from->left) return LRS_BAD_NETWORK;
  const lrs_layer *last = &network->layers[network->count - 1];
  for (int axis = 0; axis < 3; axis++) {
    network->divisor[axis] = 1;
    if (last->halvings[axis] != 0) return LRS_BAD_NETWORK;
  }
  network->classes = last->channels;
  for (int32_t i = 0; i < network->count; i++) {
    const lrs_layer *layer = &network->layers[i];
    if (layer->last_use == i && i != network->count - 1) return LRS_BAD_NETWORK; /* nobody reads it */
    for (int axis = 0; axis < 3; axis++) {
      if (network->divisor[axis] < 1 << layer->halvings[axis]) network->divisor[axis] = 1 << layer->halvings[axis];
      if (lrs_is_convolution(layer->operation) && network->margin[axis] < layer->kernel[axis] / 2) {
        network->margin[axis] = layer->kernel[axis] / 2;
      }
    }
  }
  return LRS_DONE;
}

int32_t lrs_network_read(const void *bytes, size_t length, lrs_network **result) {
  if (!result) return LRS_BAD_ARGUMENT;
  *result = NULL;
  if (!bytes) return LRS_BAD_ARGUMENT;
  reader from = {(const unsigned char *)bytes, length};
  int32_t head[2];
  if (length < 4 || memcmp(bytes, "LRSN", 4)) return LRS_BAD_NETWORK;
  from.next += 4;
  from.left -= 4;
  if (!take_numbers(&from, head, 2) || head[0] != 1) return LRS_BAD_NETWORK;
  if (head[1] < 2 || head[1] > LRS_MAX_LAYERS) return LRS_BAD_NETWORK;
  lrs_network *network = (lrs_network *)calloc(1, sizeof *network);
  if (!network) return LRS_NO_MEMORY;
  network->count = head[1];
  network->layers = (lrs_layer *)calloc((size_t)network->count, sizeof *network->layers);
  const int32_t status = network->layers ? read_layers(&from, network) : LRS_NO_MEMORY;
  if (status == LRS_DONE) {
    *result = network;
  } else {
    lrs_network_free(network);
  }
  return status;
}

void lrs_network_free(lrs_network *network) {
  if (!network) return;
  for (int32_t i = 0; network->layers && i < network->count; i++) {
    lrs_layer *layer = &network->layers[i];
    lrs_lists_free(&layer->lists);
    free(layer->inputs);
    free(layer->weights);
    free(layer->logit_weights);
    free(layer->lower);
    free(layer->upper);
    free(layer->offset);
  }
  free(network->layers);
  free(network);
}
