#include "rows.h"

#include <stdlib.h>
#include <string.h>

#include "raster.h"

static uint64_t load(const uint8_t *from) {
  uint64_t word;
  memcpy(&word, from, sizeof word);
  return word;
}

/* The bits at even places, moved together into the lower half. */
static uint64_t together(uint64_t word) {
  word &= 0x5555555555555555u;
  word = (word | word >> 1) & 0x3333333333333333u;
  word = (word | word >> 2) & 0x0f0f0f0f0f0f0f0fu;
  word = (word | word >> 4) & 0x00ff00ff00ff00ffu;
  word = (word | word >> 8) & 0x0000ffff0000ffffu;
  return (word | word >> 16) & 0x00000000ffffffffu;
}

/* The bits of the lower half, each twice. */
static uint64_t twice(uint64_t word) {
  word &= 0x00000000ffffffffu;
  word = (word | word << 16) & 0x0000ffff0000ffffu;
  word = (word | word << 8) & 0x00ff00ff00ff00ffu;
  word = (word | word << 4) & 0x0f0f0f0f0f0f0f0fu;
  word = (word | word << 2) & 0x3333333333333333u;
  word = (word | word << 1) & 0x5555555555555555u;
  return word | word << 1;
}

static LRS_INLINED void store(uint8_t *at, uint64_t bits, int32_t bytes) {
  if (bytes == 8) {
    memcpy(at, &bits, 8);
    return;
  }
  if (bytes & 4) {
    memcpy(at, &bits, 4);
    bits >>= 32;
    at += 4;
  }
  for (int32_t i = 0; i < bytes % 4; i++) at[i] = (uint8_t)(bits >> 8 * i);
}

/* Keeps the trits of the first `count` voxels from x on, as far as they are in the grid, and makes the others 0.
 * Returns how many bytes they take; x is a multiple of 8, and in the grid. */
static LRS_INLINED int32_t trim(const lrs_raster *raster, int32_t x, int32_t count, uint64_t *u, uint64_t *zero) {
  const int32_t left = raster->size[2] - x;
  if (count > left) count = left;
  const uint64_t valid = ~(uint64_t)0 >> (64 - count);
  *u &= valid;
  *zero |= ~valid;
  return (count + 7) / 8;
}

static LRS_INLINED void write_trits(const lrs_tensor *tensor, int64_t place, int32_t bytes, uint64_t u, uint64_t zero) {
  store(tensor->u + place, u, bytes);
  store(tensor->x + place, zero, bytes);
}

/* Writes voxels x to x + count - 1 of a row, at most 64 and x a multiple of 8; those beyond the grid become zeros. What
 * comes after them, up to byte `end` of the planes, may be overwritten with trits 0, since a whole word takes one
 * store: so the caller writes it afterwards, rows and columns in ascending order, all of one item. */
static LRS_INLINED void write_voxels(const lrs_tensor *tensor, int64_t row, int64_t end, int32_t x, int32_t count,
                                     uint64_t u, uint64_t zero) {
  if (x >= tensor->raster->size[2]) return;
  const int64_t place = row + x / 8;
  const int32_t bytes = trim(tensor->raster, x, count, &u, &zero);
  write_trits(tensor, place, end - place >= 8 ? 8 : bytes, u, zero);
}

void lrs_pool_slice(const lrs_tensor *input, const lrs_tensor *output, const int32_t factor[3], int32_t channel,
                    int32_t z) {
  const lrs_raster *from = input->raster, *to = output->raster;
  const int32_t step = 64 / factor[2]; /* voxels of the output from a word of the input */
  const int64_t slice = channel * to->stride + lrs_row(to, z, 0), end = slice + to->size[1] * to->pitch;
  for (int32_t y = 0; y < to->size[1]; y++) {
    for (int32_t column = 0; column < to->size[2]; column += step) {
      uint64_t positive = 0, not_negative = 0;
      for (int32_t dz = 0; dz < factor[0]; dz++) {
        for (int32_t dy = 0; dy < factor[1]; dy++) {
          const int64_t place = lrs_row(from, z * factor[0] + dz, y * factor[1] + dy) + column * factor[2] / 8;
          const uint64_t word = load(input->u + place);
          positive |= word;
          not_negative |= word | load(input->x + place);
        }
      }
      if (factor[2] == 2) {
        positive = together(positive | positive >> 1);
        not_negative = together(not_negative | not_negative >> 1);
      }
      write_voxels(output, slice + y * to->pitch, end, column, step, positive, not_negative & ~positive);
    }
  }
}

