#include "raster.h"

#include <string.h>

#include "lowresseg.h"
#include "platform.h"

static int64_t rounded_up(int64_t bytes) { return (bytes + LRS_ALIGNMENT - 1) / LRS_ALIGNMENT * LRS_ALIGNMENT; }

/* Padding rows spare masks for dy, but are computed like others. Where more than one of so many of the widest vectors
 * would be for them, masks cost less. */
enum { PADDED_VECTORS = 40 };

void lrs_raster_set(lrs_raster *raster, const int32_t size[3], const int32_t margin[3]) {
  memset(raster, 0, sizeof *raster);
  memcpy(raster->size, size, sizeof raster->size);
  raster->pitch = ((int64_t)size[2] + 7) / 8;
  const int64_t bare = rounded_up(raster->pitch * size[1] * size[0]);
  const int64_t padded = rounded_up(raster->pitch * (size[1] + margin[1]) * size[0]);
  raster->rows = size[1] + ((padded - bare) * PADDED_VECTORS > padded ? 0 : margin[1]);
  const int64_t slice = raster->rows * raster->pitch;
  raster->used = slice * size[0];
  raster->length = rounded_up(raster->used);
  /* The farthest neighbour, the word beside it for a shift, and a word beyond for rows that are read by words. */
  raster->guard = rounded_up(margin[0] * slice + margin[1] * raster->pitch + 16);
  raster->stride = raster->length + raster->guard;
}

uint64_t lrs_mask_bytes(const lrs_raster *raster, const int32_t margin[3]) {
  const uint64_t rows = (uint64_t)(lrs_is_padded(raster) ? 1 : 2 * margin[1] + 1);
  return rows * (uint64_t)(2 * margin[2] + 1) * (uint64_t)(raster->length + LRS_ALIGNMENT);
}

/* A mask of the voxels whose neighbour at (dy, dx) lies in their slice. */
static uint8_t *neighbour_mask(const lrs_raster *raster, int32_t dy, int32_t dx) {
  const int32_t *size = raster->size;
  /* Rows are read by words, so there is room for one behind the last row. */
  uint8_t *mask = (uint8_t *)lrs_allocate((size_t)raster->length + LRS_ALIGNMENT);
  if (!mask) return NULL;
  memset(mask, 0, (size_t)raster->length + LRS_ALIGNMENT);
  const uint8_t *filled = NULL;
  for (int32_t z = 0; z < size[0]; z++) {
    for (int32_t y = 0; y < size[1]; y++) {
      if (y + dy < 0 || y + dy >= size[1]) continue;
      uint8_t *row = mask + lrs_row(raster, z, y);
      if (filled) {
        memcpy(row, filled, (size_t)raster->pitch);
        continue;
      }
      for (int32_t x = 0; x < size[2]; x++) {
        if (x + dx >= 0 && x + dx < size[2]) row[x / 8] = (uint8_t)(row[x / 8] | 1 << x % 8);
      }
      filled = row;
    }
  }
  return mask;
}

int32_t lrs_raster_masks(lrs_raster *raster, const int32_t margin[3]) {
  const int32_t reach = lrs_is_padded(raster) ? 0 : margin[1];
  raster->inside = neighbour_mask(raster, 0, 0);
  if (!raster->inside) return LRS_NO_MEMORY;
  for (int32_t dy = -reach; dy <= reach; dy++) {
    for (int32_t dx = -margin[2]; dx <= margin[2]; dx++) {
      uint8_t *mask = dy || dx ? neighbour_mask(raster, dy, dx) : raster->inside;
      if (!mask) return LRS_NO_MEMORY;
      raster->within[dy + LRS_MAX_REACH][dx + LRS_MAX_REACH] = mask;
    }
  }
  return LRS_DONE;
}

void lrs_raster_free(lrs_raster *raster) {
  for (int i = 0; i < LRS_NEIGHBOURS * LRS_NEIGHBOURS; i++) {
    uint8_t *mask = raster->within[i / LRS_NEIGHBOURS][i % LRS_NEIGHBOURS];
    if (mask != raster->inside) lrs_release(mask);
  }
  lrs_release(raster->inside);
}

uint64_t lrs_tensor_bytes(const lrs_raster *raster, int32_t channels) {
  return 2 * ((uint64_t)channels * (uint64_t)raster->stride + (uint64_t)raster->guard);
}

lrs_tensor lrs_tensor_in(uint8_t *memory, const lrs_raster *raster, int32_t channels) {
  lrs_tensor tensor = {raster, channels, memory + raster->guard, NULL};
  tensor.x = tensor.u + channels * raster->stride + raster->guard;
  return tensor;
}

void lrs_tensor_clear(const lrs_tensor *tensor, int32_t channel, int rows) {
  const lrs_raster *raster = tensor->raster;
  const int64_t slice = raster->rows * raster->pitch, grid = raster->size[1] * raster->pitch;
  uint8_t *planes[2] = {tensor->u, tensor->x};
  for (int i = 0; i < 2; i++) {
    const int zeros = i ? 0xff : 0; /* t = 0 is u = 0, x = 1 */
    uint8_t *plane = planes[i] + channel * raster->stride;
    if (channel == 0) memset(plane - raster->guard, zeros, (size_t)raster->guard);
    for (int32_t z = 0; rows && slice > grid && z < raster->size[0]; z++) {
      memset(plane + z * slice + grid, zeros, (size_t)(slice - grid));
    }
    memset(plane + raster->used, zeros, (size_t)(raster->stride - raster->used));
  }
}
