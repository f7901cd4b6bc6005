module github.com/godwit-ml/godwit/bench

go 1.26.0

require github.com/godwit-ml/godwit v0.0.0

require (
	github.com/google/uuid v1.1.1 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	gonum.org/v1/gonum v0.17.0 // indirect
	gorgonia.org/cu v0.9.6 // indirect
)

replace github.com/godwit-ml/godwit => ../
