/* What a reduction of logits works on: which classes can win (candidates.c), and what is left of them (gather.c). */
#ifndef LRS_CANDIDATES_H
#define LRS_CANDIDATES_H

#include <stddef.h>
#include <stdint.h>

enum {
  LRS_GROUP = 16,       /* classes whose bits are a number of 16 */
  LRS_MARKS_BEFORE = 8, /* marks before the first one, which are none, */
  LRS_PLACES_BEHIND = 4 /* and places behind the last one, which may be written and mean nothing */
};

/* What is left of a slice: of each class in how many lists it is, and its numbers, class by class; then the lists. */
typedef struct lrs_left {
  int32_t *counts; /* (classes); the numbers and the lists are behind them, in the same memory */
  int64_t columns, listed;
} lrs_left;

typedef struct lrs_candidates {
  const int16_t *logits;
  int64_t plane;    /* from a class to the next one, */
  int64_t steps[2]; /* a slice to the next one, and a row */
  int32_t classes, groups, bytes, used[3];
  int32_t next; /* 1, or 0 on a grid of one column, where both ends of a cell along x are the same */
  int32_t item; /* slices of an item */
  uint8_t *winners, *mixed, *lists;
  uint16_t *below;
  int64_t lists_room, below_room; /* numbers */
  volatile int64_t *sizes;        /* columns of the lists, and numbers in `below`; less than 0 without memory */
  lrs_left *left;                 /* of each slice */
  int64_t *begins;                /* of class c in slice z at c * slices + z, in `below`; */
  int64_t *firsts;                /* of each slice its first column of the lists */
} lrs_candidates;

/* The marks of a slice, group by group, which are cleared: those of voxel i and of the one before it, which along x is on
 * the other side of the cell before, say which classes can win around it. `scratch` has
 * lrs_gather_scratch bytes and is aligned to 4. */
void lrs_gather_slice(const lrs_candidates *this, uint16_t *marks, int32_t z, void *scratch);

/* Bytes of scratch memory that this needs. */
static inline size_t lrs_gather_scratch(const lrs_candidates *this) {
  const size_t slice = (size_t)this->used[1] * (size_t)this->used[2];
  return (slice + LRS_PLACES_BEHIND) * sizeof(int32_t) + slice * (size_t)this->groups * sizeof(uint16_t);
}

/* Bytes of the marks of two slices; what follows is aligned to 16 bytes. */
static inline size_t lrs_marks_bytes(const lrs_candidates *this) {
  const size_t slice = (size_t)this->used[1] * (size_t)this->used[2];
  return ((LRS_MARKS_BEFORE + 2 * slice * (size_t)this->groups) * sizeof(uint16_t) + 15) / 16 * 16;
}

/* Phases after all slices are gathered: where each goes (one item), and its way there (an item a slice). */
void lrs_place_slices(void *candidates, int32_t phase, int64_t item, void *scratch);
void lrs_copy_slice(void *candidates, int32_t phase, int64_t z, void *scratch);

#endif
