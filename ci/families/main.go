// Command families writes docs/families.md and its pictures: the history of language models as three branches, what runs here
// and how it is proven, and how attention differs.
//
//	go run ./ci/families                                        the page and the tree
//	go run ./ci/families -pictures ../shared/fixtures           also the maps of attention, made by godwit attend
//
// The page is made from godwit.History alone, so a test can say when it is stale.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/godwit-ml/godwit"
)

func main() {
	fixtures := flag.String("pictures", "", "folder of the fixtures whose checkpoints are drawn; unset: pictures stay as they are")
	out := flag.String("out", "docs", "folder of the page")
	flag.Parse()
	if err := write(*out, *fixtures); err != nil {
		fmt.Fprintln(os.Stderr, "families:", err)
		os.Exit(1)
	}
}

func write(out, fixtures string) error {
	images := filepath.Join(out, "img", "families")
	if err := os.MkdirAll(images, 0o755); err != nil {
		return err
	}
	history := godwit.History()
	if err := os.WriteFile(filepath.Join(out, "families.md"), []byte(page(history)), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(images, "tree.svg"), []byte(tree(history)), 0o644); err != nil {
		return err
	}
	if fixtures == "" {
		return nil
	}
	return draw(fixtures, images)
}
