package godwit

// Stats: what a model is doing, as of now.

// Stats is a snapshot; counters only grow.
type Stats struct {
	Memory    Memory           `json:"memory"`
	Running   int              `json:"running"`             // calls under way
	Waiting   int              `json:"waiting"`             // calls that have not begun
	Fallbacks map[string]int64 `json:"fallbacks,omitempty"` // operations the device left to the CPU: "Operation: reason"
}

// Stats says what the model is doing. Operations in Fallbacks ran on the CPU, and
// their results went back to the device: right, and slower.
func (m *Model) Stats() Stats {
	s := Stats{Memory: m.info.Memory, Fallbacks: m.engine.Fallbacks()}
	s.Running, s.Waiting = m.engine.Counts()
	return s
}
