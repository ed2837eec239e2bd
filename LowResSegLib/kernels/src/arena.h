/* Where tensors lie in one piece of memory that is planned ahead: a tensor's place is free again after its last use. */
#ifndef LRS_ARENA_H
#define LRS_ARENA_H

#include <stdint.h>

#include "lowresseg.h"

typedef struct lrs_span {
  uint64_t offset, bytes;
  int32_t last_use;
} lrs_span;

typedef struct lrs_arena {
  lrs_span *blocks; /* that are in use, by offset; room for `most` */
  int32_t count, most;
  uint64_t bytes; /* needed so far */
} lrs_arena;

/* Finds room that is free from layer `now` to the end of layer `last_use`; returns its offset, a multiple of 64. There
 * are never more than `most` blocks. */
uint64_t lrs_arena_take(lrs_arena *arena, uint64_t bytes, int32_t now, int32_t last_use);

#endif