void lrs_upsample_slice(const lrs_tensor *input, const lrs_tensor *output, const int32_t factor[3], int32_t channel,
                        int32_t z) {
  const lrs_raster *from = input->raster, *to = output->raster;
  const int64_t slice = to->rows * to->pitch, first = channel * to->stride + lrs_row(to, z * factor[0], 0);
  /* As in write_voxels; of rows of several words the next one is begun before the whole of one is written. */
  const int64_t end = to->size[2] > 64 ? 0 : to->size[1] * to->pitch;
  const int twofold = factor[2] == 2;
  for (int32_t y = 0; y < from->size[1]; y++) {
    const int64_t source = lrs_row(from, z, y);
    for (int32_t column = 0; column < to->size[2]; column += 64) {
      const int64_t place = source + column / 8 / (twofold ? 2 : 1);
      uint64_t u = load(input->u + place), x = load(input->x + place);
      if (twofold) {
        u = twice(u);
        x = twice(x);
      }
      const int32_t bytes = trim(to, column, 64, &u, &x);
      for (int32_t dy = 0; dy < factor[1]; dy++) {
        const int64_t row = (y * factor[1] + dy) * to->pitch + column / 8;
        for (int32_t dz = 0; dz < factor[0]; dz++) {
          write_trits(output, first + dz * slice + row, end - row >= 8 ? 8 : bytes, u, x);
        }
      }
    }
  }
}

void lrs_split_slice(const lrs_tensor *input, const lrs_tensor *output, const int32_t factor[3], int32_t channel,
                     int32_t z) {
  const lrs_raster *from = input->raster, *to = output->raster;
  const int32_t step = 64 / factor[2];
  const int32_t phases = factor[0] * factor[1] * factor[2];
  for (int32_t phase = 0; phase < phases; phase++) {
    const int32_t pz = phase / (factor[1] * factor[2]), py = phase / factor[2] % factor[1], px = phase % factor[2];
    const int64_t slice = (channel + phase) * to->stride + lrs_row(to, z, 0), end = slice + to->size[1] * to->pitch;
    for (int32_t y = 0; y < to->size[1]; y++) {
      const int64_t source = lrs_row(from, z * factor[0] + pz, y * factor[1] + py);
      for (int32_t column = 0; column < to->size[2]; column += step) {
        const int64_t place = source + column * factor[2] / 8;
        uint64_t positive = load(input->u + place), zero = load(input->x + place);
        if (factor[2] == 2) {
          positive = together(positive >> px);
          zero = together(zero >> px);
        }
        write_voxels(output, slice + y * to->pitch, end, column, step, positive, zero);
      }
    }
  }
}

enum { SEGMENT = 256, BESIDE = LRS_MAX_REACH }; /* voxels of a row that are worked on at a time, and around them */

enum { LINE = 2 * SEGMENT + 64 }; /* two rows of intensities in turn, in whole cache lines */
enum { MOST_PAIRS = 12 * 5 + 3 };  /* of a kernel with edges of 5 */

/* How the taps of a first layer are paired: those at one dx in two rows of taps, whose intensities stand in one line
 * for all dx, and of the last row, if it is left over, neighbours along x, each pair in a line of its own. */
typedef struct pairing {
  int32_t rows, of_row; /* of taps; taps of a row */
  int32_t lines, pairs;
} pairing;

static pairing pairing_of(const lrs_layer *layer) {
  const int32_t rows = layer->kernel[0] * layer->kernel[1], of_row = layer->kernel[2];
  const int32_t left = rows % 2 ? (of_row + 1) / 2 : 0;
  const pairing result = {rows, of_row, rows / 2 + left, rows / 2 * of_row + left};
  return result;
}

/* The two taps of a pair, the second one -1 where there is none. Returns the pair's place among the lines. */
static int32_t taps_of(const pairing *pairing, int32_t pair, int32_t taps[2]) {
  const int32_t of_row = pairing->of_row, last = pairing->rows - 1, whole = pairing->rows / 2 * of_row;
  if (pair < whole) {
    const int32_t line = pair / of_row, dx = pair % of_row;
    taps[0] = 2 * line * of_row + dx;
    taps[1] = taps[0] + of_row;
    return line * LINE + 2 * dx;
  }
  const int32_t dx = 2 * (pair - whole);
  taps[0] = last * of_row + dx;
  taps[1] = dx + 1 < of_row ? taps[0] + 1 : -1;
  return (pairing->rows / 2 + pair - whole) * LINE;
}

