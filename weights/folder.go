package weights

// Directories on disk, with their rule for links, and in an fs.FS.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// diskFolder is a directory of the system.
type diskFolder struct {
	path string
	root *os.Root
}

func (d *diskFolder) join(name string) string { return filepath.Join(d.path, name) }

// open opens a file of the directory. os.Root follows links that stay inside;
// of those that lead out, only links to blobs of a Hugging Face cache are
// followed.
func (d *diskFolder) open(name string) (fs.File, error) {
	info, err := d.root.Stat(name)
	if err == nil {
		if !info.Mode().IsRegular() { // opening a pipe would wait for a writer
			return nil, &Error{File: d.join(name), Reason: fmt.Sprintf("not a regular file (%v)", info.Mode())}
		}
		return d.root.Open(name)
	}
	if link, lerr := d.root.Lstat(name); lerr != nil || link.Mode()&fs.ModeSymlink == 0 {
		return nil, err
	}
	target, terr := filepath.EvalSymlinks(d.join(name))
	if errors.Is(terr, fs.ErrNotExist) {
		return nil, &Error{File: d.join(name), Reason: "a link to a file that does not exist: download it again"}
	}
	if terr != nil {
		return nil, terr
	}
	if !isHubBlob(target) {
		return nil, &Error{File: d.join(name), Reason: "a link to " + show(target) + ", outside the directory: copy the file, or name it itself"}
	}
	if info, err := os.Stat(target); err != nil || !info.Mode().IsRegular() {
		return nil, &Error{File: d.join(name), Reason: "a link to " + show(target) + ", which is not a regular file"}
	}
	return os.Open(target)
}

// isHubBlob reports whether a path without links lies where a Hugging Face
// cache keeps contents: …/models--OWNER--NAME/blobs/HASH.
func isHubBlob(target string) bool {
	blobs := filepath.Dir(target)
	return filepath.Base(blobs) == "blobs" && strings.HasPrefix(filepath.Base(filepath.Dir(blobs)), "models--")
}

func (d *diskFolder) list() ([]string, error) { return names(d.root.FS(), ".") }

// virtualFolder is a directory of an fs.FS.
type virtualFolder struct {
	path string
	fsys fs.FS
}

func (d *virtualFolder) join(name string) string { return path.Join(d.path, name) }

func (d *virtualFolder) open(name string) (fs.File, error) { return d.fsys.Open(d.join(name)) }

func (d *virtualFolder) list() ([]string, error) { return names(d.fsys, d.path) }

// names lists a directory.
func names(fsys fs.FS, dir string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, dir)
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Name()
	}
	return list, err
}
