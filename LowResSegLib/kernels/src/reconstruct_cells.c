#include <string.h>

#include "fuse.h"

enum { VECTOR = 8, ONE = 1 << LRS_WEIGHT_BITS, STRIP = 1024, SLICES = 2 * LRS_LAYERS, FEW = 4 };

#define LESS(a, b) ((a) < (b) ? (a) : (b))
#define MORE(a, b) ((a) > (b) ? (a) : (b))

/* The part of some layers that is being worked on. Two rows of grid voxels are kept of each slice of the grid. */
typedef struct strip {
  int32_t slices[SLICES];  /* of the grid */
  int32_t slice_count;
  int16_t *rows[2 * SLICES];   /* logits, voxel by voxel */
  uint8_t *filled[2 * SLICES]; /* whether a voxel is there */
  int32_t keys[2 * SLICES];    /* which rows they are, -1 for none */
  int32_t *mixed;     /* runs whose cells have several labels */
  int32_t *wanted;    /* grid voxels at their corners */
  uint8_t *columns;   /* whether the four rows have one label there, */
  uint8_t *uniform;   /* and the same label at the next voxel */
  uint8_t *line;      /* labels of a row of source voxels */
  int32_t least;      /* grid voxel of the strip */
  uint64_t *counts;   /* of a fusion that counts: see lrs_fusion */
} strip;

/* Labels some grid voxels side by side; equal logits are the lower class's. */
static void label_voxels(const lrs_reconstruction *job, const int16_t *values, int32_t count, uint8_t *labels,
                         int64_t distance) {
  int16_t best[STRIP], winner[STRIP];
  memcpy(best, values, (size_t)count * sizeof(int16_t));
  memset(winner, 0, (size_t)count * sizeof(int16_t));
  for (int16_t c = 1; c < job->classes; c++) {
    values += job->plane;
    for (int32_t i = 0; i < count; i++) {
      winner[i] = values[i] > best[i] ? c : winner[i];
      best[i] = values[i] > best[i] ? values[i] : best[i];
    }
  }
  for (int32_t i = 0; i < count; i++) labels[i * distance] = (uint8_t)winner[i];
}

/* Labels those among them where no other class is within reach; the others get the number of classes. */
static void label_sure_voxels(const lrs_reconstruction *job, const int16_t *values, int32_t count, uint8_t *labels,
                              int64_t distance) {
  int16_t best[STRIP], second[STRIP], winner[STRIP];
  memcpy(best, values, (size_t)count * sizeof(int16_t));
  memset(winner, 0, (size_t)count * sizeof(int16_t));
  for (int32_t i = 0; i < count; i++) second[i] = INT16_MIN;
  for (int16_t c = 1; c < job->classes; c++) {
    values += job->plane;
    for (int32_t i = 0; i < count; i++) {
      const int16_t value = values[i], lower = LESS(value, best[i]);
      second[i] = MORE(second[i], lower);
      winner[i] = value > best[i] ? c : winner[i];
      best[i] = MORE(value, best[i]);
    }
  }
  for (int32_t i = 0; i < count; i++) {
    labels[i * distance] = (uint8_t)(best[i] - second[i] > job->reach ? winner[i] : job->classes);
  }
}

void lrs_label_slice(const lrs_reconstruction *job, int32_t z) {
  const int16_t *logits = job->logits + z * job->steps[0];
  uint8_t *labels = job->grid_labels + z * job->distances[0];
  /* Rows without gaps in either array are as good as one long row. */
  const int whole = job->steps[1] == job->used[2] && job->distances[1] == job->used[2] * job->distances[2];
  const int64_t length = whole ? (int64_t)job->used[1] * job->used[2] : job->used[2];
  for (int32_t y = 0; y < (whole ? 1 : job->used[1]); y++) {
    for (int64_t x = 0; x < length; x += STRIP) {
      const int32_t count = (int32_t)(length - x < STRIP ? length - x : STRIP);
      (job->fusion ? label_sure_voxels : label_voxels)(job, logits + y * job->steps[1] + x, count,
                                                       labels + y * job->distances[1] + x * job->distances[2],
                                                       job->distances[2]);
    }
  }
}

