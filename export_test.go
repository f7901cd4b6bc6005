package godwit

// Counts are the calls of a model that run and those that wait.
func Counts(m *Model) (running, waiting int) { return m.engine.Counts() }
