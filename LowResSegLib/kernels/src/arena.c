#include "arena.h"

#include <string.h>

uint64_t lrs_arena_take(lrs_arena *arena, uint64_t bytes, int32_t now, int32_t last_use) {
  int32_t kept = 0;
  for (int32_t i = 0; i < arena->count; i++) {
    if (arena->blocks[i].last_use >= now) arena->blocks[kept++] = arena->blocks[i];
  }
  arena->count = kept;
  uint64_t offset = 0;
  int32_t place = 0;
  while (place < arena->count && arena->blocks[place].offset < offset + bytes) {
    offset = arena->blocks[place].offset + arena->blocks[place].bytes;
    place++;
  }
  memmove(arena->blocks + place + 1, arena->blocks + place, (size_t)(arena->count - place) * sizeof(lrs_span));
  const lrs_span block = {offset, (bytes + 63) / 64 * 64, last_use};
  arena->blocks[place] = block;
  arena->count++;
  if (arena->bytes < block.offset + block.bytes) arena->bytes = block.offset + block.bytes;
  return offset;
}
