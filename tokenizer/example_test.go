package tokenizer_test

import (
	"fmt"
	"log"

	"github.com/godwit-ml/godwit/tokenizer"
)

// A tokenizer.json in small: bytes, two merges and a special token.
var file = []byte(`{
	"version": "1.0",
	"added_tokens": [{"id": 6, "content": "<|end|>", "special": true, "normalized": false}],
	"pre_tokenizer": {"type": "Whitespace"},
	"model": {
		"type": "BPE",
		"vocab": {"a": 0, "b": 1, "ab": 2, "abb": 3, "!": 4, "?": 5},
		"merges": ["a b", "ab b"],
		"unk_token": "?"
	}
}`)

func Example() {
	tok, err := tokenizer.FromJSON(file, nil)
	if err != nil {
		log.Fatal(err)
	}
	text := "abb ab!"
	e, err := tok.Encode(text, tokenizer.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for i, id := range e.IDs {
		at := e.Offsets[i]
		fmt.Println(id, e.Tokens[i], text[at[0]:at[1]])
	}
	// Output:
	// 3 abb abb
	// 2 ab ab
	// 4 ! !
}

// What users type is plain text unless the caller says otherwise.
func ExampleOptions() {
	tok, err := tokenizer.FromJSON(file, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, o := range []tokenizer.Options{{}, {Parse: true}, {Parse: true, Plain: [][2]int{{0, 9}}}} {
		ids, err := tok.AppendIDs(nil, "a <|end|>", o)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ids)
	}
	// Output:
	// [0 5 5 5 5 5 5 5]
	// [0 6]
	// [0 5 5 5 5 5 5 5]
}

// A stream gives out text as soon as it is final.
func ExampleDecoder() {
	tok, err := tokenizer.FromJSON(file, nil)
	if err != nil {
		log.Fatal(err)
	}
	d := tok.NewDecoder(true)
	for _, id := range []int32{3, 2, 6} {
		fmt.Printf("%q ", d.Push(id))
	}
	fmt.Printf("%q\n", d.Flush())
	// Output:
	// "abb" " ab" "" ""
}
