//go:build cuda && cgo && linux && (amd64 || arm64)

package cuda

// emulations are the emulated devices of this build.
var emulations = []emulation{{"ptx", NewPTX}, {"cuda:emu", NewEmu}, {"cuda:emu without pools", func(cfg Config) (*Device, error) {
	cfg.noPools = true
	return NewEmu(cfg)
}}}

func (n *native) under() *emulator { return n.gpu.emulator }
