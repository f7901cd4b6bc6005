// Gen writes the assembly of package simd and its Go declarations.
//
//	go -C cpu/simd/gen run .          # writes all
//	go -C cpu/simd/gen run . -check   # fails if what is committed is not what it would write
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

// program is one pair of files, NAME_amd64.s and NAME_stubs_amd64.go.
type program struct {
	name string
	emit func(c *build.Context)
}

// programs are all of them.
var programs = []program{
	{"blocks", blocks},
	{"ceilings", ceilings},
	{"dots", dots},
	{"halves", halves},
	{"processor", processor},
	{"vectors", vectors},
	{"quantize", quantize},
	{"products", products},
	{"scores", scores},
	{"tiles", tiles},
}

const constraint = "amd64,!noasm,!portable"

func main() {
	dir := flag.String("dir", "..", "the folder of package simd")
	check := flag.Bool("check", false, "write nothing; fail if a file is not fresh")
	flag.Parse()
	if err := run(*dir, *check); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(dir string, check bool) error {
	var stale []error
	for _, p := range programs {
		asm, stubs, err := p.files()
		if err != nil {
			return err
		}
		for name, text := range map[string][]byte{p.name + "_amd64.s": asm, p.name + "_stubs_amd64.go": stubs} {
			path := filepath.Join(dir, name)
			if !check {
				if err := os.WriteFile(path, text, 0o644); err != nil {
					return err
				}
				continue
			}
			if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, text) {
				stale = append(stale, fmt.Errorf("%s is not what its generator writes: run go -C cpu/simd/gen run . (%v)", name, err))
			}
		}
	}
	return errors.Join(stale...)
}

// files are the texts of a program.
func (p program) files() (asm, stubs []byte, err error) {
	c := build.NewContext()
	c.ConstraintExpr(constraint)
	p.emit(c)
	file, err := c.Result()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.name, err)
	}
	cfg := printer.Config{Name: "cpu/simd/gen", Pkg: "simd"}
	if err := pass.Compile.Execute(file); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.name, err)
	}
	if asm, err = printer.NewGoAsm(cfg).Print(file); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.name, err)
	}
	if stubs, err = printer.NewStubs(cfg).Print(file); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return asm, stubs, nil
}
