//go:build race

package kernels_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain leaves most tests out under the race detector: they interpret
// hundreds of millions of instructions, which it makes an order of magnitude
// slower. The interpreter's goroutines and the device's are tested under it in
// packages ptx and cuda.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.run", "^(TestDeclarations|TestNormDrowned|TestMatMulChoice)$"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
