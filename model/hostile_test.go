package model_test

// Fields that say anything: no configuration makes a panic, takes long, or gives a
// model whose operations do not fit together.

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/godwit-ml/godwit/model"
	"github.com/godwit-ml/godwit/runtime"
	"github.com/godwit-ml/godwit/runtime/devicetest"
	"github.com/godwit-ml/godwit/weights"
)

var odd = []any{nil, 0, 1, 2, 3, 7, -1, 1 << 20, 1 << 31, math.MaxInt64, 0.5, 1e300, "", "x", "yarn", true, false,
	[]any{}, []any{1}, []any{"sliding_attention"}, []any{0.0, 1.0}, map[string]any{}}

// TestHostileFields sets every field of every configuration to such values.
func TestHostileFields(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*", "config.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d configurations (%v)", len(files), err)
	}
	accepted := 0
	for _, file := range files {
		ck, err := weights.Open(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var config map[string]any
		if err := json.Unmarshal(text, &config); err != nil {
			t.Fatal(err)
		}
		each(config, file, func(what string) {
			text, err := json.Marshal(config)
			if err != nil {
				t.Fatal(err)
			}
			s := runtime.NewStream(&devicetest.Null{}, nil)
			defer s.Close()
			m, err := model.Load(s, ck, model.Source{File: file, Config: text}, model.Options{Context: 16})
			switch {
			case err == nil:
				accepted++
				fits(t, what, s, m)
			case len(err.Error()) > 5000:
				t.Errorf("%s: an error of %d characters", what, len(err.Error()))
			}
		})
		if err := ck.Close(); err != nil {
			t.Error(err)
		}
	}
	if accepted < 1000 {
		t.Errorf("%d models ran, want many: most fields may have many values", accepted)
	}
}

// each calls try with every field of a map and of the maps in it set to odd values,
// one at a time.
func each(fields map[string]any, where string, try func(what string)) {
	for name, was := range maps.Clone(fields) {
		if inner, ok := was.(map[string]any); ok {
			each(inner, where+" "+name, try)
		}
		for _, v := range odd {
			fields[name] = v
			try(fmt.Sprintf("%s %s %v", where, name, v))
		}
		fields[name] = was
	}
}

// fits runs three tokens, of which only the operations' checks see anything.
func fits(t *testing.T, what string, s *runtime.Stream, m model.Model) {
	t.Helper()
	in := m.Info()
	var b model.Batch
	var c *model.Cache
	var err error
	if in.Kind == model.Decoder {
		if err = b.AddDecoder([]int32{1, 2, 3}, 0, []int32{0}, 16); err == nil {
			c, err = model.NewCache(s, in, runtime.F32, 1, 16)
		}
	} else {
		err = b.AddEncoder([]int32{1, 2, 3}, nil, nil)
	}
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if c != nil {
		defer c.Close()
	}
	if b.Check(in, c) != nil {
		return // a vocabulary or a context of less than three
	}
	if two, ok := m.(model.EncoderDecoder); ok {
		two.Encode(s, &b)
	} else {
		m.Logits(s, m.Forward(s, &b, c))
	}
	if err := s.Err(); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
