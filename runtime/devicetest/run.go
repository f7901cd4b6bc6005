package devicetest

// Run: the whole table on a device, as a test.

import (
	"errors"
	"fmt"
	"sort"
	"testing"

	"github.com/godwit-ml/godwit/runtime"
)

// On is the target of operations run directly on a device.
func On(dev runtime.Device) Target { return Target{Device: dev, Caches: dev, Run: dev.Run} }

// Through is the target of operations run by a stream, with its fallback.
func Through(s *runtime.Stream) Target {
	return Target{Device: s.Device(), Caches: s.CacheDevice(), Run: func(op runtime.Op) error {
		send(s, op)
		return s.Err()
	}}
}

func send(s *runtime.Stream, op runtime.Op) {
	switch o := op.(type) {
	case *runtime.Gather:
		s.Gather(*o)
	case *runtime.MatMul:
		s.MatMul(*o)
	case *runtime.Norm:
		s.Norm(*o)
	case *runtime.Pointwise:
		s.Pointwise(*o)
	case *runtime.RoPE:
		s.RoPE(*o)
	case *runtime.StoreKV:
		s.StoreKV(*o)
	case *runtime.CopyBlocks:
		s.CopyBlocks(*o)
	case *runtime.Attention:
		s.Attention(*o)
	case *runtime.TopK:
		s.TopK(*o)
	case *runtime.Combine:
		s.Combine(*o)
	default:
		panic("devicetest: an operation that streams do not have")
	}
}

// Run runs the table on a device.
func Run(t *testing.T, dev runtime.Device) {
	t.Helper()
	RunTarget(t, On(dev))
}

// RunTarget runs the table on a target, one subtest a row, and prints how many
// rows were skipped, by operation and reason.
func RunTarget(t *testing.T, target Target) {
	t.Helper()
	skips, ran := map[string]int{}, 0
	for _, row := range Rows() {
		t.Run(row.String(), func(t *testing.T) {
			switch err := Try(row, target); {
			case errors.Is(err, runtime.ErrUnsupported) && !needed(row, target):
				skips[row.Op+": "+err.Error()]++
				t.Skip(err)
			case err != nil:
				t.Error(err)
			}
			ran++
		})
	}
	reasons := make([]string, 0, len(skips))
	for reason := range skips {
		reasons = append(reasons, reason)
	}
	sort.Strings(reasons)
	t.Logf("%s: %d rows ran, %d kinds of skips", target.Device.Info().Name, ran, len(skips))
	for _, reason := range reasons {
		t.Logf("skipped %d × %s", skips[reason], reason)
	}
}

// needed reports whether a device that keeps caches must run the row.
func needed(row Row, target Target) bool {
	cache := row.Op == "Attention" || row.Op == "StoreKV" || row.Op == "CopyBlocks"
	return cache && target.Device.Info().Paged
}

// Try runs one row: once against the oracle, and again for the same bits. It
// returns an error that wraps runtime.ErrUnsupported where the target cannot.
func Try(row Row, target Target) error {
	c, err := row.Bind(target)
	defer c.Free()
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	if err := c.Run(); err != nil {
		return err
	}
	if err := c.Verify(); err != nil {
		return err
	}
	return c.Repeat()
}