/* Classes that may win somewhere in a cell, or come within reach of the winner, in ascending order. Loops are over whole
 * vectors of classes. */
static int32_t find_candidates(const lrs_reconstruction *job, const lrs_corners *cell, uint8_t candidates[]) {
  const int16_t *a = cell->at[0], *b = cell->at[1], *c = cell->at[2], *d = cell->at[3];
  const int16_t *e = cell->at[4], *f = cell->at[5], *g = cell->at[6], *h = cell->at[7];
  int16_t low[LRS_MAX_CLASSES + 1], high[LRS_MAX_CLASSES + 1], bound = INT16_MIN;
  const int32_t padded = job->padded / VECTOR * VECTOR;
  for (int32_t k = 0; k < padded; k++) {
    const int16_t ab = LESS(a[k], b[k]), cd = LESS(c[k], d[k]), ef = LESS(e[k], f[k]), gh = LESS(g[k], h[k]);
    const int16_t abcd = LESS(ab, cd), efgh = LESS(ef, gh);
    low[k] = LESS(abcd, efgh);
  }
  for (int32_t k = 0; k < padded; k++) {
    const int16_t ab = MORE(a[k], b[k]), cd = MORE(c[k], d[k]), ef = MORE(e[k], f[k]), gh = MORE(g[k], h[k]);
    const int16_t abcd = MORE(ab, cd), efgh = MORE(ef, gh);
    high[k] = MORE(abcd, efgh);
  }
  for (int32_t k = 0; k < padded; k++) bound = MORE(bound, low[k]);
  const int32_t within = bound - job->reach;
  int32_t count = 0;
  for (int32_t k = 0; k < job->classes; k++) {
    candidates[count] = (uint8_t)k;
    count += high[k] >= within;
  }
  return count;
}

/* Labels a cell where few classes may win. Each is compared with the first one, by their interpolated difference. The
 * compiler knows `count` where this is expanded, so that no short loop is left. */
static inline void label_few(const lrs_corners *cell, const uint8_t candidates[], int32_t count, const lrs_room *to) {
  int32_t values[FEW][8], z[FEW][4], y[FEW][2];
  for (int32_t c = 1; c < count; c++) {
    for (int32_t i = 0; i < 8; i++) values[c][i] = cell->at[i][candidates[c]] - cell->at[i][candidates[0]];
  }
  for (int32_t i = 0; i < to->count[0]; i++) {
    for (int32_t c = 1; c < count; c++) {
      for (int32_t k = 0; k < 4; k++) z[c][k] = lrs_between(values[c][k], values[c][k + 4], to->weight[0][i]);
    }
    for (int32_t j = 0; j < to->count[1]; j++) {
      for (int32_t c = 1; c < count; c++) {
        for (int32_t k = 0; k < 2; k++) y[c][k] = lrs_between(z[c][k], z[c][k + 2], to->weight[1][j]);
      }
      uint8_t *labels = to->labels + i * to->stride[0] + j * to->stride[1];
      for (int32_t k = 0; k < to->count[2]; k++) {
        int32_t best = 0, winner = 0;
        for (int32_t c = 1; c < count; c++) {
          const int32_t value = lrs_between(y[c][0], y[c][1], to->weight[2][k]);
          winner = value > best ? c : winner;
          best = MORE(value, best);
        }
        labels[k * to->stride[2]] = candidates[winner];
      }
    }
  }
}

/* Labels a cell where any number of classes may win. */
static void label_many(const lrs_corners *cell, const uint8_t candidates[], int32_t count, const lrs_room *to) {
  int32_t values[8][LRS_MAX_CLASSES], z[4][LRS_MAX_CLASSES], y[2][LRS_MAX_CLASSES];
  for (int32_t i = 0; i < 8; i++) {
    for (int32_t c = 0; c < count; c++) values[i][c] = cell->at[i][candidates[c]];
  }
  for (int32_t i = 0; i < to->count[0]; i++) {
    for (int32_t k = 0; k < 4; k++) {
      for (int32_t c = 0; c < count; c++) z[k][c] = lrs_between(values[k][c], values[k + 4][c], to->weight[0][i]);
    }
    for (int32_t j = 0; j < to->count[1]; j++) {
      for (int32_t k = 0; k < 2; k++) {
        for (int32_t c = 0; c < count; c++) y[k][c] = lrs_between(z[k][c], z[k + 2][c], to->weight[1][j]);
      }
      uint8_t *labels = to->labels + i * to->stride[0] + j * to->stride[1];
      for (int32_t k = 0; k < to->count[2]; k++) {
        const int32_t weight = to->weight[2][k];
        int32_t best = lrs_between(y[0][0], y[1][0], weight), winner = 0;
        for (int32_t c = 1; c < count; c++) {
          const int32_t value = lrs_between(y[0][c], y[1][c], weight);
          winner = value > best ? c : winner;
          best = value > best ? value : best;
        }
        labels[k * to->stride[2]] = candidates[winner];
      }
    }
  }
}

