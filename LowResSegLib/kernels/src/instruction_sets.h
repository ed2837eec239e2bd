/* Which instruction sets the processor has. */
#ifndef LRS_INSTRUCTION_SETS_H
#define LRS_INSTRUCTION_SETS_H

#include "bitplane.h"

/* The kernels of an instruction set, LRS_BEST for the best one; NULL where it is not there. */
const lrs_kernels *lrs_kernels_of(int32_t instruction_set);

#endif
