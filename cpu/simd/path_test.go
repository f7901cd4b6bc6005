package simd

import (
	"os"
	"strings"
	"testing"
)

// TestPathNames: a path's name gives the path, and nothing else does.
func TestPathNames(t *testing.T) {
	for p := Portable; p < numPaths; p++ {
		if got, ok := ParsePath(p.String()); !ok || got != p {
			t.Errorf("%v: parsed as %v, %v", p, got, ok)
		}
	}
	for _, name := range []string{"", "AVX2", "avx", "path?", "avx2 "} {
		if p, ok := ParsePath(name); ok {
			t.Errorf("%q is taken for %v", name, p)
		}
	}
	if names := strings.Split(Names(), ", "); len(names) != int(Best())+1 || names[0] != Best().String() || names[len(names)-1] != "portable" {
		t.Errorf("available: %q", names)
	}
}

// TestPathOfProcessor holds the path that is chosen against the one that whoever
// runs the tests knows to be right, as on the processors of an emulator.
func TestPathOfProcessor(t *testing.T) {
	want := os.Getenv("GODWIT_TEST_PATH")
	if want == "" {
		t.Skip("GODWIT_TEST_PATH does not say which path is right here")
	}
	if Best().String() != want {
		t.Errorf("the path chosen is %v, want %s", Best(), want)
	}
}
