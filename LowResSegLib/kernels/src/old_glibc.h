/* Included before every file where LRS_OLD_GLIBC is on: a library that is linked here then loads on old systems too.
 *
 * glibc 2.34 gave three of the functions that are used a new version, though they did not change; the versions before it
 * are still there. Everything else that is used is in glibc 2.17. */
#if defined(__linux__) && defined(__x86_64__)
__asm__(".symver pthread_create,pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_join,pthread_join@GLIBC_2.2.5");
__asm__(".symver pthread_condattr_setclock,pthread_condattr_setclock@GLIBC_2.3.3");
#elif defined(__linux__) && defined(__aarch64__)
__asm__(".symver pthread_create,pthread_create@GLIBC_2.17");
__asm__(".symver pthread_join,pthread_join@GLIBC_2.17");
__asm__(".symver pthread_condattr_setclock,pthread_condattr_setclock@GLIBC_2.17");
#endif
