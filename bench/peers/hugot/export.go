package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// exported returns the folder of model as ONNX with its tokenizer, which the torch peer's environment makes at first use.
func exported(model string) (string, error) {
	python := filepath.Join(os.Getenv("GODWIT_PEERS"), "torch", "bin", "python")
	script := filepath.Join(os.Getenv("GODWIT_PEERS_SOURCE"), "onnxfile.py")
	cmd := exec.Command(python, script, "--folder", model)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("export of %s to ONNX: %w", model, err)
	}
	return string(out), nil
}
