package cuda_test

import (
	"fmt"
	"log"

	"github.com/godwit-ml/godwit/cuda"
	"github.com/godwit-ml/godwit/runtime"
)

// A device without a GPU: the kernels that ship, executed by the interpreter.
func Example() {
	dev, err := cuda.NewPTX(cuda.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer dev.Close()

	s := runtime.NewStream(dev, nil)
	defer s.Close()
	x := s.Scratch(1, 4)
	s.UploadF32(x, []float32{-1, 0, 1, 2})
	s.Pointwise(runtime.Pointwise{Out: x, X: x, F: runtime.Relu, Scale: 10})
	y := make([]float32, 4)
	s.DownloadF32(y, x)
	if err := s.Sync(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(y)
	// Output: [0 0 10 20]
}

// Where there is no GPU, or no driver, opening one is an error that says so.
func ExampleNewCUDA() {
	dev, err := cuda.NewCUDA(0, cuda.Config{})
	if err != nil {
		fmt.Println("the CPU it is")
		return
	}
	defer dev.Close()
	fmt.Println(dev.Info().Detail)
}