/* Brings the logits of a row's wanted voxels together. A class after the other: its voxels lie close together. */
static void fill_row(const lrs_reconstruction *job, const strip *part, int32_t row, const int16_t *logits,
                     int32_t wanted) {
  int32_t to[2 * LRS_CELLS], count = 0;
  int64_t from[2 * LRS_CELLS];
  for (int32_t i = 0; i < wanted; i++) {
    const int32_t voxel = part->wanted[i];
    to[count] = voxel * job->padded;
    from[count] = voxel * job->sides[2].step;
    count += !part->filled[row][voxel];
    part->filled[row][voxel] = 1;
  }
  for (int32_t c = 0; c < job->padded; c++) {
    int16_t *values = part->rows[row] + c;
    if (c < job->classes) {
      for (int32_t i = 0; i < count; i++) values[to[i]] = logits[from[i]];
      logits += job->plane;
    } else {
      for (int32_t i = 0; i < count; i++) values[to[i]] = INT16_MIN; /* a class that never wins */
    }
  }
}

/* Makes `row` that of a key; what has been filled of it, perhaps as the slice's other row, is kept. */
static void take_row(strip *part, int32_t row, int32_t key, int32_t width) {
  const int32_t other = row ^ 1;
  if (part->keys[row] == key) return;
  if (part->keys[other] == key) {
    int16_t *values = part->rows[row];
    uint8_t *filled = part->filled[row];
    part->rows[row] = part->rows[other];
    part->rows[other] = values;
    part->filled[row] = part->filled[other];
    part->filled[other] = filled;
    part->keys[other] = part->keys[row];
  } else {
    memset(part->filled[row], 0, (size_t)width);
  }
  part->keys[row] = key;
}

/* The place of a slice of the grid among those that are kept. */
static int32_t find_slice(const strip *part, int32_t slice) {
  int32_t i = 0;
  while (part->slices[i] != slice) i++;
  return i;
}

/* Labels the cells that have several labels at their corners. */
static void label_mixed(const lrs_reconstruction *job, strip *part, const lrs_run *slices, const lrs_run *lines,
                        int32_t mixed, int32_t width) {
  const lrs_side *slow = &job->sides[0], *middle = &job->sides[1], *fast = &job->sides[2];
  uint8_t candidates[LRS_MAX_CLASSES + 1];
  int32_t wanted = 0, rows[4];
  for (int32_t i = 0; i < mixed; i++) {
    const int32_t cell = fast->runs[part->mixed[i]].cell;
    if (!wanted || part->wanted[wanted - 1] != cell - part->least) part->wanted[wanted++] = cell - part->least;
    part->wanted[wanted++] = lrs_after(fast, cell) - part->least;
  }
  for (int32_t i = 0; i < 4; i++) {
    const int32_t slice = i & 2 ? lrs_after(slow, slices->cell) : slices->cell;
    const int32_t line = i & 1 ? lrs_after(middle, lines->cell) : lines->cell;
    rows[i] = 2 * find_slice(part, slice) + (line != lines->cell); /* at the end of the grid both are one */
    take_row(part, rows[i], line, width);
    fill_row(job, part, rows[i], job->logits + slice * slow->step + line * middle->step + part->least * fast->step,
             wanted);
  }
  for (int32_t i = 0; i < mixed; i++) {
    const lrs_run *run = &fast->runs[part->mixed[i]];
    const int32_t first = (run->cell - part->least) * job->padded;
    const int32_t second = (lrs_after(fast, run->cell) - part->least) * job->padded;
    lrs_corners cell;
    for (int32_t row = 0; row < 4; row++) {
      cell.at[2 * row] = part->rows[rows[row]] + first;
      cell.at[2 * row + 1] = part->rows[rows[row]] + second;
    }
    const lrs_room to = {
        job->labels + slices->first * slow->stride + lines->first * middle->stride + run->first * fast->stride,
        {slow->stride, middle->stride, fast->stride},
        {slices->first, lines->first, run->first},
        {slices->count, lines->count, run->count},
        {slow->weight + slices->first, middle->weight + lines->first, fast->weight + run->first},
        {{slices->cell, lines->cell, run->cell},
         {lrs_after(slow, slices->cell), lrs_after(middle, lines->cell), lrs_after(fast, run->cell)}}};
    const int32_t count = find_candidates(job, &cell, candidates);
    if (job->fusion) {
      lrs_fuse_cell(job, &cell, candidates, count, &to, part->counts);
      continue;
    }
    switch (count) {
      case 2: label_few(&cell, candidates, 2, &to); break;
      case 3: label_few(&cell, candidates, 3, &to); break;
      case FEW: label_few(&cell, candidates, FEW, &to); break;
      default: label_many(&cell, candidates, count, &to); break;
    }
  }
}

