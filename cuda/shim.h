/* The driver's table: what binds the calls of cuda.h, while the program runs. */
#ifndef GODWIT_SHIM_H
#define GODWIT_SHIM_H

#include "cuda.h"

/* Binds the calls to libcuda.so.1; NULL, or why it cannot be, in static storage
 * or dlerror's. */
const char *godwit_bind_driver(void);

/* Binds the calls that emu.go has to it, all others to "not supported". */
void godwit_bind_emulator(void);

/* Unbinds all calls: they return CUDA_ERROR_NOT_INITIALIZED again. */
void godwit_unbind(void);

/* The emulator of the calling thread; the worker of a device sets it once. */
void godwit_set_emulator(uintptr_t slot);
uintptr_t godwit_emulator(void);

#endif
