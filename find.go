// What a model is called: Find makes a path of a directory, a file, or a name in the
// Hugging Face cache. It looks on the disk only.

package godwit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Find gives the path of a model for Open. name is, the first that exists:
//
//   - a directory, or a file that ends in .gguf;
//   - owner/name, or a bare old name as gpt2, in the Hugging Face cache, which
//     is $HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub. The
//     revision is main, or what follows an @: a branch, a tag, a whole commit;
//   - owner/name or name.gguf below godwit/models in [os.UserCacheDir].
//
// Where a folder has several GGUF files, name ends in :Q4_K_M, the type of the
// weights as it stands in the file's name, or in :file.gguf. A folder with
// GGUF files and no safetensors means the one file it has.
//
// Errors are *ModelError. That of a name not found lists where it was looked
// for, says how to download it, and matches [fs.ErrNotExist]. Find never
// downloads.
func Find(name string) (path string, err error) {
	if name == "" {
		return "", &ModelError{Field: "model", Reason: "no name: give a directory, a .gguf file, or owner/name of the Hugging Face cache"}
	}
	if strings.ContainsRune(name, 0) {
		return "", &ModelError{File: fmt.Sprintf("%q", name), Reason: "a name cannot contain NUL"}
	}
	base, choice := splitChoice(name)
	// A colon may be part of a path, so the whole name comes first.
	for _, at := range []struct{ path, choice string }{{name, ""}, {base, choice}} {
		path, err := findPath(at.path, at.choice)
		if path != "" || err != nil {
			return path, err
		}
		if choice == "" {
			break
		}
	}
	looked := []string{"not a file or directory here"}
	repo, revision, _ := strings.Cut(base, "@")
	if !isRepo(repo) || strings.Contains(base, "@") && !isRevision(revision) {
		reason := strings.Join(looked, "; ") + ", and not a name of the Hugging Face cache (owner/name, owner/name@revision, owner/name:file.gguf)"
		return "", &ModelError{File: name, Reason: reason, Err: fs.ErrNotExist}
	}
	for _, look := range []func(repo, revision string) (folder, why string){inHubCache, inUserCache} {
		folder, why := look(repo, revision)
		if why != "" {
			looked = append(looked, why)
			continue
		}
		path, err := findPath(folder, choice)
		if path != "" || err != nil {
			return path, err
		}
		looked = append(looked, "not in "+folder)
	}
	if !isGGUF(repo) {
		looked = append(looked, "to download it: "+download(repo, revision, choice))
	}
	return "", &ModelError{File: name, Reason: strings.Join(looked, "; "), Err: fs.ErrNotExist}
}