/* Labels cells of one label along a row, and notes the others. Returns how many these are. */
static int32_t label_line(const lrs_reconstruction *job, strip *part, const uint8_t *labels, int32_t begin,
                          int32_t end, int32_t width) {
  const lrs_run *runs = job->sides[2].runs;
  const int32_t origin = runs[begin].first, least = part->least;
  int32_t mixed = 0;
  if (width > 1 && !memchr(part->uniform, 0, (size_t)width - 1)) { /* all of it */
    memset(part->line, labels[0], (size_t)(runs[end - 1].first + runs[end - 1].count - origin));
    return 0;
  }
  for (int32_t r = begin; r < end;) {
    const int32_t from = r;
    const uint8_t label = labels[runs[r].cell - least];
    while (r < end && part->uniform[runs[r].cell - least] && labels[runs[r].cell - least] == label) r++;
    const int several = r == from;
    if (several) part->mixed[mixed++] = r++; /* labelled later; its place is filled until then */
    const int32_t first = runs[from].first, last = runs[r - 1].first + runs[r - 1].count;
    memset(part->line + (first - origin), several ? job->classes : label, (size_t)(last - first));
  }
  return mixed;
}

/* Finds cells of one label, beginning at each voxel of the strip. `labels` are those of its four rows, `none` is no
 * label. */
static void find_uniform(strip *part, const uint8_t *const labels[4], int32_t width, int last_is_alone, uint8_t none) {
  const uint8_t *a = labels[0], *b = labels[1], *c = labels[2], *d = labels[3];
  uint8_t *columns = part->columns, *uniform = part->uniform;
  for (int32_t i = 0; i < width; i++) columns[i] = (a[i] == b[i]) & (a[i] == c[i]) & (a[i] == d[i]) & (a[i] != none);
  for (int32_t i = 0; i + 1 < width; i++) uniform[i] = columns[i] & columns[i + 1] & (a[i] == a[i + 1]);
  uniform[width - 1] = last_is_alone ? columns[width - 1] : 0;
}

