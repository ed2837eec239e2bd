/* Which outputs of a ternary convolution are counted in pairs, and the lists of a pair. */
#ifndef LRS_PAIRS_H
#define LRS_PAIRS_H

#include "network.h"

/* The weights of a chunk: some input channels of a layer, with the taps of each in the order of the table. */
typedef struct lrs_chunk_weights {
  const lrs_layer *layer;
  const int32_t *taps; /* of the kernel */
  int32_t first_channel, channels;
} lrs_chunk_weights;

/* Finds pairs among at most LRS_PAIRING outputs: again and again those two of the rest that have most weights unlike
 * zero in common. Returns how many pairs there are; of an odd number of outputs the last one is alone. */
int32_t lrs_pairs_find(const lrs_chunk_weights *chunk, int32_t first_output, int32_t outputs, lrs_pair *pairs);

/* Makes the lists of a pair: writes entries from number `next` on, and returns the number of the next one. */
uint32_t lrs_pair_fill(const lrs_chunk_weights *chunk, lrs_pair *pair, uint16_t *entries, uint32_t next);

#endif
