#include "raster.h"

#include <string.h>

#include "lowresseg.h"
#include "platform.h"

static int64_t rounded_up(int64_t bytes) { return (bytes + LRS_ALIGNMENT - 1) / LRS_ALIGNMENT * LRS_ALIGNMENT; }

void lrs_raster_set(lrs_raster *raster, const int32_t size[3], const int32_t margin[3]) {
  memset(raster, 0, sizeof *raster);
  memcpy(raster->size, size, sizeof raster->size);
  raster->rows = size[1] + margin[1];
  raster->pitch = ((int64_t)size[2] + 7) / 8;
  const int64_t slice = raster->rows * raster->pitch;
  raster->used = slice * size[0];
  raster->length = rounded_up(raster->used);
  /* The farthest neighbour, the byte beside it for a shift, and a word beyond for rows that are read by words. */
  raster->guard = rounded_up(margin[0] * slice + margin[1] * raster->pitch + 16);
  raster->stride = raster->length + raster->guard;
}

uint64_t lrs_mask_bytes(const lrs_raster *raster, int32_t reach) {
  return (uint64_t)(2 * reach + 1) * (uint64_t)(raster->length + LRS_ALIGNMENT);
}

/* A mask of the voxels x of each row with first <= x < end. */
static uint8_t *row_mask(const lrs_raster *raster, int32_t first, int32_t end) {
  /* Rows are read by words, so there is room for one behind the last row. */
  uint8_t *mask = (uint8_t *)lrs_allocate((size_t)raster->length + LRS_ALIGNMENT);
  if (!mask) return NULL;
  memset(mask, 0, (size_t)raster->length + LRS_ALIGNMENT);
  for (int32_t z = 0; z < raster->size[0]; z++) {
    for (int32_t y = 0; y < raster->size[1]; y++) {
      uint8_t *row = mask + lrs_row(raster, z, y);
      if (z || y) {
        memcpy(row, mask, (size_t)raster->pitch);
      } else {
        for (int32_t x = first; x < end; x++) row[x / 8] = (uint8_t)(row[x / 8] | 1 << x % 8);
      }
    }
  }
  return mask;
}

int32_t lrs_raster_masks(lrs_raster *raster, int32_t reach) {
  const int32_t width = raster->size[2];
  raster->inside = row_mask(raster, 0, width);
  if (!raster->inside) return LRS_NO_MEMORY;
  for (int32_t dx = -reach; dx <= reach; dx++) {
    if (dx == 0) continue;
    uint8_t *mask = row_mask(raster, dx < 0 ? -dx : 0, dx > 0 ? width - dx : width);
    if (!mask) return LRS_NO_MEMORY;
    raster->within[dx + LRS_MAX_REACH] = mask;
  }
  return LRS_DONE;
}

void lrs_raster_free(lrs_raster *raster) {
  lrs_release(raster->inside);
  for (int i = 0; i < 2 * LRS_MAX_REACH + 1; i++) lrs_release(raster->within[i]);
}

uint64_t lrs_tensor_bytes(const lrs_raster *raster, int32_t channels) {
  return 2 * ((uint64_t)channels * (uint64_t)raster->stride + (uint64_t)raster->guard);
}

lrs_tensor lrs_tensor_in(uint8_t *memory, const lrs_raster *raster, int32_t channels) {
  lrs_tensor tensor = {raster, channels, memory + raster->guard, NULL};
  tensor.x = tensor.u + channels * raster->stride + raster->guard;
  return tensor;
}

void lrs_tensor_clear(const lrs_tensor *tensor, int32_t channel, int whole) {
  const lrs_raster *raster = tensor->raster;
  uint8_t *planes[2] = {tensor->u, tensor->x};
  for (int i = 0; i < 2; i++) {
    const int zeros = i ? 0xff : 0; /* t = 0 is u = 0, x = 1 */
    uint8_t *plane = planes[i] + channel * raster->stride;
    if (channel == 0) memset(plane - raster->guard, zeros, (size_t)raster->guard);
    const int64_t from = whole ? 0 : raster->used;
    memset(plane + from, zeros, (size_t)(raster->stride - from));
  }
}