/* Labels the source voxels of some runs of the fastest axis, one of the middle one and one of the slowest one. */
static void label_strip(const lrs_reconstruction *job, strip *part, const lrs_run *slices, const lrs_run *lines,
                        int32_t begin, int32_t end, int32_t width) {
  const lrs_side *slow = &job->sides[0], *middle = &job->sides[1], *fast = &job->sides[2];
  const int32_t a[2] = {slices->cell, lrs_after(slow, slices->cell)}, b[2] = {lines->cell, lrs_after(middle, lines->cell)};
  const uint8_t *labels[4];
  for (int32_t row = 0; row < 4; row++) {
    labels[row] = job->grid_labels + a[row >> 1] * slow->distance + b[row & 1] * middle->distance + part->least;
  }
  find_uniform(part, labels, width, part->least + width == fast->grid, (uint8_t)job->classes);
  const int32_t mixed = label_line(job, part, labels[0], begin, end, width);
  const int32_t origin = fast->runs[begin].first, length = fast->runs[end - 1].first + fast->runs[end - 1].count - origin;
  for (int32_t z = slices->first; z < slices->first + slices->count; z++) {
    for (int32_t y = lines->first; y < lines->first + lines->count; y++) {
      uint8_t *to = job->labels + z * slow->stride + y * middle->stride + origin * fast->stride;
      if (part->counts) {
        lrs_count_line(to, fast->stride, part->line, length, part->counts);
      } else if (fast->stride == 1) {
        memcpy(to, part->line, (size_t)length);
      } else {
        for (int32_t x = 0; x < length; x++) to[x * fast->stride] = part->line[x];
      }
    }
  }
  if (mixed) label_mixed(job, part, slices, lines, mixed, width);
}

/* The end of the runs that are worked on at once. */
static int32_t strip_end(const lrs_side *fast, int32_t begin) {
  int32_t end = begin, voxels = 0;
  for (; end < fast->run_count && end - begin < LRS_CELLS; end++) {
    const int32_t distance = fast->runs[end].cell - fast->runs[begin].cell;
    voxels += fast->runs[end].count;
    if (distance >= LRS_CELLS || distance <= -LRS_CELLS || voxels > LRS_CELL_VOXELS) break;
  }
  return end;
}

/* The slices of the grid that some runs need, each once. */
static void keep_slices(const lrs_side *slow, const lrs_run *runs, int32_t count, strip *part) {
  part->slice_count = 0;
  for (int32_t i = 0; i < 2 * count; i++) {
    const int32_t cell = runs[i / 2].cell, slice = i % 2 ? lrs_after(slow, cell) : cell;
    int32_t k = 0;
    while (k < part->slice_count && part->slices[k] != slice) k++;
    part->slices[k] = slice;
    if (k == part->slice_count) part->slice_count++;
  }
}

size_t lrs_layers_scratch(const lrs_reconstruction *job) {
  const size_t row = LRS_CELLS + 1;
  return lrs_counts_scratch(job) + 3 * LRS_CELLS * sizeof(int32_t) + 2 * SLICES * row * ((size_t)job->padded * sizeof(int16_t) + 1) + 2 * row +
         LRS_CELL_VOXELS;
}

void lrs_label_layers(const lrs_reconstruction *job, const lrs_run *runs, int32_t count, void *scratch) {
  const lrs_side *middle = &job->sides[1], *fast = &job->sides[2];
  const int32_t row = LRS_CELLS + 1;
  strip part;
  part.counts = lrs_begin_counts(job, scratch);
  part.mixed = (int32_t *)((unsigned char *)scratch + lrs_counts_scratch(job));
  part.wanted = part.mixed + LRS_CELLS;
  part.rows[0] = (int16_t *)(part.wanted + 2 * LRS_CELLS);
  for (int32_t k = 1; k < 2 * SLICES; k++) part.rows[k] = part.rows[k - 1] + row * job->padded;
  part.filled[0] = (uint8_t *)(part.rows[2 * SLICES - 1] + row * job->padded);
  for (int32_t k = 1; k < 2 * SLICES; k++) part.filled[k] = part.filled[k - 1] + row;
  part.columns = part.filled[2 * SLICES - 1] + row;
  part.uniform = part.columns + row;
  part.line = part.uniform + row;
  keep_slices(&job->sides[0], runs, count, &part);
  for (int32_t begin = 0, end; begin < fast->run_count; begin = end) {
    end = strip_end(fast, begin);
    const int32_t one = fast->runs[begin].cell, other = fast->runs[end - 1].cell;
    const int32_t most = lrs_after(fast, one > other ? one : other);
    part.least = one < other ? one : other;
    for (int32_t k = 0; k < 2 * SLICES; k++) part.keys[k] = -1;
    for (int32_t r = 0; r < middle->run_count; r++) {
      for (int32_t i = 0; i < count; i++) {
        label_strip(job, &part, &runs[i], &middle->runs[r], begin, end, most - part.least + 1);
      }
    }
  }
  if (part.counts) lrs_end_counts(job, part.counts);
}
