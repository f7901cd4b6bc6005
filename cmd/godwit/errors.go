package main

// What an error becomes: an exit status, and a line on standard error.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/godwit-ml/godwit"
)

// The exit statuses.
const (
	statusDone        = 0
	statusFailed      = 1
	statusUsage       = 2
	statusModel       = 3
	statusUnsupported = 4
	statusInterrupted = 130 // as shells give for SIGINT
)

// errInterrupted is why the context of an interrupted command ended.
var errInterrupted = errors.New("interrupted")

// usageError is a command line that cannot be meant.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// outputError is a result that could not be written.
type outputError struct{ err error }

func (e *outputError) Error() string { return "cannot write the results: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// Errors of a pipe without a reader that Windows has instead of EPIPE.
const (
	windowsBrokenPipe = syscall.Errno(109)
	windowsNoData     = syscall.Errno(232)
)

// closedPipe tells whether whoever read the results has gone.
func closedPipe(err error) bool {
	var output *outputError
	if !errors.As(err, &output) {
		return false
	}
	var number syscall.Errno
	if onWindows && errors.As(err, &number) {
		return number == windowsBrokenPipe || number == windowsNoData
	}
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}

// report prints an error and gives the exit status. Nothing is said about a
// reader that had enough, or to a user who pressed Ctrl-C.
func report(ctx context.Context, s *streams, command string, asJSON bool, err error) int {
	switch {
	case err == nil || closedPipe(err):
		return statusDone
	case errors.Is(context.Cause(ctx), errInterrupted):
		return statusInterrupted
	}
	status, kind, field := classifyError(err)
	if asJSON {
		var line bytes.Buffer
		object := struct {
			Type    string `json:"type"`
			Field   string `json:"field,omitempty"`
			Message string `json:"message"`
		}{kind, field, err.Error()}
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if encoder.Encode(map[string]any{"error": object}) == nil {
			fmt.Fprint(s.notes, line.String())
		}
		return status
	}
	text := strings.TrimPrefix(err.Error(), "godwit: ")
	if flag, ok := flagOf[field]; ok {
		text = strings.Replace(text, field, flag, 1)
	}
	if kind == "UsageError" {
		name := strings.TrimSpace("godwit " + command)
		fmt.Fprintf(s.notes, "%s: %s\n", name, text)
		if command != "" {
			fmt.Fprintf(s.notes, "%s --help lists the flags.\n", name)
		}
		return status
	}
	fmt.Fprintf(s.notes, "godwit: %s\n", text)
	return status
}

// classifyError gives the status of an error, the name of its type, and the
// field of a request or a file that it is about.
func classifyError(err error) (status int, kind, field string) {
	var (
		usage       *usageError
		param       *godwit.ParamError
		unsupported *godwit.UnsupportedError
		model       *godwit.ModelError
		tooLong     *godwit.TooLongError
		memory      *godwit.MemoryError
		device      *godwit.DeviceError
		output      *outputError
	)
	switch {
	case errors.As(err, &usage):
		return statusUsage, "UsageError", ""
	case errors.As(err, &param):
		return statusUsage, "ParamError", param.Field
	case errors.As(err, &unsupported):
		return statusUnsupported, "UnsupportedError", ""
	case errors.Is(err, godwit.ErrUnsupported):
		return statusUnsupported, "Unsupported", ""
	case errors.As(err, &model):
		return statusModel, "ModelError", model.Field
	case errors.As(err, &tooLong):
		return statusFailed, "TooLongError", ""
	case errors.As(err, &memory):
		return statusFailed, "MemoryError", ""
	case errors.As(err, &device):
		return statusFailed, "DeviceError", ""
	case errors.As(err, &output):
		return statusFailed, "OutputError", ""
	}
	return statusFailed, "Error", ""
}

// flagOf names the flag of a field that a *godwit.ParamError is about.
var flagOf = map[string]string{
	"MaxTokens":                  "--max-tokens",
	"Stop":                       "--stop",
	"Logprobs":                   "--logprobs",
	"Beam.Width":                 "--beams",
	"Sampling.Temperature":       "--temp",
	"Sampling.TopK":              "--top-k",
	"Sampling.TopP":              "--top-p",
	"Sampling.MinP":              "--min-p",
	"Sampling.TypicalP":          "--typical",
	"Sampling.RepetitionPenalty": "--repeat-penalty",
	"Sampling.PresencePenalty":   "--presence-penalty",
	"Sampling.FrequencyPenalty":  "--frequency-penalty",
	"Capture.Layers[0]":          "--layer",
	"Capture.Heads[0]":           "--head",
	"Pair":                       "--pair",
	"Target":                     "--target",
	"Top":                        "--top",
	"Targets":                    "--targets",
	"Question":                   "--question",
	"Group":                      "--group",
	"Prompts":                    "--pp",
	"Generate":                   "--tg",
	"Depths":                     "--depth",
	"Batches":                    "--batch",
	"Repeats":                    "--repeats",
	"Window":                     "--window",
	"Config.Device":              "--device",
	"Config.DType":               "--dtype",
	"Config.Quantize":            "--quantize",
	"Config.KVDType":             "--kv-dtype",
	"Config.Threads":             "--threads",
	"Config.Context":             "--ctx-size",
	"Config.MemoryLimit":         "--memory",
	"Config.Pooling":             "--pooling",
}
