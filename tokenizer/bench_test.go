package tokenizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkFamilies tokenizes the texts of the fixtures: as one text of some megabytes,
// row by row, and with offsets.
func BenchmarkFamilies(b *testing.B) {
	paths, _ := filepath.Glob(filepath.Join(fixtures(b), "tokenizers", "*", "tokenizer.json"))
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		if strings.HasPrefix(name, "small-") {
			continue
		}
		tok := load(b, path)
		var texts []string
		size := 0
		for _, r := range readRows(b, filepath.Join(filepath.Dir(path), "golden.jsonl")) {
			texts = append(texts, r.Text)
			size += len(r.Text)
		}
		one := strings.Repeat(strings.Join(texts, "\n"), 2_000_000/size+1)
		if file := os.Getenv("BENCH_TEXT"); file != "" {
			data, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			one = string(data)
		}
		b.Run(name+"/one", func(b *testing.B) {
			b.SetBytes(int64(len(one)))
			var ids []int32
			for b.Loop() {
				ids, _ = tok.AppendIDs(ids[:0], one, Options{Parse: true, Special: true})
			}
		})
		b.Run(name+"/rows", func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var ids []int32
			for b.Loop() {
				for _, s := range texts {
					ids, _ = tok.AppendIDs(ids[:0], s, Options{Parse: true, Special: true})
				}
			}
		})
		b.Run(name+"/offsets", func(b *testing.B) {
			b.SetBytes(int64(len(one)))
			for b.Loop() {
				if _, err := tok.Encode(one, Options{Parse: true, Special: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
