// Package runtime is the contract between models and devices: tensors, the
// closed set of ten operations, the Device interface, and the Stream that runs
// operations on a device and falls back to another where it must.
//
// # Activations
//
// Activations are F32 matrices [T, features], T the tokens of all sequences of
// a step laid end to end. Only Attention knows where one sequence ends:
//
//	            features →
//	tokens  ┌──────────────────┐
//	   ↓    │ sequence 0       │  QStarts = [0 3 5]
//	        │ sequence 0       │
//	        │ sequence 0       │
//	        │ sequence 1       │
//	        │ sequence 1       │
//	        └──────────────────┘
//
// So prefill, chunked prefill, decode and encoders are the same call, and a
// fused projection is used through column views without a copy.
//
// # Operations are values
//
// An operation is a struct with named operands. Adding one is a struct here, a
// case in each device, a row and its float64 oracle in devicetest. The Device
// interface does not grow with the set.
//
// # Import name
//
// The package shadows the standard library's; import that one as goruntime.
package runtime
