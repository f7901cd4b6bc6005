package main

// devices: what this build can run on.

import (
	"context"
	"fmt"

	"github.com/godwit-ml/godwit"
)

type devicesCmd struct {
	jsonFlag
}

// Run lists them.
func (c *devicesCmd) Run(_ context.Context, s *streams) error {
	for _, d := range godwit.Devices() {
		if c.JSON {
			// These are always there, so that a script need not ask.
			err := s.out.object(struct {
				godwit.DeviceInfo
				Reason string `json:"reason"`
				Auto   bool   `json:"auto"`
				Free   int64  `json:"free"`
			}{d, d.Reason, d.Auto, d.Free})
			if err != nil {
				return err
			}
			continue
		}
		name := d.Name
		if d.Auto {
			name += " (auto)"
		}
		state := d.Detail
		if d.Reason != "" {
			state = "not usable: " + d.Reason
		}
		fmt.Fprintf(s.out, "%-18s %s\n", name, state)
		if d.Free > 0 {
			fmt.Fprintf(s.out, "%-18s %s of %s free\n", "", size(d.Free), size(d.Total))
		}
	}
	return nil
}
