/* A run of a network: what it holds, and the phases of its layers. */
#ifndef LOWRESSEG_RUN_H
#define LOWRESSEG_RUN_H

#include <stddef.h>

#include "bitplane.h"
#include "job.h"
#include "network.h"
#include "raster.h"

/* What a layer has at hand during a run. */
typedef struct lrs_state {
  lrs_raster *raster;
  lrs_tensor output;
  uint64_t offset; /* of the output in the arena */
  lrs_tensor split; /* of a strided convolution's input */
  uint64_t split_offset;
  lrs_convolution convolution;
  int16_t *first_weights;
  int32_t vectors_of_item, groups; /* of a convolution: vectors of voxels, and shares of the outputs */
  int32_t rows_of_item;            /* of the first layer and of the logits: rows of a slice */
  int64_t slice_groups;            /* of what is done slice by slice: shares of the channels */
} lrs_state;

typedef struct lrs_step {
  int32_t layer;
  int split; /* the phase works on the layer's split input */
} lrs_step;

typedef struct lrs_run {
  const lrs_network *network;
  const lrs_kernels *kernels;
  const uint8_t *grid;
  int16_t *logits;
  lrs_raster *rasters; /* one for each layer that has a grid unlike those before */
  int32_t raster_count;
  lrs_state *states;
  uint8_t *memory;
  uint64_t bytes; /* of `memory` */
  const uint8_t **u, **x; /* planes that the last layer reads */
  lrs_phase *phases;
  lrs_step *steps;
  int32_t phase_count;
} lrs_run;

/* Sets up one layer once its memory is there: its tensors, lists and phases. Says what scratch a thread needs. */
int32_t lrs_prepare_layer(lrs_run *run, int32_t position, int32_t threads, size_t *scratch);

#endif
