package godwit_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godwit-ml/godwit"
)

// TestLocal: every name it lists is one that Find finds.
func TestLocal(t *testing.T) {
	home := t.TempDir()
	hub := filepath.Join(home, "hub")
	t.Setenv("HF_HUB_CACHE", hub)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	t.Setenv("HOME", home)
	t.Setenv("LocalAppData", filepath.Join(home, "cache"))
	user, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if names, err := godwit.Local(); err != nil || len(names) != 0 {
		t.Errorf("nothing there: %v %v", names, err)
	}
	put := func(parts ...string) {
		file := filepath.Join(parts...)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("abc"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for repo, files := range map[string][]string{
		"models--owner--one":   {"config.json", "model.safetensors"},
		"models--owner--gguf":  {"m.Q4_0.gguf"},
		"models--owner--two":   {"config.json", "m-Q4_0.gguf", "m-Q8_0.gguf"},
		"models--gpt2":         {"config.json"},
		"models--owner--empty": {"README.md"},
		"datasets--owner--d":   {"config.json"},
	} {
		put(hub, repo, "refs", "main")
		for _, f := range files {
			put(hub, repo, "snapshots", "abc", f)
		}
	}
	put(user, "godwit", "models", "mine", "small", "config.json")
	put(user, "godwit", "models", "plain.gguf")
	put(user, "godwit", "models", "note.txt")
	names, err := godwit.Local()
	want := []string{"gpt2", "mine/small", "owner/gguf", "owner/one", "owner/two:m-Q4_0.gguf", "owner/two:m-Q8_0.gguf", "plain.gguf"}
	if err != nil || !slices.Equal(names, want) {
		t.Fatalf("%q %v, want %q", names, err, want)
	}
	for _, n := range names {
		if _, err := godwit.Find(n); err != nil {
			t.Errorf("Find(%q): %v", n, err)
		}
	}
}
