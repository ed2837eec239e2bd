#include "pairs.h"

#include <string.h>

enum { MASK_WORDS = (LRS_TABLE_ENTRIES + 63) / 64 };

/* The weight of an output for the trit at a place of the table. */
static int8_t weight_at(const lrs_chunk_weights *chunk, int32_t output, int32_t place) {
  const lrs_layer *layer = chunk->layer;
  const int32_t taps = lrs_kernel_size(layer), channel = chunk->first_channel + place / taps;
  const size_t before = ((size_t)output * (size_t)layer->incoming + (size_t)channel) * (size_t)taps;
  return layer->weights[before + (size_t)chunk->taps[place % taps]];
}

static int32_t ones(uint64_t word) {
  word -= word >> 1 & 0x5555555555555555u;
  word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
  word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return (int32_t)(word * 0x0101010101010101u >> 56);
}

int32_t lrs_pairs_find(const lrs_chunk_weights *chunk, int32_t first_output, int32_t outputs, lrs_pair *pairs) {
  const int32_t each = chunk->channels * lrs_kernel_size(chunk->layer);
  uint64_t masks[LRS_PAIRING][MASK_WORDS] = {{0}};
  int32_t common[LRS_PAIRING][LRS_PAIRING], count = 0;
  int taken[LRS_PAIRING] = {0};
  for (int32_t k = 0; k < outputs; k++) {
    for (int32_t i = 0; i < each; i++) {
      masks[k][i / 64] |= (uint64_t)(weight_at(chunk, first_output + k, i) != 0) << i % 64;
    }
    for (int32_t other = 0; other < k; other++) {
      common[k][other] = 0;
      for (int32_t word = 0; word < MASK_WORDS; word++) common[k][other] += ones(masks[k][word] & masks[other][word]);
    }
  }
  for (int32_t left = outputs; left > 0; left -= 2) {
    int32_t best[2] = {-1, -1}, most = -1;
    for (int32_t k = 0; k < outputs; k++) {
      if (taken[k]) continue;
      if (left == 1) best[0] = k;
      for (int32_t other = 0; other < k; other++) {
        if (taken[other] || common[k][other] <= most) continue;
        most = common[k][other];
        best[0] = other;
        best[1] = k;
      }
    }
    lrs_pair *pair = &pairs[count++];
    for (int k = 0; k < 2; k++) {
      pair->output[k] = best[k] < 0 ? -1 : first_output + best[k];
      if (best[k] >= 0) taken[best[k]] = 1;
    }
  }
  return count;
}

/* What to count a list costs, about: operations with two inputs, of which one with three inputs weighs two. */
static int32_t cost_of(int32_t trits) {
  const int32_t fours = (trits + 3) / 4;
  return 24 * fours + fours % 2 * 11 + fours / 2 % 2 * 13 + fours / 4 * 19;
}

enum { PLUS, MINUS, SIGNS, ADD_AND_SUBTRACT_COST = 63 };

/* Finds how many trits of each list in common to count for each output alone instead: some, where this saves padding
 * elsewhere, or all. `counts` and `moves` are [list][sign]. */
static void find_moves(int32_t counts[][SIGNS], int32_t moves[][SIGNS]) {
  int32_t least = INT32_MAX;
  for (int32_t code = -1; code < 256; code++) {
    int32_t move[LRS_SAME + 1][SIGNS], cost = code < 0 ? 0 : ADD_AND_SUBTRACT_COST;
    for (int i = 0; i < (LRS_SAME + 1) * SIGNS; i++) {
      const int32_t count = counts[i / SIGNS][i % SIGNS], some = code >> 2 * i & 3;
      move[i / SIGNS][i % SIGNS] = code < 0 || some > count ? count : some;
      cost += cost_of(count - move[i / SIGNS][i % SIGNS]);
    }
    for (int sign = PLUS; sign <= MINUS; sign++) {
      cost += cost_of(counts[LRS_FIRST_ALONE][sign] + move[LRS_SAME][sign] + move[LRS_OPPOSITE][sign]);
      cost += cost_of(counts[LRS_SECOND_ALONE][sign] + move[LRS_SAME][sign] + move[LRS_OPPOSITE][MINUS - sign]);
    }
    if (cost >= least) continue;
    least = cost;
    memcpy(moves, move, sizeof move);
  }
}

/* Sorts a chunk's weights by what a pair does with their trits: [weight][list], 0 where it is in no list. */
static void sort_weights(const lrs_chunk_weights *chunk, const lrs_pair *pair, int8_t signs[][LRS_LISTS_OF_PAIR]) {
  const int32_t each = chunk->channels * lrs_kernel_size(chunk->layer);
  int32_t counts[LRS_LISTS_OF_PAIR][SIGNS] = {{0}}, moves[LRS_SAME + 1][SIGNS];
  for (int32_t i = 0; i < each; i++) {
    int8_t weight[2] = {0, 0};
    for (int k = 0; k < 2; k++) {
      if (pair->output[k] >= 0) weight[k] = weight_at(chunk, pair->output[k], i);
    }
    memset(signs[i], 0, LRS_LISTS_OF_PAIR);
    if (weight[0] && weight[1]) {
      signs[i][weight[0] == weight[1] ? LRS_SAME : LRS_OPPOSITE] = weight[0];
    } else {
      signs[i][LRS_FIRST_ALONE] = weight[0];
      signs[i][LRS_SECOND_ALONE] = weight[1];
    }
    for (int list = 0; list < LRS_LISTS_OF_PAIR; list++) {
      if (signs[i][list]) counts[list][signs[i][list] > 0 ? PLUS : MINUS]++;
    }
  }
  find_moves(counts, moves);
  for (int32_t i = 0; i < each; i++) {
    for (int list = LRS_OPPOSITE; list <= LRS_SAME; list++) {
      const int8_t sign = signs[i][list];
      if (!sign || moves[list][sign > 0 ? PLUS : MINUS]-- <= 0) continue;
      signs[i][list] = 0;
      signs[i][LRS_FIRST_ALONE] = sign;
      signs[i][LRS_SECOND_ALONE] = list == LRS_SAME ? sign : (int8_t)-sign;
    }
  }
}

uint32_t lrs_pair_fill(const lrs_chunk_weights *chunk, lrs_pair *pair, uint16_t *entries, uint32_t next) {
  const int32_t each = chunk->channels * lrs_kernel_size(chunk->layer);
  int8_t signs[LRS_TABLE_ENTRIES][LRS_LISTS_OF_PAIR];
  sort_weights(chunk, pair, signs);
  pair->first = next;
  for (int list = 0; list < LRS_LISTS_OF_PAIR; list++) {
    for (int sign = 1; sign >= -1; sign -= 2) {
      uint32_t count = 0;
      for (int32_t i = 0; i < each; i++) {
        if (signs[i][list] == sign) entries[next + count++] = (uint16_t)(i * LRS_ENTRY_SCALE);
      }
      while (count % 4) entries[next + count++] = (uint16_t)(each * LRS_ENTRY_SCALE);
      next += count;
      (sign > 0 ? pair->plus : pair->minus)[list] = (uint8_t)(count / 4);
    }
  }
  return next;
}
