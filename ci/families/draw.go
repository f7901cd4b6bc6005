package main

// The maps of attention: tiny checkpoints of the fixtures, drawn by godwit attend.

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// drawings are what is drawn: a checkpoint, and the flags of godwit attend.
var drawings = []struct {
	image, checkpoint string
	flags             []string
}{
	{"gpt-neo", "gpt-neo", []string{"--layer", "1"}},
	{"bloom", "bloom", []string{"--layer", "0", "--head", "0"}},
	{"palm", "palm", []string{"--layer", "0"}},
	{"mistral", "mistral", []string{"--layer", "0"}},
	{"gemma2", "gemma2", []string{"--layer", "0"}},
	{"bert", "bert-base", []string{"--layer", "0"}},
	{"deberta", "deberta-v2-mlm", []string{"--layer", "0"}},
	{"modernbert", "modernbert-mlm", []string{"--layer", "1"}},
	{"t5-cross", "t5-v11", []string{"--layer", "0", "--target", "to New Zealand"}},
}

const sentence = "godwits fly to New Zealand"

// draw makes a picture of each: the checkpoint with a tokenizer of bytes beside it, as most of the fixtures have none.
func draw(fixtures, images string) error {
	tmp, err := os.MkdirTemp("", "godwit-families")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // of the system's temporary folder
	godwit := filepath.Join(tmp, "godwit")
	if out, err := exec.Command("go", "build", "-o", godwit, "./cmd/godwit").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	tokenizer, err := byteTokenizer()
	if err != nil {
		return err
	}
	for _, d := range drawings {
		dir := filepath.Join(tmp, d.checkpoint)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for _, name := range []string{"config.json", "model.safetensors", "generation_config.json"} {
			data, err := os.ReadFile(filepath.Join(fixtures, d.checkpoint, name))
			if err != nil && name == "generation_config.json" {
				continue
			}
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), tokenizer, 0o644); err != nil {
			return err
		}
		args := append([]string{"attend", "-m", dir, "--pieces", "--png", filepath.Join(images, d.image+".png")}, d.flags...)
		if out, err := exec.Command(godwit, append(args, sentence)...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: godwit %v: %w\n%s", d.checkpoint, args, err, out)
		}
	}
	return nil
}

// byteTokenizer is a tokenizer.json whose tokens are the 256 bytes, by GPT-2's names for them (Radford et al., 2019: printable
// bytes stand for themselves, the others for the characters from 256 on).
func byteTokenizer() ([]byte, error) {
	vocab, next := map[string]int{}, rune(256)
	for b := range rune(256) {
		name := b
		if b < 33 || b > 126 && b < 161 || b == 173 {
			name = next
			next++
		}
		vocab[string(name)] = int(b)
	}
	return json.Marshal(map[string]any{
		"version": "1.0", "added_tokens": []any{}, "normalizer": nil, "post_processor": nil,
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
		"decoder":       map[string]any{"type": "ByteLevel", "add_prefix_space": true, "use_regex": true},
		"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}},
	})
}
