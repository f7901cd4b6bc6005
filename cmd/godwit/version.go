package main

// version: what this is, from what the linker knows.

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/godwit-ml/godwit"
)

type versionCmd struct {
	jsonFlag
}

// build is what version prints.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"` // "": not built from a repository
	Go      string `json:"go"`
	Device  string `json:"device"` // what auto takes
}

// Run prints one line.
func (c *versionCmd) Run(_ context.Context, s *streams) error {
	info, _ := debug.ReadBuildInfo()
	b := buildOf(info)
	for _, d := range godwit.Devices() {
		if d.Auto {
			b.Device = d.Name
		}
	}
	if c.JSON {
		return s.out.object(b)
	}
	commit := b.Commit
	if commit == "" {
		commit = "unknown"
	}
	fmt.Fprintf(s.out, "godwit %s (commit %s), %s %s/%s, device %s\n", b.Version, commit, b.Go, runtime.GOOS, runtime.GOARCH, b.Device)
	return nil
}

// buildOf reads version and commit; info may be nil.
func buildOf(info *debug.BuildInfo) build {
	b := build{Version: "(devel)", Go: runtime.Version()}
	if info == nil {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			b.Commit = setting.Value
		}
	}
	return b
}
