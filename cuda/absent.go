//go:build !(cuda && cgo && linux && (amd64 || arm64))

package cuda

// What a build without the driver binding says of it.

import "errors"

var errAbsent = errors.New("cuda: this build has no CUDA driver binding: build with -tags cuda and cgo, on linux/amd64 or linux/arm64")

// NewCUDA opens GPU number ordinal through gorgonia.org/cu. This build cannot.
func NewCUDA(ordinal int, cfg Config) (*Device, error) { return nil, errAbsent }

// NewEmu opens a device that is emulated beneath gorgonia.org/cu. This build
// cannot.
func NewEmu(cfg Config) (*Device, error) { return nil, errAbsent }

// List finds the GPUs of this machine. This build cannot.
func List() ([]GPU, error) { return nil, errAbsent }
