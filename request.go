package godwit

// Requests and results, one pair a method.

import "time"

// Message is one turn of a conversation; JSON as OpenAI's.
type Message struct {
	Role    string `json:"role"` // "system", "user", "assistant"
	Content string `json:"content"`
}

// Request asks for text. Exactly one of Prompt, Tokens and Messages is set; for
// encoder-decoders it is what the encoder reads. Special tokens inside Prompt,
// Content and Prefix are plain text.
type Request struct {
	Prompt   string         `json:"prompt,omitempty"`   // text to continue
	Tokens   []int32        `json:"tokens,omitempty"`   // ids to continue, taken as they are
	Messages []Message      `json:"messages,omitempty"` // a conversation, through the chat template
	Template map[string]any `json:"template,omitempty"` // variables of the chat template

	// Prefix is how the answer begins: the way to continue a turn. It is part of
	// the answer's text, and not of its ids.
	Prefix string `json:"prefix,omitempty"`
	// Suffix is what stands after the answer: fill-in-the-middle, between Prompt
	// and Suffix, by models whose vocabulary has tokens for it.
	Suffix string `json:"suffix,omitempty"`

	MaxTokens  int      `json:"max_tokens,omitempty"` // 0: generation_config's max_new_tokens or max_length, else the rest of the context
	MinTokens  int      `json:"min_tokens,omitempty"` // the answer does not end before; 0: as the files have it
	Stop       []string `json:"stop,omitempty"`       // texts that end the answer and are not part of it; none: the files' stop_strings
	StopTokens []int32  `json:"stop_tokens,omitempty"`
	IgnoreEOS  bool     `json:"ignore_eos,omitempty"`
	Sampling   Sampling `json:"sampling,omitzero"`
	Beam       Beam     `json:"beam,omitzero"`
	Logprobs   int      `json:"logprobs,omitempty"` // 0: none; k: the token's own and the k best
	Capture    *Capture `json:"capture,omitempty"`  // nil: nothing recorded, nothing paid
}

// Sampling says how a token is chosen. A nil field means the next default:
// Config, generation_config.json, then Hugging Face's: greedy. The order is
// logit bias, repetition, frequency and presence penalty, temperature, top-k,
// top-p, min-p, typical-p.
type Sampling struct {
	Temperature       *float64          `json:"temperature,omitempty"` // 0: greedy
	TopP              *float64          `json:"top_p,omitempty"`       // (0, 1]
	MinP              *float64          `json:"min_p,omitempty"`       // [0, 1]
	TypicalP          *float64          `json:"typical_p,omitempty"`   // (0, 1]
	RepetitionPenalty *float64          `json:"repetition_penalty,omitempty"`
	FrequencyPenalty  *float64          `json:"frequency_penalty,omitempty"`
	PresencePenalty   *float64          `json:"presence_penalty,omitempty"`
	TopK              *int              `json:"top_k,omitempty"` // 0: all
	LogitBias         map[int32]float64 `json:"logit_bias,omitempty"`
	Seed              uint64            `json:"seed,omitempty"` // 0: a new one, told in Result.Seed
}

// Beam asks for beam search, which does not sample; Width above 1 turns it on.
// What is unset is as the checkpoint's files have it.
type Beam struct {
	Width         int      `json:"width,omitempty"`          // 0: the files' num_beams, which is rare; 1: none, whatever they say
	LengthPenalty *float64 `json:"length_penalty,omitempty"` // nil: 1, if the files are silent
	Early         string   `json:"early,omitempty"`          // early_stopping: "true", "false" (the usual), "never"
}

// Token is one step of an answer. Printing Text of every token prints the
// answer; Piece, Logprob and Top are there to study it.
type Token struct {
	ID        int32      `json:"id"`
	Piece     string     `json:"piece"`            // its own bytes, maybe half a character
	Choice    int        `json:"choice,omitempty"` // which answer it belongs to
	Text      string     `json:"text,omitempty"`   // what became final with it: whole characters, no part of a stop text
	Logprob   float64    `json:"logprob,omitempty"`
	Top       []Token    `json:"top,omitempty"` // the k best, with Logprobs
	Attention *Attention `json:"attention,omitempty"`
	Finish    Finish     `json:"finish,omitempty"` // on the last token of an answer
	Result    *Result    `json:"result,omitempty"` // on the stream's last token
}

// Finish says why an answer ended.
type Finish string

// The reasons. Faults and cancellation are errors.
const (
	FinishStop   Finish = "stop"   // an end token or a stop text
	FinishLength Finish = "length" // MaxTokens or the context
)

