package cpu

import (
	"testing"

	"github.com/godwit-ml/godwit/runtime/devicetest"
)

func TestConformance(t *testing.T) { devicetest.Run(t, open(t, 2)) }
