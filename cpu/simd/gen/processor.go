package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// processor is what Go has no word for: the hint of a loop that waits, and what
// the processor says of itself.
func processor(c *build.Context) {
	c.Function("pause")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(n uint32)")
	c.Doc("pause tells the processor n ≥ 1 times that this is a loop that waits.")
	n := c.GP32()
	c.Load(c.Param("n"), n)
	c.Label("loop")
	c.PAUSE()
	c.DECL(n)
	c.JNZ(operand.LabelRef("loop"))
	c.RET()

	c.Function("cpuid")
	c.Attributes(attr.NOSPLIT)
	c.SignatureExpr("func(leaf, sub uint32) (a, b, c, d uint32)")
	c.Doc("cpuid is the instruction of this name.")
	c.Load(c.Param("leaf"), reg.EAX)
	c.Load(c.Param("sub"), reg.ECX)
	c.CPUID()
	c.Store(reg.EAX, c.Return("a"))
	c.Store(reg.EBX, c.Return("b"))
	c.Store(reg.ECX, c.Return("c"))
	c.Store(reg.EDX, c.Return("d"))
	c.RET()
}