// Result is a whole answer. The embedded Choice is the first; JSON has choices only.
type Result struct {
	Choice    `json:"-"`
	Choices   []Choice   `json:"choices"`
	Usage     Usage      `json:"usage"`
	Seed      uint64     `json:"seed,omitempty"`
	Attention *Attention `json:"attention,omitempty"` // with Capture.Prompt
}

// Choice is one answer. Beam search gives Beam.Width of them, best first.
type Choice struct {
	Text     string  `json:"text"`
	Message  Message `json:"message,omitzero"` // the answer as a turn, if Messages were asked
	Finish   Finish  `json:"finish"`
	Stop     string  `json:"stop,omitempty"` // the stop text that ended it
	IDs      []int32 `json:"ids"`            // end token included
	Logprobs []Token `json:"logprobs,omitempty"`
	Score    float64 `json:"score,omitempty"` // of beam search
}

// Usage is what a call cost.
type Usage struct {
	PromptTokens int           `json:"prompt_tokens"`
	OutputTokens int           `json:"output_tokens"`
	Queued       time.Duration `json:"queued_ns"`      // until it began to run
	FirstToken   time.Duration `json:"first_token_ns"` // from the call to the first token; 0: there is none
	Total        time.Duration `json:"total_ns"`
}

// ScoreRequest asks how likely a text is after a prompt, or by itself. Of Prompt
// and PromptTokens at most one is set, of Text and Tokens exactly one.
// Encoder-decoders read the prompt with the encoder and score the text as the
// decoder's, its end token included.
type ScoreRequest struct {
	Prompt       string  `json:"prompt,omitempty"`
	PromptTokens []int32 `json:"prompt_tokens,omitempty"`
	Text         string  `json:"text,omitempty"`
	Tokens       []int32 `json:"tokens,omitempty"`
	Logprobs     int     `json:"logprobs,omitempty"` // the k best at each place, too
	Logits       bool    `json:"logits,omitempty"`   // whole rows, too
}

// ScoreResult has the log-probability of each token of the text given all before
// it. A first token with nothing before it has none: its Top is nil, its Logprob
// 0, and it counts in nothing.
type ScoreResult struct {
	Tokens     []Token     `json:"tokens"`
	Logprob    float64     `json:"logprob"`    // of the text: the sum, natural logarithms
	Perplexity float64     `json:"perplexity"` // e to the negative mean
	Greedy     bool        `json:"greedy"`     // every token is the most likely one
	Logits     [][]float32 `json:"logits,omitempty"`
	Usage      Usage       `json:"usage"`
}

// EmbedRequest asks for vectors of texts, or of ids taken as they are.
type EmbedRequest struct {
	Texts     []string  `json:"texts,omitempty"`
	Tokens    [][]int32 `json:"tokens,omitempty"`
	Normalize bool      `json:"normalize,omitempty"` // length 1, whatever modules.json says
	Truncate  bool      `json:"truncate,omitempty"`  // cut what is too long, and say so
	PerToken  bool      `json:"per_token,omitempty"` // also a vector a token
}

// EmbedResult has vectors in the order of the inputs.
type EmbedResult struct {
	Vectors   [][]float32   `json:"vectors"`
	PerToken  [][][]float32 `json:"per_token,omitempty"`
	Truncated []int         `json:"truncated,omitempty"` // inputs that were cut
	Usage     Usage         `json:"usage"`
}

// ClassifyRequest asks for labels of texts, or of pairs of texts.
type ClassifyRequest struct {
	Texts    []string `json:"texts"`
	Pairs    []string `json:"pairs,omitempty"`    // second segments, one a text
	Top      int      `json:"top,omitempty"`      // 0: all labels
	Raw      bool     `json:"raw,omitempty"`      // logits, not probabilities
	Truncate bool     `json:"truncate,omitempty"` // cut what is too long, and say so
}

// ClassifyResult has labels in the order of the inputs, best first.
type ClassifyResult struct {
	Labels    [][]Label `json:"labels"`
	Truncated []int     `json:"truncated,omitempty"`
	Usage     Usage     `json:"usage"`
}

// Label is a name and its score: a probability unless raw ones were asked.
type Label struct {
	Name  string  `json:"name"`
	ID    int32   `json:"id"`
	Score float64 `json:"score"`
}

// EntitiesRequest asks for the entities in texts.
type EntitiesRequest struct {
	Texts    []string `json:"texts"`
	Group    string   `json:"group,omitempty"`    // "simple" (the usual), "first", "average", "max", "none"
	Truncate bool     `json:"truncate,omitempty"` // cut what is too long, and say so
}

// EntitiesResult has the entities of each text, in its order.
type EntitiesResult struct {
	Spans     [][]Span `json:"spans"`
	Truncated []int    `json:"truncated,omitempty"`
	Usage     Usage    `json:"usage"`
}

