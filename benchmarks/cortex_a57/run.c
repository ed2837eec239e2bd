/* Runs a network on a grid with one thread, as often as it is told to: run NETWORK Z Y X TIMES. The grid is noise. */
#include <stdio.h>
#include <stdlib.h>

#include "lowresseg.h"

int main(int count, char **arguments) {
  if (count != 6) return 2;
  FILE *file = fopen(arguments[1], "rb");
  if (!file) return 3;
  static char bytes[1 << 24];
  const size_t length = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  lrs_network *network;
  if (lrs_network_read(bytes, length, &network) != LRS_DONE) return 4;
  const int32_t shape[3] = {atoi(arguments[2]), atoi(arguments[3]), atoi(arguments[4])};
  const size_t voxels = (size_t)shape[0] * (size_t)shape[1] * (size_t)shape[2];
  const size_t most = 255 * voxels * sizeof(int16_t); /* more classes than any network has */
  uint8_t *grid = malloc(voxels);
  int16_t *logits = malloc(most);
  if (!grid || !logits) return 5;
  uint32_t state = 1;
  for (size_t i = 0; i < voxels; i++) {
    state = state * 1664525u + 1013904223u;
    grid[i] = (uint8_t)(state >> 25);
  }
  const size_t classes = (size_t)strtoul(getenv("CLASSES"), NULL, 10);
  for (int i = 0; i < atoi(arguments[5]); i++) {
    lrs_job *job;
    const int32_t status = lrs_network_start(network, shape, grid, voxels, logits, classes * voxels * sizeof(int16_t), 1,
                                             LRS_BEST, &job);
    if (status != LRS_DONE) return 6;
    if (lrs_job_wait(job, 10000000u, NULL) != LRS_DONE) return 7;
    lrs_job_free(job);
  }
  lrs_network_free(network);
  return 0;
}
