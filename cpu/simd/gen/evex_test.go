package main

import (
	"fmt"
	"testing"
)

// TestEVEX holds the encoder against what GNU as 2.40 writes and objdump shows.
func TestEVEX(t *testing.T) {
	for _, row := range []struct {
		op        evexOp
		dst, a, b uint
		want      string
	}{
		{opVDPBF16PS, 0, 0, 0, "62 f2 7e 48 52 c0"},
		{opVDPBF16PS, 31, 31, 31, "62 02 06 40 52 ff"},
		{opVDPBF16PS, 8, 16, 24, "62 12 7e 40 52 c0"},
		{opVDPBF16PS, 2, 5, 27, "62 92 56 48 52 d3"},
		{opVDPBF16PS, 26, 4, 15, "62 42 5e 48 52 d7"},
		{opVDPBF16PS, 5, 27, 3, "62 f2 26 40 52 eb"},
		{opVDPBF16PS, 7, 14, 3, "62 f2 0e 48 52 fb"},
		{opVDPBF16PS, 25, 3, 14, "62 42 66 48 52 ce"},
		{opVDPBF16PS, 2, 8, 18, "62 b2 3e 48 52 d2"},
		{opVDPBF16PS, 26, 9, 7, "62 62 36 48 52 d7"},
		{opVDPBF16PS, 19, 11, 6, "62 e2 26 48 52 de"},
		{opVDPBF16PS, 12, 23, 6, "62 72 46 40 52 e6"},
		{opVCVTNEPS2BF16, 0, 0, 0, "62 f2 7e 48 72 c0"},
		{opVCVTNEPS2BF16, 31, 0, 31, "62 02 7e 48 72 ff"},
		{opVCVTNEPS2BF16, 8, 0, 24, "62 12 7e 48 72 c0"},
		{opVCVTNEPS2BF16, 19, 0, 11, "62 c2 7e 48 72 db"},
		{opVCVTNEPS2BF16, 15, 0, 19, "62 32 7e 48 72 fb"},
		{opVCVTNEPS2BF16, 31, 0, 28, "62 02 7e 48 72 fc"},
		{opVCVTNEPS2BF16, 18, 0, 7, "62 e2 7e 48 72 d7"},
		{opVCVTNEPS2BF16, 26, 0, 21, "62 22 7e 48 72 d5"},
		{opVCVTNEPS2BF16, 9, 0, 26, "62 12 7e 48 72 ca"},
		{opVCVTNEPS2BF16, 2, 0, 20, "62 b2 7e 48 72 d4"},
		{opVCVTNEPS2BF16, 21, 0, 31, "62 82 7e 48 72 ef"},
		{opVCVTNEPS2BF16, 29, 0, 5, "62 62 7e 48 72 ed"},
		{opVCVTNE2PS2BF16, 0, 0, 0, "62 f2 7f 48 72 c0"},
		{opVCVTNE2PS2BF16, 31, 31, 31, "62 02 07 40 72 ff"},
		{opVCVTNE2PS2BF16, 8, 16, 24, "62 12 7f 40 72 c0"},
		{opVCVTNE2PS2BF16, 1, 29, 22, "62 b2 17 40 72 ce"},
		{opVCVTNE2PS2BF16, 10, 7, 31, "62 12 47 48 72 d7"},
		{opVCVTNE2PS2BF16, 3, 13, 18, "62 b2 17 48 72 da"},
		{opVCVTNE2PS2BF16, 8, 15, 25, "62 12 07 48 72 c1"},
		{opVCVTNE2PS2BF16, 25, 31, 5, "62 62 07 40 72 cd"},
		{opVCVTNE2PS2BF16, 10, 28, 25, "62 12 1f 40 72 d1"},
		{opVCVTNE2PS2BF16, 17, 8, 27, "62 82 3f 48 72 cb"},
		{opVCVTNE2PS2BF16, 17, 26, 22, "62 a2 2f 40 72 ce"},
		{opVCVTNE2PS2BF16, 24, 14, 9, "62 42 0f 48 72 c1"},
	} {
		if got := fmt.Sprintf("% x", row.op.encode(row.dst, row.a, row.b)); got != row.want {
			t.Errorf("%s %d, %d, %d: %s, want %s", row.op.name, row.dst, row.a, row.b, got, row.want)
		}
	}
}