// Span is a part of a text: text[Start:End], in bytes.
type Span struct {
	Label string  `json:"label,omitempty"` // of Entities
	Text  string  `json:"text"`
	Start int     `json:"start"`
	End   int     `json:"end"`
	Score float64 `json:"score"` // a probability
}

// AnswerRequest asks for the parts of a context that answer a question.
type AnswerRequest struct {
	Question  string `json:"question"`
	Context   string `json:"context"`
	Top       int    `json:"top,omitempty"`        // 0: the best answer only
	MaxTokens int    `json:"max_tokens,omitempty"` // of an answer; 0: 15
	Force     bool   `json:"force,omitempty"`      // an answer even if it is likelier that there is none
}

// AnswerResult has answers, best first. It is empty if the model finds it
// likelier that the context has none.
type AnswerResult struct {
	Spans []Span `json:"spans"`
	Usage Usage  `json:"usage"`
}

// FillMaskRequest asks for words at the masks of a text, written as "[MASK]"
// for every model, or as Info.MaskToken.
type FillMaskRequest struct {
	Text    string   `json:"text"`
	Top     int      `json:"top,omitempty"`     // 0: 5
	Targets []string `json:"targets,omitempty"` // only these tokens
}

// FillMaskResult has the best tokens of each mask, in the order of the text.
type FillMaskResult struct {
	Masks [][]Label `json:"masks"`
	Usage Usage     `json:"usage"`
}

// Capture says what to record while a model runs.
type Capture struct {
	Layers   []int `json:"layers,omitempty"` // nil: all; negative: from the end
	Heads    []int `json:"heads,omitempty"`
	Prompt   bool  `json:"prompt,omitempty"`    // Generate: the prompt's rows too, in Result.Attention
	Hidden   bool  `json:"hidden,omitempty"`    // hidden states too
	MaxBytes int64 `json:"max_bytes,omitempty"` // of the result; 0: 256 MiB
}

// AttendRequest asks what the heads of a model look at.
type AttendRequest struct {
	Text    string  `json:"text"`
	Pair    string  `json:"pair,omitempty"`   // second segment, encoders
	Target  string  `json:"target,omitempty"` // encoder-decoders: what the decoder reads; "": what it writes
	Capture Capture `json:"capture,omitzero"`
}

// Attention is what was recorded. A map is nil where the model has none such.
type Attention struct {
	Encoder       *AttentionMap `json:"encoder,omitempty"`
	Decoder       *AttentionMap `json:"decoder,omitempty"`
	Cross         *AttentionMap `json:"cross,omitempty"`          // of a decoder to its encoder: keys are the encoder's tokens
	EncoderHidden [][][]float32 `json:"encoder_hidden,omitempty"` // [layer][token][feature]; layer 0: embeddings
	DecoderHidden [][][]float32 `json:"decoder_hidden,omitempty"`
	Text          string        `json:"text,omitempty"` // of encoder-decoders: the target, or what was written
	Usage         Usage         `json:"usage,omitzero"`
}

// AttentionMap has the distributions of some layers and heads. Rows sum to 1;
// masked keys are exactly 0.
type AttentionMap struct {
	Layers  []int     `json:"layers"`
	Heads   []int     `json:"heads"`
	Queries []Piece   `json:"queries"`
	Keys    []Piece   `json:"keys"`
	Weights []float32 `json:"weights"` // [layer][head][query][key]
}

// Row is the distribution of one query over the keys; l and h index Layers and
// Heads.
func (a *AttentionMap) Row(l, h, query int) []float32 {
	n := len(a.Keys)
	at := ((l*len(a.Heads)+h)*len(a.Queries) + query) * n
	return a.Weights[at : at+n : at+n]
}

// Mean averages over layers and heads: one layer, one head, both numbered 0.
func (a *AttentionMap) Mean() *AttentionMap {
	m := &AttentionMap{Layers: []int{0}, Heads: []int{0}, Queries: a.Queries, Keys: a.Keys}
	n := len(a.Queries) * len(a.Keys)
	m.Weights = make([]float32, n)
	maps := len(a.Layers) * len(a.Heads)
	for i := range m.Weights {
		var sum float64
		for k := range maps {
			sum += float64(a.Weights[k*n+i])
		}
		m.Weights[i] = float32(sum / float64(maps))
	}
	return m
}

// Piece is a token and the part of the text it stands for: text[Start:End], in
// bytes. Of a special token Text is its name; several tokens that share a
// character have the same Text.
type Piece struct {
	ID      int32  `json:"id"`
	Text    string `json:"text"`
	Start   int    `json:"start"`
	End     int    `json:"end"`
	Special bool   `json:"special,omitempty"`
}
