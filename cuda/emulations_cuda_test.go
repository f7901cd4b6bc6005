//go:build cuda && cgo && linux && (amd64 || arm64)

package cuda

// emulations are the emulated devices of this build.
var emulations = []emulation{{"ptx", NewPTX}, {"cuda:emu", NewEmu}}

func (b *beneath) under() *emulator { return b.gpu.emulator }