int16_t *lrs_first_weights(const lrs_layer *layer) {
  const pairing pairing = pairing_of(layer);
  const int32_t taps = lrs_kernel_size(layer);
  int16_t *weights = (int16_t *)calloc((size_t)layer->channels * (size_t)pairing.pairs * 2, sizeof(int16_t));
  for (int32_t i = 0; weights && i < layer->channels * pairing.pairs; i++) {
    const int8_t *own = layer->weights + (size_t)(i / pairing.pairs) * (size_t)taps;
    int32_t two[2];
    taps_of(&pairing, i % pairing.pairs, two);
    weights[2 * i] = own[two[0]];
    if (two[1] >= 0) weights[2 * i + 1] = own[two[1]];
  }
  return weights;
}

size_t lrs_first_scratch(const lrs_layer *layer) {
  const pairing pairing = pairing_of(layer);
  const size_t rows = (size_t)pairing.rows + 1; /* and one of zeros */
  return (rows * (SEGMENT + 2 * BESIDE) + (size_t)pairing.lines * LINE) * sizeof(int16_t);
}

/* Copies `count` voxels of a row of the grid, from x on; beyond the grid there are zeros. */
static void copy_row(const uint8_t *grid, const int32_t size[3], int32_t z, int32_t y, int32_t x, int32_t count,
                     int16_t *row) {
  int32_t first = 0, end = 0; /* what of the row is in the grid */
  if (z >= 0 && z < size[0] && y >= 0 && y < size[1]) {
    const uint8_t *source = grid + ((size_t)z * (size_t)size[1] + (size_t)y) * (size_t)size[2];
    const int32_t left = size[2] - x;
    first = x < 0 ? -x : 0;
    end = left < count ? left : count;
    source += x + first;
    for (int32_t i = 0; i < end - first; i++) row[first + i] = source[i] % (LRS_MAX_INTENSITY + 1);
  }
  memset(row, 0, (size_t)first * sizeof(int16_t));
  memset(row + end, 0, (size_t)(count - end) * sizeof(int16_t));
}

/* Two rows in turn. */
static void interleave(const int16_t *first, const int16_t *second, int32_t count,
                       int16_t *line) {
  for (int32_t i = 0; i < count; i++) {
    line[2 * i] = first[i];
    line[2 * i + 1] = second[i];
  }
}

void lrs_first_rows(const lrs_layer *layer, const int16_t *weights, const uint8_t *grid, const lrs_tensor *output,
                    const lrs_kernels *kernels, int32_t z, int32_t y, int32_t y_end, void *scratch) {
  const lrs_raster *to = output->raster;
  const int32_t *kernel = layer->kernel, of_row = kernel[2];
  const pairing pairing = pairing_of(layer);
  int16_t *lines = (int16_t *)scratch;
  int16_t(*rows)[SEGMENT + 2 * BESIDE] = (int16_t(*)[SEGMENT + 2 * BESIDE])(lines + pairing.lines * LINE);
  int32_t places[MOST_PAIRS];
  for (int32_t pair = 0; pair < pairing.pairs; pair++) {
    int32_t taps[2];
    places[pair] = taps_of(&pairing, pair, taps);
  }
  memset(rows[pairing.rows], 0, sizeof rows[0]);
  const int32_t first_y = y;
  for (int32_t x = 0; x < to->size[2]; x += SEGMENT) {
    const int32_t left = to->size[2] - x < SEGMENT ? to->size[2] - x : SEGMENT;
    const int32_t width = (left + LRS_BLOCK - 1) / LRS_BLOCK * LRS_BLOCK, wider = width + of_row - 1;
    for (y = first_y; y < y_end; y++) {
      const int16_t *row_of[25]; /* of taps */
      const int32_t turn = (y + kernel[1] - kernel[1] / 2) % kernel[1];
      for (int32_t i = 0, dz = -(kernel[0] / 2); dz <= kernel[0] / 2; dz++) {
        int16_t(*slice)[SEGMENT + 2 * BESIDE] = rows + i;
        for (int32_t dy = -(kernel[1] / 2), place = turn; dy <= kernel[1] / 2; dy++, i++, place++) {
          if (place == kernel[1]) place = 0;
          /* All others were there for the y before. */
          if (y == first_y || dy == kernel[1] / 2) {
            copy_row(grid, to->size, z + dz, y + dy, x - of_row / 2, wider, slice[place]);
          }
          row_of[i] = slice[place];
        }
      }
      for (int32_t line = 0; line < pairing.lines; line++) {
        const int32_t dx = 2 * (line - pairing.rows / 2);
        int16_t *both = lines + line * LINE;
        if (dx < 0) {
          interleave(row_of[2 * line], row_of[2 * line + 1], wider, both);
        } else {
          const int16_t *last = row_of[pairing.rows - 1] + dx;
          interleave(last, dx + 1 < of_row ? last + 1 : rows[pairing.rows], width, both);
        }
      }
      for (int32_t channel = 0; channel < layer->channels; channel += LRS_TOGETHER) {
        const int32_t rest = layer->channels - channel, count = rest < LRS_TOGETHER ? rest : LRS_TOGETHER;
        const int64_t row = channel * to->stride + lrs_row(to, z, y);
        /* Where rows are worked on in parts, what comes after this one's part is there already. */
        const int64_t end = row + (to->size[2] > SEGMENT ? 1 : y_end - y) * to->pitch;
        const int16_t *own = weights + (size_t)channel * (size_t)pairing.pairs * 2;
        for (int32_t i = 0; i < left; i += LRS_BLOCK) {
          uint32_t above[LRS_TOGETHER], not_below[LRS_TOGETHER];
          kernels->first(lines + 2 * i, places, own, pairing.pairs, count, layer->lower + channel,
                         layer->upper + channel, not_below, above);
          for (int32_t k = 0; k < count; k++) {
            const int64_t plane = k * to->stride;
            write_voxels(output, row + plane, end + plane, x + i, LRS_BLOCK, above[k], not_below[k] & ~above[k]);
          }
        }
      }
    }
  }
}