// splitChoice parts name:choice. Only a file of the checkpoint may have slashes
// after the colon, and a drive's letter is no name.
func splitChoice(name string) (base, choice string) {
	i := strings.LastIndexByte(name, ':')
	drive := i == 1 && filepath.VolumeName(name) != ""
	if i < 0 || i == len(name)-1 || drive {
		return name, ""
	}
	base, choice = name[:i], name[i+1:]
	if strings.ContainsAny(choice, `/\`) && !isGGUF(choice) {
		return name, ""
	}
	return base, choice
}

// findPath is what a path means: itself, or the GGUF file of a folder. It gives
// "" and no error where nothing is there.
func findPath(path, choice string) (string, error) {
	stat, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "", &ModelError{File: path, Reason: "permission denied", Err: err}
	case err != nil: // also names that no path can have
		return "", nil
	case stat.IsDir():
		return findWeights(path, choice)
	case !stat.Mode().IsRegular() || !isGGUF(path):
		return "", &ModelError{File: path, Reason: "is neither a directory nor a .gguf file; of a Hugging Face checkpoint, give the directory"}
	case choice != "":
		return "", &ModelError{File: path, Reason: fmt.Sprintf("is one file, so that :%s chooses nothing", choice)}
	}
	return path, nil
}

// findWeights is the folder, or the GGUF file to take from it.
func findWeights(folder, choice string) (string, error) {
	files, safetensors, err := listWeights(folder)
	if err != nil {
		return "", &ModelError{File: folder, Reason: "cannot be listed", Err: err}
	}
	if choice == "" && (safetensors || len(files) == 0) {
		return folder, nil
	}
	chosen := slices.DeleteFunc(slices.Clone(files), func(f string) bool { return !chooses(choice, f) })
	switch {
	case len(chosen) == 1:
		return filepath.Join(folder, filepath.FromSlash(chosen[0])), nil
	case len(files) == 0:
		return "", &ModelError{File: folder, Reason: fmt.Sprintf("has no GGUF file, so that :%s chooses nothing", choice)}
	case len(chosen) == 0:
		return "", &ModelError{File: folder, Reason: fmt.Sprintf("has no GGUF file %s; there is: %s", choice, strings.Join(files, ", "))}
	case choice == "":
		return "", &ModelError{File: folder, Reason: "has several GGUF files; choose with :TYPE (as :Q4_K_M) or :FILE of " + strings.Join(chosen, ", ")}
	}
	return "", &ModelError{File: folder, Reason: fmt.Sprintf("has several GGUF files %s; choose with :FILE of %s", choice, strings.Join(chosen, ", "))}
}

// mostWeights bounds the list of a folder that is no checkpoint at all.
const mostWeights = 256

// listWeights gives the GGUF files of a folder and of the folders in it, as
// publishers put one type of weights into each: paths with slashes, sorted, of
// a split file the first part only. Projectors of images are no models.
func listWeights(folder string) (gguf []string, safetensors bool, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, false, err
	}
	add := func(below string, entries []fs.DirEntry) {
		for _, e := range entries {
			name := e.Name()
			switch part, split := part(name); {
			case e.IsDir():
			case below == "" && strings.HasSuffix(name, ".safetensors"):
				safetensors = true
			case isGGUF(name) && !strings.HasPrefix(name, "mmproj") && (!split || part == 1) && len(gguf) < mostWeights:
				gguf = append(gguf, path.Join(below, name))
			}
		}
	}
	add("", entries)
	for _, e := range entries {
		if e.IsDir() && len(gguf) < mostWeights {
			inner, err := os.ReadDir(filepath.Join(folder, e.Name()))
			if err == nil { // a folder that cannot be read holds nothing to choose
				add(e.Name(), inner)
			}
		}
	}
	return gguf, safetensors, nil
}

// part says which part of a split GGUF file this is: x-00001-of-00003.gguf is 1.
func part(name string) (number int, split bool) {
	stem := name[:len(name)-min(len(".gguf"), len(name))]
	var of int
	i := len(stem) - len("-00001-of-00003")
	if i < 0 {
		return 0, false
	}
	n, err := fmt.Sscanf(stem[i:], "-%05d-of-%05d", &number, &of)
	return number, err == nil && n == 2
}

// chooses tells whether choice means the file: its path, its base name, or the
// type of its weights, which stands in the name between -, . and its ends.
func chooses(choice, file string) bool {
	base := path.Base(file)
	if choice == "" || choice == file || choice == base {
		return true
	}
	lower, want := strings.ToLower(file[:len(file)-len(".gguf")]), strings.ToLower(choice)
	for from := 0; ; {
		i := strings.Index(lower[from:], want)
		if i < 0 {
			return false
		}
		start := from + i
		end := start + len(want)
		// An underscore may come before (model_Q4_0), but not after: Q4_K is not Q4_K_M.
		if (start == 0 || strings.IndexByte("-._/", lower[start-1]) >= 0) && (end == len(lower) || strings.IndexByte("-./", lower[end]) >= 0) {
			return true
		}
		from = start + 1
	}
}

func isGGUF(name string) bool {
	return len(name) > len(".gguf") && strings.EqualFold(name[len(name)-len(".gguf"):], ".gguf")
}

// isRepo tells whether name can be a repository of the hub: one or two parts of
// letters, digits and -._ with no part that could lead elsewhere.
func isRepo(name string) bool {
	parts := strings.Split(name, "/")
	if len(parts) > 2 {
		return false
	}
	for _, p := range parts {
		if !isPart(p) || strings.Contains(p, "--") { // the cache has -- for /
			return false
		}
	}
	return true
}

// isRevision is the same for a branch, tag or commit, which may have slashes.
func isRevision(name string) bool {
	for p := range strings.SplitSeq(name, "/") {
		if !isPart(p) {
			return false
		}
	}
	return true
}

// isPart tells whether p is a plain name on every system: not empty, no
// separator, no drive, no dot or dash at its start.
func isPart(p string) bool {
	if p == "" || p[0] == '.' || p[0] == '-' {
		return false
	}
	for _, c := range []byte(p) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return filepath.IsLocal(p) // Windows has names that are devices
}

// hubCache is where the Hugging Face libraries keep what they download.
func hubCache() (string, error) {
	if cache := os.Getenv("HF_HUB_CACHE"); cache != "" {
		return cache, nil
	}
	if home := os.Getenv("HF_HOME"); home != "" {
		return filepath.Join(home, "hub"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".cache", "huggingface", "hub"), err
}

// inHubCache gives the snapshot of a revision, or why there is none.
func inHubCache(repo, revision string) (folder, why string) {
	cache, err := hubCache()
	if err != nil {
		return "", "not in the Hugging Face cache, as there is no home directory to look in"
	}
	base := filepath.Join(cache, "models--"+strings.ReplaceAll(repo, "/", "--"))
	if stat, err := os.Stat(base); err != nil || !stat.IsDir() {
		return "", "not in " + base
	}
	if revision == "" {
		revision = "main"
	}
	commit, err := readRef(filepath.Join(base, "refs", filepath.FromSlash(revision)))
	if errors.Is(err, fs.ErrNotExist) && !strings.Contains(revision, "/") {
		commit, err = revision, nil // a commit needs no reference
	}
	if err == nil && isPart(commit) {
		folder = filepath.Join(base, "snapshots", commit)
		if stat, err := os.Stat(folder); err == nil && stat.IsDir() {
			return folder, ""
		}
	}
	return "", fmt.Sprintf("%s has no revision %s%s", base, revision, snapshots(base))
}

// readRef reads a reference, which is the name of a snapshot.
func readRef(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 256))
	return strings.TrimSpace(string(text)), err
}

// snapshots names the revisions that can be asked for instead.
func snapshots(base string) string {
	entries, err := os.ReadDir(filepath.Join(base, "snapshots"))
	if err != nil || len(entries) == 0 {
		return " and no snapshots"
	}
	var names []string
	for _, e := range entries[:min(len(entries), 8)] {
		names = append(names, "@"+e.Name())
	}
	return ", but " + strings.Join(names, ", ")
}

// inUserCache gives where a model of that name lies in godwit's own folder.
func inUserCache(repo, revision string) (at, why string) {
	if revision != "" {
		return "", "godwit/models of the user's cache directory has no revisions"
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "there is no user's cache directory"
	}
	return filepath.Join(cache, "godwit", "models", filepath.FromSlash(repo)), ""
}

// download is the command that would have made the name work.
func download(repo, revision, choice string) string {
	command := "hf download " + repo
	switch {
	case isGGUF(choice) && isRevision(choice): // plain names, which need no quotes
		command += " " + choice
	case isPart(choice):
		command += " --include '*" + choice + "*.gguf'"
	}
	if revision != "" {
		command += " --revision " + revision
	}
	return command
}
