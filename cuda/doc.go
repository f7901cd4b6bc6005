// Package cuda is the CUDA device: it launches the kernels of package kernels
// through a Driver. The emulated driver, over package ptx, is in every build;
// gorgonia.org/cu's is behind the build tag cuda.
package cuda