size_t lrs_logits_scratch(const lrs_layer *layer) {
  const size_t entries = (size_t)layer->incoming * (size_t)lrs_kernel_size(layer);
  return (entries + 1) * LRS_BLOCK * sizeof(int16_t) + 2 * entries * sizeof(uint32_t);
}

/* LRS_BLOCK bits that begin dx voxels after those at a byte. */
static uint32_t bits_at(const uint8_t *at, int32_t dx) { return (uint32_t)(load(at - 1) >> (8 + dx)); }

void lrs_logits_rows(const lrs_layer *layer, const lrs_raster *raster, const uint8_t *const *u,
                     const uint8_t *const *x, const lrs_kernels *kernels, int32_t z, int32_t y, int32_t y_end,
                     int16_t *logits, void *scratch) {
  const int32_t *kernel = layer->kernel, *size = raster->size, taps = lrs_kernel_size(layer);
  const int32_t entries = layer->incoming * taps;
  const size_t each = (size_t)size[0] * (size_t)size[1] * (size_t)size[2];
  struct {
    int64_t shift; /* bytes */
    int32_t dx;
    const uint8_t *within;
  } places[125]; /* of the kernel's taps */
  for (int32_t tap = 0; tap < taps; tap++) {
    const int32_t dz = tap / (kernel[1] * kernel[2]) - kernel[0] / 2, dy = tap / kernel[2] % kernel[1] - kernel[1] / 2;
    places[tap].shift = ((int64_t)dz * raster->rows + dy) * raster->pitch;
    places[tap].dx = tap % kernel[2] - kernel[2] / 2;
    places[tap].within = lrs_within(raster, dy, places[tap].dx);
  }
  int16_t *trits = (int16_t *)scratch, *block = trits + (size_t)entries * LRS_BLOCK;
  uint32_t *positive = (uint32_t *)(block + LRS_BLOCK), *negative = positive + entries;
  for (; y < y_end; y++) {
    for (int32_t column = 0; column < size[2]; column += LRS_BLOCK) {
      const int64_t place = lrs_row(raster, z, y) + column / 8;
      int32_t entry = 0;
      for (int32_t channel = 0; channel < layer->incoming; channel++) {
        for (int32_t tap = 0; tap < taps; tap++, entry++) {
          const int32_t dx = places[tap].dx;
          const uint8_t *at_u = u[channel] + place + places[tap].shift, *at_x = x[channel] + place + places[tap].shift;
          const uint32_t above = bits_at(at_u, dx), zero = bits_at(at_x, dx);
          uint32_t within;
          memcpy(&within, places[tap].within + place, sizeof within);
          positive[entry] = above & within;
          negative[entry] = ~(above | zero) & within;
        }
      }
      kernels->expand(positive, negative, entries, trits);
      const int32_t left = size[2] - column < LRS_BLOCK ? size[2] - column : LRS_BLOCK;
      for (int32_t class = 0; class < layer->channels; class ++) {
        const int16_t *weights = layer->logit_weights + (size_t)class * (size_t)entries;
        const size_t row = ((size_t)z * (size_t)size[1] + (size_t)y) * (size_t)size[2];
        int16_t *to = logits + (size_t)class * each + row + (size_t)column;
        kernels->logits(trits, weights, entries, (int16_t)layer->offset[class], left == LRS_BLOCK ? to : block);
        if (left < LRS_BLOCK) memcpy(to, block, (size_t)left * sizeof(int16_t));
      }
    }
  }
}
