package cuda

// What a driver tells of its GPUs before one is opened.

import "fmt"

// GPU is a GPU as its driver describes it.
type GPU struct {
	Ordinal         int
	Name            string // "NVIDIA H100 80GB HBM3"
	Major, Minor    int    // compute capability
	Multiprocessors int
	Memory          int64 // bytes in all
}

// String is the description without the number.
func (g GPU) String() string {
	return fmt.Sprintf("%s, compute capability %d.%d, %d multiprocessors, %.1f GiB", g.Name, g.Major, g.Minor, g.Multiprocessors, float64(g.Memory)/(1<<30))
}

// list asks a driver for all of its GPUs.
func list(drv Driver) ([]GPU, error) {
	if err := drv.Init(); err != nil {
		return nil, err
	}
	n, err := drv.DeviceCount()
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, driverError("cuDeviceGetCount", NoDevice)
	}
	var gpus []GPU
	for i := range n {
		g, err := describe(drv, i)
		if err != nil {
			return nil, err
		}
		gpus = append(gpus, g)
	}
	return gpus, nil
}

func describe(drv Driver, ordinal int) (g GPU, err error) {
	g.Ordinal = ordinal
	if g.Name, err = drv.DeviceName(ordinal); err != nil {
		return g, err
	}
	if g.Major, err = drv.DeviceAttribute(CapabilityMajor, ordinal); err != nil {
		return g, err
	}
	if g.Minor, err = drv.DeviceAttribute(CapabilityMinor, ordinal); err != nil {
		return g, err
	}
	if g.Multiprocessors, err = drv.DeviceAttribute(Multiprocessors, ordinal); err != nil {
		return g, err
	}
	g.Memory, err = drv.DeviceMemory(ordinal)
	return g, err
}
