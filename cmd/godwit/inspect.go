package main

// inspect: what a checkpoint is.

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/godwit-ml/godwit"
)

type inspectCmd struct {
	modelFlag
	KVDType string `group:"model" name:"kv-dtype" placeholder:"TYPE" help:"Type of the KV cache that the estimate of memory is for."`
	computeFlags
	Tensors  bool `group:"output" help:"Also every tensor; --json always has them."`
	Metadata bool `group:"output" help:"Also the metadata of a GGUF file; --json always has them."`
	jsonFlag
}

// Run reads headers only.
func (c *inspectCmd) Run(ctx context.Context, s *streams) error {
	if err := c.given("inspect"); err != nil {
		return err
	}
	path, err := godwit.Find(c.Model)
	if err != nil {
		return err
	}
	cfg := c.config()
	cfg.KVDType = c.KVDType
	info, err := godwit.Inspect(ctx, path, cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		return s.out.object(info)
	}
	printInfo(s.out, info)
	if c.Tensors {
		fmt.Fprintln(s.out)
		printTensors(s.out, info.Tensors)
	}
	if c.Metadata {
		fmt.Fprintln(s.out)
		printMetadata(s.out, info.Metadata)
	}
	return nil
}

// printInfo prints the fields that say something.
func printInfo(w io.Writer, info *godwit.Info) {
	line := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(w, "  %-14s %s\n", name, text)
		}
	}
	fmt.Fprintln(w, info.Name)
	line("path", "%s", info.Path)
	line("architecture", "%s: %s, %s", info.Architecture, info.Family, info.Kind)
	line("tasks", "%s", join(info.Tasks))
	line("parameters", "%s", count(info.Parameters))
	heads := fmt.Sprint(info.Heads)
	if info.KVHeads != info.Heads && info.KVHeads > 0 {
		heads += fmt.Sprintf(" (%d of keys and values)", info.KVHeads)
	}
	line("layers", "%d, heads %s, hidden %d", info.Layers, heads, info.Hidden)
	line("vocabulary", "%d", info.Vocab)
	line("context", "%d tokens", info.Context)
	line("tokenizer", "%s", cmp.Or(info.Tokenizer, "none"))
	if info.ChatTemplate != "" {
		line("chat template", "%s", plural(strings.Count(info.ChatTemplate, "\n")+1, "line"))
	}
	if info.Dimensions > 0 {
		line("embeddings", "%d numbers, pooling %s", info.Dimensions, cmp.Or(info.Pooling, "none"))
	}
	line("mask token", "%s", info.MaskToken)
	if n := len(info.Labels); n > 0 {
		labels := info.Labels[:min(n, 8)]
		line("labels", "%d: %s", n, shorten(strings.Join(labels, ", "), 56))
	}
	line("weights", "%s", weights(info.Tensors))
	line("", "%s", running(info.Tensors))
	if info.KVBytes > 0 {
		line("KV cache", "%s a token", size(info.KVBytes))
	}
	limit := ""
	if info.Memory.Limit > 0 {
		limit = " of " + size(info.Memory.Limit)
	}
	line("memory", "%s%s", size(info.Memory.Total), limit)
	line("", "%s", memory(info.Memory))
	for _, u := range info.Unusual {
		line("unusual", "%s", u)
	}
}

// memory is what a model takes, in parts.
func memory(m godwit.Memory) string {
	text := size(m.Weights) + " weights, "
	if m.KV > 0 {
		text += size(m.KV) + " KV, "
	}
	text += size(m.Scratch) + " scratch, " + size(m.Mapped) + " files"
	return text
}

// weights sums the stored tensors up by type, the largest first.
func weights(tensors []godwit.TensorInfo) string {
	if len(tensors) == 0 {
		return ""
	}
	type kind struct {
		dtype string
		n     int
		bytes int64
	}
	var kinds []kind
	var all int64
	for _, t := range tensors {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.dtype == t.DType })
		if i < 0 {
			i = len(kinds)
			kinds = append(kinds, kind{dtype: t.DType})
		}
		kinds[i].n++
		kinds[i].bytes += t.Bytes
		all += t.Bytes
	}
	slices.SortStableFunc(kinds, func(a, b kind) int { return cmp.Compare(b.bytes, a.bytes) })
	var parts []string
	for _, k := range kinds {
		parts = append(parts, fmt.Sprintf("%d %s", k.n, k.dtype))
	}
	return fmt.Sprintf("%s in %s: %s", size(all), plural(len(tensors), "tensor"), strings.Join(parts, ", "))
}

// running says which stored types run as another, the first of each first.
func running(tensors []godwit.TensorInfo) string {
	var parts []string
	for _, t := range tensors {
		if part := t.DType + " as " + t.Runs; t.Runs != "" && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "matrices run in another type: " + strings.Join(parts, ", ")
}

// printTensors prints a tensor a line, in columns.
func printTensors(w io.Writer, tensors []godwit.TensorInfo) {
	names, shapes := 0, 0
	for _, t := range tensors {
		names, shapes = max(names, utf8.RuneCountInString(t.Name)), max(shapes, utf8.RuneCountInString(shape(t.Shape)))
	}
	for _, t := range tensors {
		fmt.Fprintf(w, "%-*s  %-7s  %-*s  %s", names, t.Name, t.DType, shapes, shape(t.Shape), size(t.Bytes))
		if t.Runs != "" {
			fmt.Fprintf(w, ", runs as %s", t.Runs)
		}
		fmt.Fprintln(w)
	}
}

// printMetadata prints the keys in order, long values by their size.
func printMetadata(w io.Writer, metadata map[string]any) {
	keys := make([]string, 0, len(metadata))
	for k := range metadata {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		var value string
		switch v := reflect.ValueOf(metadata[k]); v.Kind() {
		case reflect.String:
			value = strconv.Quote(v.String())
		case reflect.Slice:
			value = plural(v.Len(), "value")
		default:
			value = fmt.Sprint(metadata[k])
		}
		fmt.Fprintf(w, "%s = %s\n", k, shorten(value, max(20, 76-len(k))))
	}
}

func shape(dims []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(dims), "[]"), " ", "×")
}

func join(tasks []godwit.Task) string {
	if len(tasks) == 0 {
		return "none"
	}
	names := make([]string, len(tasks))
	for i, t := range tasks {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}
