package godwit_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/godwit-ml/godwit"
)

// plant writes empty files, and the references among them.
func plant(t testing.TB, root string, files ...string) {
	t.Helper()
	for _, f := range files {
		name, content, _ := strings.Cut(f, "=")
		p := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// findWorld is a working directory, a Hugging Face cache and a user's cache, all empty.
func findWorld(t *testing.T) (here, hub, own string) {
	t.Helper()
	root := t.TempDir()
	here, hub = filepath.Join(root, "here"), filepath.Join(root, "hub")
	for _, dir := range []string{here, hub} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(here)
	t.Setenv("HF_HUB_CACHE", hub)
	t.Setenv("HF_HOME", "")
	t.Setenv("HOME", filepath.Join(root, "home"))
	t.Setenv("USERPROFILE", filepath.Join(root, "home"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(root, "cache"))
	t.Setenv("LocalAppData", filepath.Join(root, "cache"))
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return here, hub, filepath.Join(cache, "godwit", "models")
}

const (
	commitA = "0123456789abcdef0123456789abcdef01234567"
	commitB = "fedcba9876543210fedcba9876543210fedcba98"
)

func TestFind(t *testing.T) {
	here, hub, own := findWorld(t)
	plant(t, here,
		"checkpoint/config.json", "checkpoint/model.safetensors", "checkpoint/model-Q8_0.gguf",
		"lone.gguf", "UPPER.GGUF", "odd:name/config.json", "notes.txt", "empty.gguf/config.json",
		"one/model.Q4_1.gguf", "one/config.json", "one/mmproj-f16.gguf",
		"both/config.json", "path/wins/config.json")
	a := "/snapshots/" + commitA + "/"
	b := "/snapshots/" + commitB + "/"
	plant(t, hub,
		"models--owner--plain/refs/main="+commitA+"\n", "models--owner--plain"+a+"config.json",
		"models--owner--plain/refs/v1.0="+commitB, "models--owner--plain"+b+"config.json",
		"models--owner--plain/refs/refs/pr/7="+commitB,
		"models--gpt2/refs/main="+commitA, "models--gpt2"+a+"model.safetensors",
		"models--path--wins/refs/main="+commitA, "models--path--wins"+a+"config.json",
		"models--owner--detached"+b+"config.json",
		"models--owner--stale/refs/main="+commitB, "models--owner--stale"+a+"config.json",
		"models--owner--evil/refs/main=../../models--gpt2/snapshots/"+commitA, "models--owner--evil"+a+"config.json",
		"models--owner--one/refs/main="+commitA, "models--owner--one"+a+"m-Q8_0.gguf", "models--owner--one"+a+"config.json",
		"models--owner--many/refs/main="+commitA,
		"models--owner--many"+a+"m-Q4_K.gguf", "models--owner--many"+a+"m-Q4_K_M.gguf", "models--owner--many"+a+"m_q5_0.gguf",
		"models--owner--many"+a+"m-IQ4_XS.gguf", "models--owner--many"+a+"UD/m-UD-Q4_K_M.gguf", "models--owner--many"+a+"deep/er/m-Q2_K.gguf",
		"models--owner--many"+a+"BF16/m-BF16-00001-of-00002.gguf", "models--owner--many"+a+"BF16/m-BF16-00002-of-00002.gguf")
	plant(t, own, "mine/model/config.json", "single.gguf", "owner/plain/config.json", "mine/ggufs/x-Q4_0.gguf", "mine/ggufs/x-Q8_0.gguf")
	snap := func(repo, commit string, rest ...string) string {
		return filepath.Join(append([]string{hub, "models--" + repo, "snapshots", commit}, rest...)...)
	}

	rows := []struct {
		name, want string
		err        []string // parts of the error, want empty
	}{
		// Paths.
		{"checkpoint", "checkpoint", nil},
		{"./checkpoint/", "./checkpoint/", nil},
		{filepath.Join(here, "checkpoint"), filepath.Join(here, "checkpoint"), nil},
		{"../here/checkpoint", "../here/checkpoint", nil},
		{"lone.gguf", "lone.gguf", nil},
		{"UPPER.GGUF", "UPPER.GGUF", nil},
		{"empty.gguf", "empty.gguf", nil},
		{"checkpoint:Q8_0", filepath.Join("checkpoint", "model-Q8_0.gguf"), nil},
		{"one", filepath.Join("one", "model.Q4_1.gguf"), nil},
		{"path/wins", "path/wins", nil},
		{"notes.txt", "", []string{"notes.txt", "neither a directory nor a .gguf file", "give the directory"}},
		{"lone.gguf:Q4_0", "", []string{"lone.gguf", "chooses nothing"}},
		{"both:Q4_0", "", []string{"has no GGUF file"}},
		{"checkpoint:Q9", "", []string{"no GGUF file Q9", "model-Q8_0.gguf"}},
		{"./nowhere", "", []string{"not a file or directory here", "not a name of the Hugging Face cache"}},
		{"a/b/c", "", []string{"not a file or directory here"}},
		// Names of the cache.
		{"owner/plain", snap("owner--plain", commitA), nil},
		{"owner/plain@main", snap("owner--plain", commitA), nil},
		{"owner/plain@v1.0", snap("owner--plain", commitB), nil},
		{"owner/plain@refs/pr/7", snap("owner--plain", commitB), nil},
		{"owner/plain@" + commitB, snap("owner--plain", commitB), nil},
		{"gpt2", snap("gpt2", commitA), nil},
		{"owner/one", snap("owner--one", commitA, "m-Q8_0.gguf"), nil},
		{"owner/detached@" + commitB, snap("owner--detached", commitB), nil},
		{"owner/many:Q4_K", snap("owner--many", commitA, "m-Q4_K.gguf"), nil},
		{"owner/many:q5_0", snap("owner--many", commitA, "m_q5_0.gguf"), nil},
		{"owner/many:IQ4_XS", snap("owner--many", commitA, "m-IQ4_XS.gguf"), nil},
		{"owner/many:UD-Q4_K_M", snap("owner--many", commitA, "UD", "m-UD-Q4_K_M.gguf"), nil},
		{"owner/many:m-Q4_K_M.gguf", snap("owner--many", commitA, "m-Q4_K_M.gguf"), nil},
		{"owner/many:UD/m-UD-Q4_K_M.gguf", snap("owner--many", commitA, "UD", "m-UD-Q4_K_M.gguf"), nil},
		{"owner/many:bf16", snap("owner--many", commitA, "BF16", "m-BF16-00001-of-00002.gguf"), nil},
		{"owner/many@main:Q4_K", snap("owner--many", commitA, "m-Q4_K.gguf"), nil},
		{"owner/many", "", []string{"several GGUF files", "m-Q4_K.gguf", "m-Q4_K_M.gguf", "m_q5_0.gguf", "BF16/m-BF16-00001-of-00002.gguf"}},
		{"owner/many:Q4_K_M", "", []string{"several GGUF files Q4_K_M", "m-Q4_K_M.gguf, UD/m-UD-Q4_K_M.gguf"}},
		{"owner/many:Q4", "", []string{"no GGUF file Q4;"}},
		{"owner/many:4_XS", "", []string{"no GGUF file 4_XS;"}},
		{"owner/many:Q2_K", "", []string{"no GGUF file Q2_K;"}},
		{"owner/plain:Q4_0", "", []string{"has no GGUF file"}},
		{"owner/plain@v2", "", []string{"has no revision v2", "@" + commitA, "hf download owner/plain --revision v2"}},
		{"owner/detached", "", []string{"has no revision main", "@" + commitB}},
		{"owner/stale", "", []string{"has no revision main", "@" + commitA}},
		{"owner/evil", "", []string{"has no revision main"}},
		// godwit's own folder.
		{"mine/model", filepath.Join(own, "mine", "model"), nil},
		{"single.gguf", filepath.Join(own, "single.gguf"), nil},
		{"mine/ggufs:Q8_0", filepath.Join(own, "mine", "ggufs", "x-Q8_0.gguf"), nil},
		{"mine/ggufs", "", []string{"several GGUF files", "x-Q4_0.gguf, x-Q8_0.gguf"}},
		{"mine/model@v1", "", []string{"no revisions"}},
		{"single", "", []string{"hf download single"}},
		// Nowhere.
		{"nobody/nothing", "", []string{"not a file or directory here", filepath.Join(hub, "models--nobody--nothing"), filepath.Join(own, "nobody", "nothing"), "hf download nobody/nothing"}},
		{"nobody/nothing:Q4_K_M", "", []string{"hf download nobody/nothing --include '*Q4_K_M*.gguf'"}},
		{"nobody/nothing:a.gguf", "", []string{"hf download nobody/nothing a.gguf"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.HasPrefix(row.name, "odd:") {
				t.Skip("no such name on this system")
			}
			got, err := godwit.Find(row.name)
			if err == nil {
				if got != row.want || row.want == "" {
					t.Fatalf("got %q, want %q, %q", got, row.want, row.err)
				}
				return
			}
			var typed *godwit.ModelError
			if !errors.As(err, &typed) {
				t.Fatalf("%T is not a *ModelError", err)
			}
			if got != "" || row.want != "" {
				t.Fatalf("got %q and %v, want %q", got, err, row.want)
			}
			for _, part := range row.err {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestFindPathsWithColons(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a colon is no part of a name on this system")
	}
	here, _, _ := findWorld(t)
	plant(t, here, "odd:Q4_0/config.json", "odd/x-Q4_0.gguf", "with:in/x-Q4_0.gguf", "with:in/x-Q8_0.gguf")
	for name, want := range map[string]string{
		"odd:Q4_0":     "odd:Q4_0", // a path beats a choice
		"with:in:Q8_0": "with:in/x-Q8_0.gguf",
	} {
		if got, err := godwit.Find(name); err != nil || got != want {
			t.Errorf("Find(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
}

// TestFindNotFound holds that callers can tell a missing model from a broken one.
func TestFindNotFound(t *testing.T) {
	here, _, _ := findWorld(t)
	plant(t, here, "notes.txt")
	for _, name := range []string{"nobody/nothing", "./nowhere", "a/b/c", "x.gguf"} {
		_, err := godwit.Find(name)
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v does not match fs.ErrNotExist", name, err)
		}
		if name != "nobody/nothing" && err != nil && strings.Contains(err.Error(), "hf download") {
			t.Errorf("%q: %v: the hub has no such names", name, err)
		}
	}
	if _, err := godwit.Find("notes.txt"); errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v matches fs.ErrNotExist", err)
	}
}

// TestFindHostile plants what each name would reach if it were joined unchecked.
func TestFindHostile(t *testing.T) {
	here, hub, own := findWorld(t)
	plant(t, filepath.Dir(hub), "secret/config.json", "secret.gguf")
	plant(t, filepath.Dir(own), "secret/config.json", "secret.gguf")
	plant(t, here, "x")
	plant(t, hub,
		"models--o--n/refs/main="+commitA, "models--o--n/snapshots/"+commitA+"/a-Q4_0.gguf", "models--o--n/snapshots/"+commitA+"/b-Q4_0.gguf",
		"models--o--x/refs/main="+commitA, "models--o--x/snapshots/"+commitA+"/config.json",
		"models--o--n/secret/config.json", "models--o--n/secret.gguf",
		"models--o--dot/refs/main=.", "models--o--dot/snapshots/config.json",
		"models--o--dots/refs/main=..", "models--o--dots/snapshots/config.json",
		"models--o--abs/refs/main="+filepath.ToSlash(own), "models--o--abs/snapshots/config.json",
		"models--o--empty/refs/main=", "models--o--empty/snapshots/config.json",
		"models--o--long/refs/main="+strings.Repeat("a", 1<<20), "models--o--long/snapshots/config.json")
	for _, name := range []string{
		"", "\x00", "o/n\x00", "x\x00.gguf", "o/n@main\x00",
		"o/../secret", "o/..", "..:Q4_0x", "o/n/../../secret", "./o/n", "/o/n", "//", "o//n", "/", "o/", "~/x",
		"o/n@..", "o/n@../secret", "o/n@main/../../secret", "o/n@/etc", "o/n@", "o/n@.", "o/n@refs/../../secret",
		"o/n:../../secret.gguf", "o/n:/etc/passwd.gguf", "o/n:..", "o/n:", "o/n:*", "o/n:.gguf",
		`o\n`, `..\secret`, `o/n@..\secret`, `o/n:..\..\secret.gguf`, "C:secret", "o/C:", "o/NUL:",
		"o/dot", "o/dots", "o/abs", "o/empty", "o/long", "o--x", "models--o--x", "o/n--x", "-o/n", ".o/n", "o/.n", "o/n@-x",
		strings.Repeat("a", 1<<16), strings.Repeat("a/", 1<<12), "o/" + strings.Repeat("@", 100), "ö/n", "o/n ", " o/n", "o/n\n",
	} {
		got, err := godwit.Find(name)
		if name == "/" || name == "//" { // a directory, as any other
			continue
		}
		var typed *godwit.ModelError
		if err == nil || !errors.As(err, &typed) {
			t.Errorf("Find(%.40q) = %q, %v; want a *ModelError", name, got, err)
		} else if strings.ContainsRune(err.Error(), 0) {
			t.Errorf("Find(%.40q): %q has a NUL, which ends the line of a terminal", name, err)
		}
	}
}

func TestFindCachePlaces(t *testing.T) {
	_, hub, _ := findWorld(t)
	root := filepath.Dir(hub)
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	model := func(at string) string {
		plant(t, at, "models--o--n/refs/main="+commitA, "models--o--n/snapshots/"+commitA+"/config.json")
		return filepath.Join(at, "models--o--n", "snapshots", commitA)
	}
	inHub, inHome, inDefault := model(hub), model(filepath.Join(root, "hf", "hub")), model(filepath.Join(home, ".cache", "huggingface", "hub"))
	for _, row := range []struct{ hubCache, home, want string }{
		{hub, filepath.Join(root, "hf"), inHub},
		{"", filepath.Join(root, "hf"), inHome},
		{"", "", inDefault},
	} {
		t.Setenv("HF_HUB_CACHE", row.hubCache)
		t.Setenv("HF_HOME", row.home)
		if got, err := godwit.Find("o/n"); got != row.want {
			t.Errorf("HF_HUB_CACHE=%q HF_HOME=%q: got %q, %v; want %q", row.hubCache, row.home, got, err, row.want)
		}
	}
	// Without a home there is nothing to look in, and that is said.
	for _, name := range []string{"HOME", "USERPROFILE", "XDG_CACHE_HOME", "LocalAppData", "HF_HUB_CACHE", "HF_HOME"} {
		t.Setenv(name, "")
	}
	if _, err := godwit.Find("o/n"); err == nil || !strings.Contains(err.Error(), "no home directory") {
		t.Errorf("no home: got %v", err)
	}
}

func TestFindPermission(t *testing.T) {
	here, _, _ := findWorld(t)
	plant(t, here, "locked/checkpoint/config.json")
	if err := os.Chmod("locked", 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod("locked", 0o755) }()
	if _, err := os.Stat("locked/checkpoint"); !errors.Is(err, fs.ErrPermission) {
		t.Skip("this user may read everything")
	}
	if _, err := godwit.Find("locked/checkpoint"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want permission denied", err)
	}
}

// ExampleFind lays a model out as the Hugging Face cache does, and finds it.
func ExampleFind() {
	cache, err := os.MkdirTemp("", "hub")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(cache)
	repo := filepath.Join(cache, "models--owner--name")
	for file, content := range map[string]string{
		"refs/main":                  "0a1b2c",
		"snapshots/0a1b2c/q4_0.gguf": "",
		"snapshots/0a1b2c/q8_0.gguf": "",
	} {
		file = filepath.Join(repo, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			fmt.Println(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			fmt.Println(err)
		}
	}
	defer os.Setenv("HF_HUB_CACHE", os.Getenv("HF_HUB_CACHE"))
	os.Setenv("HF_HUB_CACHE", cache)

	path, err := godwit.Find("owner/name:Q8_0")
	rel, _ := filepath.Rel(cache, path)
	fmt.Println(filepath.ToSlash(rel), err)
	_, err = godwit.Find("owner/name")
	fmt.Println(strings.Contains(err.Error(), "choose with"))
	// Output:
	// models--owner--name/snapshots/0a1b2c/q8_0.gguf <nil>
	// true
}
