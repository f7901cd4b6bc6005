//go:build !(cuda && cgo && linux && (amd64 || arm64))

package cuda

import (
	"strings"
	"testing"
)

// emulations are the emulated devices of this build.
var emulations = []emulation{{"ptx", NewPTX}}

func TestAbsent(t *testing.T) {
	for name, open := range map[string]func() (*Device, error){
		"NewCUDA": func() (*Device, error) { return NewCUDA(0, Config{}) },
		"NewEmu":  func() (*Device, error) { return NewEmu(Config{}) },
	} {
		if d, err := open(); d != nil || err == nil || !strings.Contains(err.Error(), "-tags cuda") {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
}
