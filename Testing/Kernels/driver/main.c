/* Runs the kernels on cases that cases.py has written, with the public interface alone.
 *
 *   driver check CASES           every section with every instruction set and several numbers of threads; results must
 *                                be those in the file, bit for bit. Then several sections at the same time.
 *   driver damage CASES SEED N   N runs of damaged sections: refused, or run to an end, and never a fault
 *   driver cancel CASES SEED N   N runs that are polled and then waited for, cancelled or freed at random moments
 *   driver starve CASES SEED N   N runs in which memory and threads run out at random moments; only where it is built
 *                                with STARVE and the linker's --wrap for what is found there
 *
 * A file is "LRSCASE1" and then sections: uint32 kind, uint32 number of blobs, and for each blob its uint64 length and
 * its bytes. The last blob of a section is the result that is expected; see kinds.c for the others.
 * Exits with 1 and a sentence where something is wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

int main(int count, char **arguments) {
  int status = 2;
  if (lrs_interface_version() != LRS_INTERFACE_VERSION) fail("the library is of another version");
  if (count >= 3) {
    read_cases(arguments[2]);
    if (!section_count) fail("there are no sections");
  }
  if (count == 5) random_state = strtoul(arguments[3], NULL, 10) * 2 + 1;
  if (count == 3 && !strcmp(arguments[1], "check")) status = check();
  if (count == 5 && !strcmp(arguments[1], "damage")) status = damage(strtoul(arguments[4], NULL, 10));
  if (count == 5 && !strcmp(arguments[1], "cancel")) status = cancel(strtoul(arguments[4], NULL, 10));
#if defined(STARVE)
  if (count == 5 && !strcmp(arguments[1], "starve")) status = starve(strtoul(arguments[4], NULL, 10));
#endif
  if (status == 2) fputs("usage: driver check CASES | damage CASES SEED COUNT | cancel CASES SEED COUNT\n", stderr);
  for (uint32_t i = 0; i < section_count; i++) {
    for (uint32_t j = 0; j < sections[i].count; j++) release(&sections[i].blobs[j], "an input");
  }
  return status;
}
