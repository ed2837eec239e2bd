#include "lists.h"

#include <stdlib.h>

#include "pairs.h"

/* A tap of the kernel as its layer's sources have it. */
typedef struct tap {
  int32_t phase;
  int32_t place[3]; /* z, y, x from the voxel, in voxels of the output's grid */
} tap;

static tap tap_of(const lrs_layer *layer, int32_t index) {
  const int32_t *kernel = layer->kernel;
  const int32_t at[3] = {index / (kernel[1] * kernel[2]), index / kernel[2] % kernel[1], index % kernel[2]};
  tap result = {0, {0, 0, 0}};
  for (int axis = 0; axis < 3; axis++) {
    const int32_t place = at[axis] - kernel[axis] / 2, factor = layer->factor[axis];
    const int32_t phase = (place + 2 * factor) % factor; /* places begin at -2 */
    result.phase = result.phase * factor + phase;
    result.place[axis] = (place - phase) / factor;
  }
  return result;
}

/* Taps in the order of the table: along x within a row, as far as they follow each other in one plane. */
typedef struct tap_order {
  int32_t index[125]; /* tap of the kernel */
  lrs_tap_row row[125];
  int32_t rows;
} tap_order;

/* Sorts the taps of one channel by plane and row, so that those of a row stand together. */
static void order_taps(const lrs_layer *layer, tap_order *order) {
  const int32_t taps = lrs_kernel_size(layer), phases = lrs_phase_count(layer);
  int32_t count = 0;
  order->rows = 0;
  for (int32_t phase = 0; phase < phases; phase++) {
    for (int32_t index = 0; index < taps; index++) {
      const tap this = tap_of(layer, index);
      if (this.phase != phase) continue;
      const int32_t *place = this.place;
      lrs_tap_row *last = order->rows ? &order->row[order->rows - 1] : NULL;
      if (last && last->source == phase && last->dz == place[0] && last->dy == place[1] &&
          last->last_dx == place[2] - 1) {
        last->last_dx = place[2];
      } else {
        const lrs_tap_row row = {phase, place[0], place[1], place[2], place[2]};
        order->row[order->rows++] = row;
      }
      order->index[count++] = index;
    }
  }
}

/* How many weights of one sign an output has at most among `each` input channels. */
static int32_t most_of_sign(const lrs_layer *layer, int32_t each) {
  const int32_t taps = lrs_kernel_size(layer);
  int32_t most = 0;
  for (int32_t output = 0; output < layer->channels; output++) {
    const int8_t *weights = layer->weights + (size_t)output * (size_t)layer->incoming * (size_t)taps;
    for (int32_t first = 0; first < layer->incoming; first += each) {
      const int32_t end = first + each < layer->incoming ? first + each : layer->incoming;
      int32_t plus = 0, minus = 0;
      for (int32_t i = first * taps; i < end * taps; i++) {
        plus += weights[i] > 0;
        minus += weights[i] < 0;
      }
      if (most < plus) most = plus;
      if (most < minus) most = minus;
    }
  }
  return most;
}

/* Input channels of a chunk: as many as fit the table and the counters, shared evenly among the chunks. One channel
 * always fits: a kernel has at most 125 taps. */
static int32_t channels_of_chunk(const lrs_layer *layer) {
  const int32_t fit = LRS_TABLE_ENTRIES / lrs_kernel_size(layer);
  int32_t chunks = (layer->incoming + fit - 1) / fit;
  for (;;) {
    const int32_t each = (layer->incoming + chunks - 1) / chunks, most = most_of_sign(layer, each);
    if (most <= LRS_MOST_OF_SIGN) return each;
    chunks += 1 + chunks * (most - LRS_MOST_OF_SIGN) / most;
  }
}

/* Planes of a two's complement number that holds everything from `least` to `most`. */
static int32_t planes_for(int64_t least, int64_t most) {
  int32_t planes = 1;
  while (least < -((int64_t)1 << (planes - 1)) || most > ((int64_t)1 << (planes - 1)) - 1) planes++;
  return planes;
}

/* Counters hold the sum of (t + 1) over weights +1, less that over weights -1: thresholds are moved by as much more as
 * there are weights +1 than -1. Returns that move. */
static int64_t moved_by(const lrs_layer *layer, int32_t output, int64_t *minus, int64_t *plus) {
  const size_t each = (size_t)layer->incoming * (size_t)lrs_kernel_size(layer);
  *minus = *plus = 0;
  for (size_t i = 0; i < each; i++) {
    const int8_t weight = layer->weights[(size_t)output * each + i];
    *minus += weight < 0;
    *plus += weight > 0;
  }
  return *plus - *minus;
}

