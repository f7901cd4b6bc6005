// Command gguf re-saves checkpoints of Hugging Face as GGUF files, under the keys
// and names that the gguf package documents and with the values as llama.cpp's
// converter stores them: what tests of reading such files are made of. It writes
// no tokenizer.
//
//	go run ./ci/gguf -root ../shared/fixtures -list
//	go run ./ci/gguf -out DIR [-type mixed] ../shared/fixtures/llama …
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gguf:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	f := flag.NewFlagSet("gguf", flag.ContinueOnError)
	dir := f.String("out", "", "folder to write to")
	root := f.String("root", filepath.Join("..", "shared", "fixtures"), "folder of the checkpoints that -list looks at")
	list := f.Bool("list", false, "say of every checkpoint what it becomes, or why it cannot be one")
	kind := f.String("type", "F32", "type of the matrices; mixed: types differ inside each layer, as in files by size")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *list {
		return listAll(out, *root)
	}
	if *dir == "" || f.NArg() == 0 {
		return errors.New("-out and a checkpoint are needed, or -list")
	}
	choose, err := chooser(*kind)
	if err != nil {
		return err
	}
	for _, folder := range f.Args() {
		m, err := convert(folder)
		if err != nil {
			return err
		}
		if err := m.write(filepath.Join(*dir, filepath.Base(folder)+".gguf"), choose); err != nil {
			return err
		}
	}
	return nil
}

// listAll prints a table of all checkpoints below a folder.
func listAll(out io.Writer, root string) error {
	folders, err := filepath.Glob(filepath.Join(root, "*", "config.json"))
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "| checkpoint | architecture of GGUF, or why it has none |")
	fmt.Fprintln(out, "|---|---|")
	for _, file := range folders {
		folder := filepath.Dir(file)
		m, err := convert(folder)
		var no *inexpressible
		switch {
		case errors.As(err, &no):
			fmt.Fprintf(out, "| %s | none: %s |\n", filepath.Base(folder), no.reason)
		case err != nil:
			return err
		default:
			text := m.arch
			if len(m.left) > 0 {
				text += ", without " + strings.Join(m.left, ", ")
			}
			fmt.Fprintf(out, "| %s | %s |\n", filepath.Base(folder), text)
		}
	}
	return nil
}
