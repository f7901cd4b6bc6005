// Command kernels says what the CUDA kernels cost, from their declarations, from what an assembler says of them, and
// from counts of the PTX interpreter.
//
//	go run ./ci/kernels                 write docs/kernels.md
//	go run ./ci/kernels -check          say whether docs/kernels.md is what would be written
//	go run ./ci/kernels -json           the declarations, for other tools
//	go run ./ci/kernels -assembled DIR  judge what ptxas -v printed into DIR against the declarations and against
//	                                    kernels/resources.json; with -write, write that file. For ci/build-kernels.sh
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/godwit-ml/godwit/kernels"
	"github.com/godwit-ml/godwit/kernels/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("kernels", flag.ContinueOnError)
	check := flags.Bool("check", false, "compare docs/kernels.md with what would be written")
	asJSON := flags.Bool("json", false, "print the declarations as JSON")
	assembled := flags.String("assembled", "", "folder of what ptxas -v printed, IMAGE.ARCHITECTURE.log")
	write := flags.Bool("write", false, "with -assembled: write kernels/resources.json")
	whole := flags.Bool("whole", false, "with -assembled: every image was assembled, so none may be missing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	switch {
	case *asJSON:
		return printDeclarations(out)
	case *assembled != "":
		return judge(out, *assembled, filepath.Join(root, "kernels", "resources.json"), *write, *whole)
	}
	return document(ctx, out, root, *check)
}

// every is all kernels, those of the ladders after those that ship.
func every() []*kernels.Kernel {
	all := append([]*kernels.Kernel{}, kernels.All...)
	for _, ladder := range lab.Ladders {
		all = append(all, ladder.Steps...)
	}
	return all
}

// declaration is a kernel as -json prints it.
type declaration struct {
	Op       string `json:"op"`
	Entry    string `json:"entry"`
	Image    string `json:"image"`
	Target   int    `json:"target"`
	Threads  int    `json:"threads"`
	CTAs     int    `json:"ctas"`
	Shared   int    `json:"shared"`
	Unproven string `json:"unproven,omitempty"`
}

func printDeclarations(out io.Writer) error {
	var all []declaration
	for _, k := range every() {
		all = append(all, declaration{k.Op, k.Entry, k.Image.Name, k.Image.Target, k.Threads, k.CTAs, k.Shared, k.Unproven})
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "\t")
	return enc.Encode(all)
}

// moduleRoot walks up from the working directory to the folder with go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}