static int32_t planes_of(const lrs_layer *layer) {
  int32_t planes = LRS_CHUNK_PLANES;
  for (int32_t output = 0; output < layer->channels; output++) {
    int64_t minus, plus;
    const int64_t move = moved_by(layer, output, &minus, &plus);
    int64_t least = -2 * minus, most = 2 * plus;
    if (layer->lower[output] + move < least) least = layer->lower[output] + move;
    if (layer->upper[output] + move > most) most = layer->upper[output] + move;
    const int32_t needed = planes_for(least, most);
    if (needed > planes) planes = needed;
  }
  return planes;
}

static void set_limits(lrs_lists *lists, const lrs_layer *layer) {
  const int32_t planes = lists->planes;
  for (int32_t output = 0; output < layer->channels; output++) {
    int64_t minus, plus;
    const int64_t move = moved_by(layer, output, &minus, &plus);
    const int64_t thresholds[2] = {layer->upper[output] + move, layer->lower[output] + move};
    uint64_t *limits = lists->limits + (size_t)output * 2 * (size_t)planes;
    for (int32_t i = 0; i < 2 * planes; i++) {
      limits[i] = (uint64_t)thresholds[i / planes] >> (i % planes) & 1 ? 0 : ~(uint64_t)0;
    }
  }
}

/* Pairs of a chunk: outputs share one within each LRS_PAIRING. */
static int32_t pairs_of(int32_t channels) { return (channels + 1) / 2; }

/* Entries of all lists at most: nonzero weights, and the padding of each list's two signs. */
static size_t most_entries(const lrs_layer *layer, size_t chunks) {
  const size_t weights = (size_t)layer->channels * (size_t)layer->incoming * (size_t)lrs_kernel_size(layer);
  size_t count = 6 * LRS_LISTS_OF_PAIR * chunks * (size_t)pairs_of(layer->channels);
  for (size_t i = 0; i < weights; i++) count += layer->weights[i] != 0;
  return count;
}

static int32_t allocate(lrs_lists *lists, const lrs_layer *layer, int32_t rows) {
  const size_t chunks = (size_t)lists->chunk_count, channels = (size_t)layer->channels;
  lists->rows = (lrs_tap_row *)malloc((size_t)layer->incoming * (size_t)rows * sizeof(lrs_tap_row));
  lists->chunks = (lrs_chunk *)malloc(chunks * sizeof(lrs_chunk));
  lists->pairs = (lrs_pair *)malloc(chunks * (size_t)lists->pair_count * sizeof(lrs_pair));
  lists->entries = (uint16_t *)malloc(most_entries(layer, chunks) * sizeof(uint16_t));
  lists->limits = (uint64_t *)malloc(channels * 2 * (size_t)lists->planes * sizeof(uint64_t));
  return lists->rows && lists->chunks && lists->pairs && lists->entries && lists->limits ? LRS_DONE : LRS_NO_MEMORY;
}

int32_t lrs_lists_make(lrs_lists *lists, const lrs_layer *layer) {
  const int32_t each = channels_of_chunk(layer), phases = lrs_phase_count(layer);
  tap_order order;
  order_taps(layer, &order);
  lists->chunk_count = (layer->incoming + each - 1) / each;
  lists->planes = planes_of(layer);
  lists->pair_count = pairs_of(layer->channels);
  if (allocate(lists, layer, order.rows) != LRS_DONE) return LRS_NO_MEMORY;
  set_limits(lists, layer);
  for (int32_t channel = 0; channel < layer->incoming; channel++) {
    for (int32_t i = 0; i < order.rows; i++) {
      lrs_tap_row *row = &lists->rows[channel * order.rows + i];
      *row = order.row[i];
      row->source += channel * phases;
    }
  }
  uint32_t next = 0; /* weights are far fewer than 2^32 */
  for (int32_t c = 0; c < lists->chunk_count; c++) {
    const int32_t first = c * each, channels = layer->incoming - first < each ? layer->incoming - first : each;
    const lrs_chunk chunk = {first * order.rows, channels * order.rows};
    lists->chunks[c] = chunk;
    const lrs_chunk_weights weights = {layer, order.index, first, channels};
    lrs_pair *pairs = lists->pairs + (size_t)c * (size_t)lists->pair_count;
    for (int32_t output = 0, found = 0; output < layer->channels; output += LRS_PAIRING) {
      const int32_t left = layer->channels - output;
      found += lrs_pairs_find(&weights, output, left < LRS_PAIRING ? left : LRS_PAIRING, pairs + found);
    }
    for (int32_t i = 0; i < lists->pair_count; i++) {
      next = lrs_pair_fill(&weights, &pairs[i], lists->entries, next);
    }
  }
  return LRS_DONE;
}

void lrs_lists_free(lrs_lists *lists) {
  free(lists->rows);
  free(lists->chunks);
  free(lists->pairs);
  free(lists->entries);
  free(lists->limits);
}
