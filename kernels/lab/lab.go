// Package lab holds the steps on the way to two of godwit's kernels, the matrix
// product and softmax attention: from the naive one to the one that ships. They
// are read, explained and tested like the others, and never chosen by a device.
package lab

import "github.com/godwit-ml/godwit/kernels"

// Ladder is one operation's steps, slowest first; the kernel that ships is the
// step after the last.
type Ladder struct {
	Op    string
	Steps []*kernels.Kernel
}

// Ladders are all of them.
var Ladders = []Ladder{matmulLadder, attentionLadder}
