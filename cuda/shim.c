//go:build cuda && cgo && linux && (amd64 || arm64)

/*
 * Every call of cuda.h as a jump through a table, so that a program linked
 * against no driver starts on every machine and finds the driver when it asks
 * for it. At first each call returns CUDA_ERROR_NOT_INITIALIZED, but for cuInit,
 * which succeeds: gorgonia.org/cu ends the program where it does not.
 */
#include "shim.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static CUresult not_initialized(void) { return CUDA_ERROR_NOT_INITIALIZED; }
static CUresult not_supported(void) { return CUDA_ERROR_NOT_SUPPORTED; }
static CUresult success(void) { return CUDA_SUCCESS; }

typedef CUresult (*call)(void);

/* One entry a call. The symbols are hidden: nothing outside the program binds to
 * them, and the real library's stay its own. */
#define ENTRY(name, symbol, parameters) __attribute__((visibility("hidden"))) call godwit_entry_##name = not_initialized;
GODWIT_DRIVER_CALLS(ENTRY)

#if defined(__x86_64__)
#define JUMP(name) "  jmp *godwit_entry_" #name "(%rip)\n"
#elif defined(__aarch64__)
/* x16 is the register that the procedure call standard leaves to such jumps. */
#define JUMP(name) \
  "  adrp x16, godwit_entry_" #name "\n" \
  "  ldr x16, [x16, :lo12:godwit_entry_" #name "]\n" \
  "  br x16\n"
#else
#error "the build tag cuda needs linux on amd64 or arm64"
#endif

#define TRAMPOLINE(name, symbol, parameters) \
  __asm__(".text\n.p2align 4\n.globl " #name "\n.hidden " #name "\n.type " #name ", %function\n" #name ":\n" JUMP(name) ".size " #name ", .-" #name "\n");
GODWIT_DRIVER_CALLS(TRAMPOLINE)

static const struct {
  const char *name, *symbol;
  call *entry;
} table[] = {
#define ROW(name, symbol, parameters) {#name, #symbol, &godwit_entry_##name},
    GODWIT_DRIVER_CALLS(ROW)};

enum { calls = sizeof table / sizeof table[0] };

/* What native.go cannot do without. Others a driver may lack. */
static const char *const needed[] = {
    "cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceTotalMem", "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease",
    "cuDevicePrimaryCtxReset", "cuCtxSetCurrent", "cuMemGetInfo", "cuMemAlloc", "cuMemFree", "cuMemHostAlloc", "cuMemFreeHost",
    "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuMemcpy2DAsync", "cuMemsetD8Async", "cuModuleLoadDataEx", "cuModuleUnload",
    "cuModuleGetFunction", "cuFuncGetAttribute", "cuFuncSetAttribute", "cuLaunchKernel", "cuStreamCreate", "cuStreamDestroy",
    "cuStreamSynchronize", "cuEventCreate", "cuEventDestroy", "cuEventRecord", "cuEventSynchronize"};

void godwit_unbind(void) {
  for (int i = 0; i < calls; i++) *table[i].entry = not_initialized;
  godwit_entry_cuInit = success;
}

/* gorgonia.org/cu's package initialisation calls cuInit before any of ours. */
__attribute__((constructor)) static void start(void) { godwit_unbind(); }

const char *godwit_bind_driver(void) {
  static void *library;
  static char missing[80];
  if (!library) library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) return dlerror();
  for (int i = 0; i < calls; i++) {
    call found = (call)dlsym(library, table[i].symbol);
    *table[i].entry = found ? found : not_supported;
  }
  for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
    for (int j = 0; j < calls; j++)
      if (!strcmp(table[j].name, needed[i]) && *table[j].entry == not_supported) {
        snprintf(missing, sizeof missing, "libcuda.so.1 is too old: it has no %s", table[j].symbol);
        godwit_unbind();
        return missing;
      }
  return NULL;
}

/* The functions that emu.go exports. */
#define EMULATED(X) \
  X(cuInit) X(cuDeviceGetCount) X(cuDeviceGet) X(cuDeviceGetName) X(cuDeviceTotalMem) X(cuDeviceGetAttribute) X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease) \
  X(cuDevicePrimaryCtxReset) X(cuCtxSetCurrent) X(cuMemGetInfo) X(cuMemAlloc) X(cuMemAllocAsync) X(cuMemFree) X(cuMemFreeAsync) \
  X(cuMemHostAlloc) X(cuMemFreeHost) X(cuMemcpyHtoDAsync) X(cuMemcpyDtoHAsync) X(cuMemcpy2DAsync) X(cuMemsetD8Async) \
  X(cuModuleLoadDataEx) X(cuModuleUnload) X(cuModuleGetFunction) X(cuFuncGetAttribute) X(cuFuncSetAttribute) X(cuLaunchKernel) \
  X(cuStreamCreate) X(cuStreamDestroy) X(cuStreamSynchronize) X(cuEventCreate) X(cuEventDestroy) X(cuEventRecord) X(cuEventSynchronize)

#define EXPORTED(name) extern CUresult godwit_emu_##name(void); /* jumped to, so the parameters pass through */
EMULATED(EXPORTED)

void godwit_bind_emulator(void) {
  for (int i = 0; i < calls; i++) *table[i].entry = not_supported;
#define BIND(name) godwit_entry_##name = (call)godwit_emu_##name;
  EMULATED(BIND)
}

/* The model keeps the program free of __tls_get_addr, which is the dynamic linker's. */
static __thread uintptr_t emulator __attribute__((tls_model("initial-exec")));
void godwit_set_emulator(uintptr_t slot) { emulator = slot; }
uintptr_t godwit_emulator(void) { return emulator; }
