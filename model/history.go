package model

// The history of language models as three branches, and which of them run here.

import "slices"

// Milestone is one model of the history.
type Milestone struct {
	Name       string // as its authors call it: "GPT-3"
	Kind       Kind   // its branch
	Year       int    // of the first version of the paper, or of the release
	Month      int
	Open       bool     // its weights can be downloaded
	Paper      string   // authors, title
	Families   []string // what runs it here; of a closed one, its open replicas. None: not run
	Positions  string   // how it tells positions apart; this and the rest only of what runs
	Attention  string   // heads and masks
	Norm       string   // kind and place
	Activation string   // of the feed-forward layer
	Proof      []string // checkpoints whose PyTorch outputs are held against it
}

// History lists the milestones, branch by branch, each by date.
func History() []Milestone {
	all := slices.Clone(history)
	order := map[Kind]int{Decoder: 0, Encode: 1, Seq2Seq: 2}
	slices.SortStableFunc(all, func(a, b Milestone) int {
		return (order[a.Kind]-order[b.Kind])*1e6 + (a.Year-b.Year)*100 + a.Month - b.Month
	})
	return all
}

// history is the table. Dates and titles are those of arXiv, or of the release
// where there is no paper.
var history = []Milestone{
	{Name: "GPT", Kind: Decoder, Year: 2018, Month: 6, Open: true, Paper: "Radford et al., Improving Language Understanding by Generative Pre-Training"},
	{Name: "GPT-2", Kind: Decoder, Year: 2019, Month: 2, Open: true, Paper: "Radford et al., Language Models are Unsupervised Multitask Learners",
		Families: []string{"gpt2"}, Positions: "learned", Attention: "multi-head, causal", Norm: "LayerNorm before", Activation: "GELU (tanh)",
		Proof: []string{"gpt2", "gpt2-scale"}},
	{Name: "CTRL", Kind: Decoder, Year: 2019, Month: 9, Open: true, Paper: "Keskar et al., CTRL: A Conditional Transformer Language Model for Controllable Generation"},
	{Name: "GPT-3", Kind: Decoder, Year: 2020, Month: 5, Paper: "Brown et al., Language Models are Few-Shot Learners",
		Families: []string{"gpt-neo", "opt"}, Positions: "learned", Attention: "multi-head, causal; dense and locally banded layers in turn", Norm: "LayerNorm before", Activation: "GELU (tanh)",
		Proof: []string{"gpt-neo", "opt"}},
	{Name: "GPT-Neo", Kind: Decoder, Year: 2021, Month: 3, Open: true, Paper: "Black et al., GPT-Neo: Large Scale Autoregressive Language Modeling with Mesh-TensorFlow",
		Families: []string{"gpt-neo"}, Positions: "learned", Attention: "multi-head, causal; every other layer sees a window; scores are not scaled", Norm: "LayerNorm before", Activation: "GELU (tanh)",
		Proof: []string{"gpt-neo"}},
	{Name: "GPT-J", Kind: Decoder, Year: 2021, Month: 6, Open: true, Paper: "Wang and Komatsuzaki, GPT-J-6B: A 6 Billion Parameter Autoregressive Language Model",
		Families: []string{"gptj"}, Positions: "rotary, part of each head, neighbours paired", Attention: "multi-head, causal, beside the feed-forward layer", Norm: "LayerNorm before, one for both", Activation: "GELU (tanh)",
		Proof: []string{"gptj"}},
	{Name: "Codex", Kind: Decoder, Year: 2021, Month: 7, Paper: "Chen et al., Evaluating Large Language Models Trained on Code",
		Families: []string{"codegen", "gpt-bigcode", "starcoder2"}, Positions: "learned (replicas: rotary)", Attention: "multi-head, causal", Norm: "LayerNorm before", Activation: "GELU (tanh)",
		Proof: []string{"codegen", "gpt-bigcode", "starcoder2"}},
	{Name: "Jurassic-1", Kind: Decoder, Year: 2021, Month: 8, Paper: "Lieber et al., Jurassic-1: Technical Details and Evaluation"},
	{Name: "Gopher", Kind: Decoder, Year: 2021, Month: 12, Paper: "Rae et al., Scaling Language Models: Methods, Analysis & Insights from Training Gopher"},
	{Name: "LaMDA", Kind: Decoder, Year: 2022, Month: 1, Paper: "Thoppilan et al., LaMDA: Language Models for Dialog Applications"},
	{Name: "Chinchilla", Kind: Decoder, Year: 2022, Month: 3, Paper: "Hoffmann et al., Training Compute-Optimal Large Language Models"},
	{Name: "CodeGen", Kind: Decoder, Year: 2022, Month: 3, Open: true, Paper: "Nijkamp et al., CodeGen: An Open Large Language Model for Code with Multi-Turn Program Synthesis",
		Families: []string{"codegen"}, Positions: "rotary, part of each head, neighbours paired", Attention: "multi-head, causal, beside the feed-forward layer", Norm: "LayerNorm before, one for both", Activation: "GELU (tanh)",
		Proof: []string{"codegen"}},
	{Name: "PaLM", Kind: Decoder, Year: 2022, Month: 4, Paper: "Chowdhery et al., PaLM: Scaling Language Modeling with Pathways",
		Families: []string{"palm"}, Positions: "rotary", Attention: "one KV head for all, causal, beside the feed-forward layer", Norm: "LayerNorm without bias, before", Activation: "SwiGLU",
		Proof: []string{"palm", "palm-interleaved"}},
	{Name: "GPT-NeoX-20B", Kind: Decoder, Year: 2022, Month: 4, Open: true, Paper: "Black et al., GPT-NeoX-20B: An Open-Source Autoregressive Language Model",
		Families: []string{"gpt-neox"}, Positions: "rotary, part of each head", Attention: "multi-head, causal, beside the feed-forward layer", Norm: "LayerNorm before, two", Activation: "GELU",
		Proof: []string{"gpt-neox", "gpt-neox-seq"}},
	{Name: "OPT", Kind: Decoder, Year: 2022, Month: 5, Open: true, Paper: "Zhang et al., OPT: Open Pre-trained Transformer Language Models",
		Families: []string{"opt"}, Positions: "learned, from row 2", Attention: "multi-head, causal", Norm: "LayerNorm before (350M: after)", Activation: "ReLU",
		Proof: []string{"opt", "opt-postln"}},
	{Name: "BLOOM", Kind: Decoder, Year: 2022, Month: 11, Open: true, Paper: "BigScience Workshop, BLOOM: A 176B-Parameter Open-Access Multilingual Language Model",
		Families: []string{"bloom"}, Positions: "ALiBi", Attention: "multi-head, causal", Norm: "LayerNorm before, and of the embeddings", Activation: "GELU (tanh)",
		Proof: []string{"bloom"}},
	{Name: "LLaMA", Kind: Decoder, Year: 2023, Month: 2, Open: true, Paper: "Touvron et al., LLaMA: Open and Efficient Foundation Language Models",
		Families: []string{"llama"}, Positions: "rotary", Attention: "multi-head, causal", Norm: "RMSNorm before", Activation: "SwiGLU",
		Proof: []string{"llama-linear", "llama-yarn"}},
	{Name: "GPT-4", Kind: Decoder, Year: 2023, Month: 3, Paper: "OpenAI, GPT-4 Technical Report"},
	{Name: "BloombergGPT", Kind: Decoder, Year: 2023, Month: 3, Paper: "Wu et al., BloombergGPT: A Large Language Model for Finance",
		Families: []string{"bloom"}, Positions: "ALiBi, for any number of heads", Attention: "multi-head, causal", Norm: "LayerNorm before, and of the embeddings", Activation: "GELU (tanh)",
		Proof: []string{"bloomberg"}},
	{Name: "Pythia", Kind: Decoder, Year: 2023, Month: 4, Open: true, Paper: "Biderman et al., Pythia: A Suite for Analyzing Large Language Models Across Training and Scaling",
		Families: []string{"gpt-neox"}, Positions: "rotary, part of each head", Attention: "multi-head, causal, beside the feed-forward layer", Norm: "LayerNorm before, two", Activation: "GELU",
		Proof: []string{"gpt-neox"}},
	{Name: "StarCoder", Kind: Decoder, Year: 2023, Month: 5, Open: true, Paper: "Li et al., StarCoder: may the source be with you!",
		Families: []string{"gpt-bigcode"}, Positions: "learned", Attention: "one KV head for all, causal", Norm: "LayerNorm before", Activation: "GELU (tanh)",
		Proof: []string{"gpt-bigcode", "gpt-bigcode-mha"}},
	{Name: "Llama 2", Kind: Decoder, Year: 2023, Month: 7, Open: true, Paper: "Touvron et al., Llama 2: Open Foundation and Fine-Tuned Chat Models",
		Families: []string{"llama"}, Positions: "rotary", Attention: "grouped KV heads, causal", Norm: "RMSNorm before", Activation: "SwiGLU",
		Proof: []string{"llama"}},
	{Name: "phi-1.5, phi-2", Kind: Decoder, Year: 2023, Month: 9, Open: true, Paper: "Li et al., Textbooks Are All You Need II: phi-1.5 technical report",
		Families: []string{"phi"}, Positions: "rotary, part of each head", Attention: "multi-head, causal, beside the feed-forward layer", Norm: "LayerNorm before, one for both", Activation: "GELU (tanh)",
		Proof: []string{"phi"}},
	{Name: "Mistral", Kind: Decoder, Year: 2023, Month: 10, Open: true, Paper: "Jiang et al., Mistral 7B",
		Families: []string{"mistral"}, Positions: "rotary", Attention: "grouped KV heads, causal, in a window", Norm: "RMSNorm before", Activation: "SwiGLU",
		Proof: []string{"mistral"}},
	{Name: "Falcon", Kind: Decoder, Year: 2023, Month: 11, Open: true, Paper: "Almazrouei et al., The Falcon Series of Open Language Models",
		Families: []string{"falcon"}, Positions: "rotary, or ALiBi in bfloat16", Attention: "one or a few KV heads, causal, beside the feed-forward layer", Norm: "LayerNorm before, one or two", Activation: "GELU",
		Proof: []string{"falcon-mqa", "falcon-new", "falcon-alibi", "falcon-alibi12"}},
	{Name: "Mixtral", Kind: Decoder, Year: 2024, Month: 1, Open: true, Paper: "Jiang et al., Mixtral of Experts",
		Families: []string{"mixtral"}, Positions: "rotary", Attention: "grouped KV heads, causal", Norm: "RMSNorm before", Activation: "SwiGLU, 2 of 8 experts a token",
		Proof: []string{"mixtral"}},
	{Name: "StarCoder2", Kind: Decoder, Year: 2024, Month: 2, Open: true, Paper: "Lozhkov et al., StarCoder 2 and The Stack v2: The Next Generation",
		Families: []string{"starcoder2"}, Positions: "rotary", Attention: "grouped KV heads, causal, in a window", Norm: "LayerNorm before", Activation: "GELU (tanh)",
		Proof: []string{"starcoder2"}},
	{Name: "Gemma", Kind: Decoder, Year: 2024, Month: 3, Open: true, Paper: "Gemma Team, Gemma: Open Models Based on Gemini Research and Technology",
		Families: []string{"gemma"}, Positions: "rotary", Attention: "multi-head, or one KV head for all, causal", Norm: "RMSNorm (1+w) before", Activation: "GeGLU",
		Proof: []string{"gemma"}},
	{Name: "Phi-3", Kind: Decoder, Year: 2024, Month: 4, Open: true, Paper: "Abdin et al., Phi-3 Technical Report: A Highly Capable Language Model Locally on Your Phone",
		Families: []string{"phi3"}, Positions: "rotary, other frequencies for long texts", Attention: "grouped KV heads, causal, in a window", Norm: "RMSNorm before", Activation: "SwiGLU",
		Proof: []string{"phi3", "phi3-longrope"}},
	{Name: "Qwen2", Kind: Decoder, Year: 2024, Month: 7, Open: true, Paper: "Yang et al., Qwen2 Technical Report",
		Families: []string{"qwen2"}, Positions: "rotary", Attention: "grouped KV heads, causal; biases of q, k, v", Norm: "RMSNorm before", Activation: "SwiGLU",
		Proof: []string{"qwen2", "qwen2-nowindow"}},
	{Name: "Llama 3", Kind: Decoder, Year: 2024, Month: 7, Open: true, Paper: "Grattafiori et al., The Llama 3 Herd of Models",
		Families: []string{"llama"}, Positions: "rotary, low frequencies stretched", Attention: "grouped KV heads, causal", Norm: "RMSNorm before", Activation: "SwiGLU",
		Proof: []string{"llama-rope3"}},
	{Name: "Gemma 2", Kind: Decoder, Year: 2024, Month: 8, Open: true, Paper: "Gemma Team, Gemma 2: Improving Open Language Models at a Practical Size",
		Families: []string{"gemma2"}, Positions: "rotary", Attention: "grouped KV heads, causal; windows in every other layer, scores capped", Norm: "RMSNorm (1+w) before and after", Activation: "GeGLU",
		Proof: []string{"gemma2"}},
	{Name: "Gemma 3", Kind: Decoder, Year: 2025, Month: 3, Open: true, Paper: "Gemma Team, Gemma 3 Technical Report",
		Families: []string{"gemma3"}, Positions: "rotary, one base for windows and one for all", Attention: "grouped KV heads, causal; five windows to one full, q and k normed", Norm: "RMSNorm (1+w) before and after", Activation: "GeGLU",
		Proof: []string{"gemma3"}},
	{Name: "Qwen3", Kind: Decoder, Year: 2025, Month: 5, Open: true, Paper: "Yang et al., Qwen3 Technical Report",
		Families: []string{"qwen3", "qwen3-moe"}, Positions: "rotary", Attention: "grouped KV heads, causal; q and k normed a head", Norm: "RMSNorm before", Activation: "SwiGLU; or 8 of 128 experts a token",
		Proof: []string{"qwen3", "qwen3-moe", "qwen3-moe-raw"}},

	{Name: "BERT", Kind: Encode, Year: 2018, Month: 10, Open: true, Paper: "Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
		Families: []string{"bert"}, Positions: "learned", Attention: "multi-head, both ways", Norm: "LayerNorm after", Activation: "GELU",
		Proof: []string{"bert-base", "bert-mlm", "bert-pretrain", "bert-qa", "bert-seqcls", "bert-tokcls"}},
	{Name: "RoBERTa", Kind: Encode, Year: 2019, Month: 7, Open: true, Paper: "Liu et al., RoBERTa: A Robustly Optimized BERT Pretraining Approach",
		Families: []string{"roberta"}, Positions: "learned, after the padding's row", Attention: "multi-head, both ways", Norm: "LayerNorm after", Activation: "GELU",
		Proof: []string{"roberta-mlm", "roberta-pad", "roberta-seqcls"}},
	{Name: "ALBERT", Kind: Encode, Year: 2019, Month: 9, Open: true, Paper: "Lan et al., ALBERT: A Lite BERT for Self-supervised Learning of Language Representations"},
	{Name: "DistilBERT", Kind: Encode, Year: 2019, Month: 10, Open: true, Paper: "Sanh et al., DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter",
		Families: []string{"distilbert"}, Positions: "learned", Attention: "multi-head, both ways", Norm: "LayerNorm after", Activation: "GELU",
		Proof: []string{"distilbert-mlm"}},
	{Name: "XLM-RoBERTa", Kind: Encode, Year: 2019, Month: 11, Open: true, Paper: "Conneau et al., Unsupervised Cross-lingual Representation Learning at Scale",
		Families: []string{"xlm-roberta"}, Positions: "learned, after the padding's row", Attention: "multi-head, both ways", Norm: "LayerNorm after", Activation: "GELU",
		Proof: []string{"xlm-roberta-mlm"}},
	{Name: "ELECTRA", Kind: Encode, Year: 2020, Month: 3, Open: true, Paper: "Clark et al., ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators",
		Families: []string{"electra"}, Positions: "learned", Attention: "multi-head, both ways", Norm: "LayerNorm after", Activation: "GELU",
		Proof: []string{"electra-mlm"}},
	{Name: "DeBERTa", Kind: Encode, Year: 2020, Month: 6, Open: true, Paper: "He et al., DeBERTa: Decoding-enhanced BERT with Disentangled Attention",
		Families: []string{"deberta-v2"}, Positions: "relative, by content", Attention: "multi-head, both ways: content to content, content to position, position to content", Norm: "LayerNorm after", Activation: "GELU",
		Proof: []string{"deberta-v2-mlm"}},
	{Name: "DeBERTa-v3", Kind: Encode, Year: 2021, Month: 11, Open: true, Paper: "He et al., DeBERTaV3: Improving DeBERTa using ELECTRA-Style Pre-Training with Gradient-Disentangled Embedding Sharing",
		Families: []string{"deberta-v2"}, Positions: "relative, by content, in logarithmic buckets", Attention: "multi-head, both ways: content to content, content to position, position to content", Norm: "LayerNorm after", Activation: "GELU",
		Proof: []string{"deberta-v2-mlm"}},
	{Name: "ModernBERT", Kind: Encode, Year: 2024, Month: 12, Open: true, Paper: "Warner et al., Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder",
		Families: []string{"modernbert"}, Positions: "rotary, one base for windows and one for all", Attention: "multi-head, both ways; two windows to one full", Norm: "LayerNorm before", Activation: "GeGLU",
		Proof: []string{"modernbert-mlm"}},

	{Name: "Transformer", Kind: Seq2Seq, Year: 2017, Month: 6, Paper: "Vaswani et al., Attention Is All You Need"},
	{Name: "BART", Kind: Seq2Seq, Year: 2019, Month: 10, Open: true, Paper: "Lewis et al., BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation, Translation, and Comprehension",
		Families: []string{"bart"}, Positions: "learned, from row 2", Attention: "multi-head; encoder both ways, decoder causal and to the encoder", Norm: "LayerNorm after", Activation: "GELU",
		Proof: []string{"bart"}},
	{Name: "T5", Kind: Seq2Seq, Year: 2019, Month: 10, Open: true, Paper: "Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
		Families: []string{"t5"}, Positions: "a bias by distance, in logarithmic buckets", Attention: "multi-head, scores not scaled; encoder both ways, decoder causal and to the encoder", Norm: "RMSNorm before", Activation: "ReLU; v1.1: GeGLU",
		Proof: []string{"t5", "t5-v11"}},
	{Name: "mT5", Kind: Seq2Seq, Year: 2020, Month: 10, Open: true, Paper: "Xue et al., mT5: A massively multilingual pre-trained text-to-text transformer",
		Families: []string{"t5"}, Positions: "a bias by distance, in logarithmic buckets", Attention: "multi-head, scores not scaled; encoder both ways, decoder causal and to the encoder", Norm: "RMSNorm before", Activation: "GeGLU",
		Proof: []string{"mt5"}},
	{Name: "Switch", Kind: Seq2Seq, Year: 2021, Month: 1, Open: true, Paper: "Fedus et al., Switch Transformers: Scaling to Trillion Parameter Models with Simple and Efficient Sparsity"},
	{Name: "T0", Kind: Seq2Seq, Year: 2021, Month: 10, Open: true, Paper: "Sanh et al., Multitask Prompted Training Enables Zero-Shot Task Generalization",
		Families: []string{"t5"}, Positions: "a bias by distance, in logarithmic buckets", Attention: "multi-head, scores not scaled; encoder both ways, decoder causal and to the encoder", Norm: "RMSNorm before", Activation: "GeGLU",
		Proof: []string{"t5-v11"}},
	{Name: "AlphaCode", Kind: Seq2Seq, Year: 2022, Month: 2, Paper: "Li et al., Competition-Level Code Generation with AlphaCode"},
	{Name: "UL2", Kind: Seq2Seq, Year: 2022, Month: 5, Open: true, Paper: "Tay et al., UL2: Unifying Language Learning Paradigms"},
	{Name: "Flan-T5", Kind: Seq2Seq, Year: 2022, Month: 10, Open: true, Paper: "Chung et al., Scaling Instruction-Finetuned Language Models",
		Families: []string{"t5"}, Positions: "a bias by distance, in logarithmic buckets", Attention: "multi-head, scores not scaled; encoder both ways, decoder causal and to the encoder", Norm: "RMSNorm before", Activation: "GeGLU",
		Proof: []string{"t5-v11"}},
}
