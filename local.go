package godwit

// Local: the models of this machine that have names.

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Local lists the names that Find knows on this machine, sorted: repositories in
// the Hugging Face cache that hold a model, and what lies in godwit/models of
// the user's cache directory. Where a repository has several GGUF files each is
// listed with its name, as Find wants them told apart. A cache that is not there
// has no names; the error is of one that cannot be read.
func Local() ([]string, error) {
	var names []string
	if cache, err := hubCache(); err == nil {
		repos, err := repositories(cache)
		if err != nil {
			return nil, err
		}
		names = append(names, repos...)
	}
	if cache, err := os.UserCacheDir(); err == nil {
		models, err := userModels(filepath.Join(cache, "godwit", "models"))
		if err != nil {
			return nil, err
		}
		names = append(names, models...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// entries lists a directory; nothing if there is none.
func entries(dir string) ([]os.DirEntry, error) {
	list, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, &ModelError{File: dir, Reason: bareReason(err), Err: err}
	}
	return list, nil
}

// repositories are the names of a hub cache that Find resolves.
func repositories(cache string) ([]string, error) {
	list, err := entries(cache)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		repo, ok := strings.CutPrefix(e.Name(), "models--")
		if repo = strings.ReplaceAll(repo, "--", "/"); !ok || !isRepo(repo) {
			continue
		}
		if folder, _ := inHubCache(repo, ""); folder != "" {
			names = append(names, named(repo, folder)...)
		}
	}
	return names, nil
}

// userModels are the names below godwit/models: model or owner/model.
func userModels(dir string) ([]string, error) {
	list, err := entries(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if isGGUF(e.Name()) {
			names = append(names, e.Name())
			continue
		}
		if own := named(e.Name(), path); own != nil {
			names = append(names, own...)
			continue
		}
		models, err := os.ReadDir(path)
		if err != nil {
			continue // a file of somebody else's
		}
		for _, m := range models {
			names = append(names, named(e.Name()+"/"+m.Name(), filepath.Join(path, m.Name()))...)
		}
	}
	return names, nil
}

// named are the names of the models in a folder: its own if it is a Hugging Face
// directory or has one GGUF file, and one for each of several.
func named(name, folder string) []string {
	if !isRepo(name) {
		return nil
	}
	list, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	var gguf []string
	config := false
	for _, e := range list {
		switch {
		case strings.HasSuffix(e.Name(), ".safetensors"):
			return []string{name}
		case e.Name() == "config.json":
			config = true
		case isGGUF(e.Name()):
			gguf = append(gguf, name+":"+e.Name())
		}
	}
	if len(gguf) == 1 || len(gguf) == 0 && config {
		return []string{name}
	}
	return gguf
}
