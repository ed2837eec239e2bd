/* A plug-in of qemu (user mode, interface 1) that counts the 64-bit ARM instructions that a program executes, by kind.
 *
 * What it uses of qemu's interface is declared here, as few systems install the header. Kinds are read from the
 * instruction's encoding (Arm Architecture Reference Manual, C4.1): vector, load, store, branch, integer.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int operation, void *, uint64_t);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
void qemu_plugin_outs(const char *);

enum { VECTOR, LOAD, STORE, BRANCH, INTEGER, KINDS };
static uint64_t counts[KINDS];
static const char *const names[KINDS] = {"vector", "load", "store", "branch", "integer"};

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static int kind(uint32_t code) {
  const uint32_t group = code >> 25 & 15;
  if ((group & 5) == 4) {
    if ((code >> 27 & 7) == 3) return LOAD; /* a literal */
    if ((code >> 27 & 7) == 5) return code >> 22 & 1 ? LOAD : STORE; /* a pair */
    if ((code >> 24 & 0xBF) == 0x0C || (code >> 24 & 0xBF) == 0x0D) return code >> 22 & 1 ? LOAD : STORE;
    return code >> 22 & 3 ? (code >> 22 & 1 || !(code >> 26 & 1) ? LOAD : (code >> 23 & 1 ? STORE : LOAD)) : STORE;
  }
  if ((group & 7) == 7) return VECTOR;
  if ((group & 14) == 10) return BRANCH;
  return INTEGER;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  uint64_t own[KINDS] = {0};
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
    uint32_t code;
    memcpy(&code, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof code);
    own[kind(code)]++;
  }
  for (int i = 0; i < KINDS; i++) {
    if (own[i]) qemu_plugin_register_vcpu_tb_exec_inline(block, 0, &counts[i], own[i]);
  }
}

static void ended(qemu_plugin_id_t id, void *unused) {
  (void)id;
  (void)unused;
  char line[80];
  for (int i = 0; i < KINDS; i++) {
    snprintf(line, sizeof line, "%s %" PRIu64 "\n", names[i], counts[i]);
    qemu_plugin_outs(line);
  }
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count,
                                                               char **arguments) {
  (void)info;
  (void)count;
  (void)arguments;
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  qemu_plugin_register_atexit_cb(id, ended, NULL);
  return 0;
}
