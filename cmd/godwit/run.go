package main

// From arguments to an exit status, without a process.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// commands is the grammar; each command lies in the file of its name.
type commands struct {
	Demo     demoCmd     `cmd:"" help:"Watch a sentence become a vector, attention and text; needs nothing."`
	Generate generateCmd `cmd:"" help:"Continue a text, or answer in a chat."`
	Chat     chatCmd     `cmd:"" help:"Converse with a model."`
	Score    scoreCmd    `cmd:"" help:"Say how likely a model finds each line."`
	Embed    embedCmd    `cmd:"" help:"Give a vector for each line of text."`
	FillMask fillMaskCmd `cmd:"" help:"Give the likely words at the [MASK] of each line."`
	Classify classifyCmd `cmd:"" help:"Give the labels of each line."`
	Entities entitiesCmd `cmd:"" help:"Give the entities in each line, as names and places."`
	Answer   answerCmd   `cmd:"" help:"Find the part of a text that answers a question."`
	Attend   attendCmd   `cmd:"" help:"Show what each head looks at: a heat map, a picture or a page."`
	Tokenize tokenizeCmd `cmd:"" help:"Show the tokens of each line; loads no weights."`
	Inspect  inspectCmd  `cmd:"" help:"Say what a checkpoint is; reads headers only."`
	Models   modelsCmd   `cmd:"" help:"List the models on this machine that have names."`
	Devices  devicesCmd  `cmd:"" help:"List the devices, usable or not, and why not."`
	Bench    benchCmd    `cmd:"" help:"Measure how fast a model reads and writes, as llama-bench does."`
	Quality  qualityCmd  `cmd:"" help:"Say what an arithmetic costs: perplexity and more against the exact one."`
	PTX      ptxCmd      `cmd:"" name:"ptx" help:"Run, check or count CUDA kernels where there is no GPU."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

const description = "Transformer models from a Hugging Face directory or a GGUF file. Results alone go to standard output."

// answers is what is said to the words that other programs have for commands,
// and to those that godwit does not have yet.
var answers = map[string]string{
	"run":        "the command is: godwit chat -m MODEL",
	"complete":   "the command is: godwit generate -m MODEL TEXT",
	"completion": "the command is: godwit generate -m MODEL TEXT",
	"show":       "the command is: godwit inspect -m MODEL",
	"info":       "the command is: godwit inspect -m MODEL",
	"embedding":  "the command is: godwit embed -m MODEL TEXT",
	"embeddings": "the command is: godwit embed -m MODEL TEXT",
	"list":       "the command is: godwit models",
	"ls":         "the command is: godwit models",
	"ps":         "the command is: godwit models",
	"pull":       "godwit does not download; hf download OWNER/NAME does, and -m OWNER/NAME finds what it left",
	"download":   "godwit does not download; hf download OWNER/NAME does, and -m OWNER/NAME finds what it left",
	"ner":        "the command is: godwit entities -m MODEL TEXT",
	"qa":         "the command is: godwit answer -m MODEL --question QUESTION TEXT",
	"perplexity": "the command is: godwit score -m MODEL TEXT",
	"attention":  "the command is: godwit attend -m MODEL TEXT",
	"benchmark":  "the command is: godwit bench -m MODEL",
	"serve":      "there is no server yet",
}

// exit is what kong would end the process with, after printing help.
type exit int

// run is the command without its process: it gives the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := newStreams(stdin, stdout, stderr)
	name, err := dispatch(ctx, args, s)
	if flushed := s.out.flush(); flushed != nil {
		err = flushed
	}
	return report(ctx, s, name, asksJSON(args), err)
}

// dispatch parses and runs one command, and gives its name.
func dispatch(ctx context.Context, args []string, s *streams) (name string, err error) {
	args = slices.Clone(args)
	switch {
	case len(args) == 0:
		err = &usageError{"no command; godwit --help lists them"}
		return "", err
	case args[0] == "help":
		args = append(args[1:], "--help")
	case args[0] == "--version":
		args[0] = "version"
	}
	var grammar commands
	parser, err := kong.New(&grammar,
		kong.Name("godwit"),
		kong.Description(description),
		kong.Writers(s.out, s.notes),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 80}),
		kong.ExplicitGroups(flagGroups),
		kong.WithHyphenPrefixedParameters(true), // -p "- a list", --presence-penalty -1
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(s),
	)
	if err != nil {
		return "", err
	}
	if word := args[0]; !strings.HasPrefix(word, "-") && !slices.ContainsFunc(parser.Model.Children, func(n *kong.Node) bool { return n.Name == word }) {
		if answer, ok := answers[word]; ok {
			return "", &usageError{fmt.Sprintf("%s: %s", word, answer)}
		}
		var names []string
		for _, n := range parser.Model.Children {
			names = append(names, n.Name)
		}
		return "", &usageError{fmt.Sprintf("%q is no command; there are: %s", word, strings.Join(names, ", "))}
	}
	parsed, err := parse(parser, args)
	if parsed != nil && parsed.Selected() != nil {
		name = strings.TrimPrefix(parsed.Selected().FullPath(), "godwit ") // "ptx run"
	}
	if err != nil || parsed == nil {
		return name, err
	}
	return name, parsed.Run()
}

// parse gives nothing at all when help was asked for and printed.
func parse(parser *kong.Kong, args []string) (parsed *kong.Context, err error) {
	defer func() {
		switch code := recover(); code {
		case nil:
		case exit(0):
			parsed, err = nil, nil
		default:
			panic(code)
		}
	}()
	parsed, err = parser.Parse(args)
	var failed *kong.ParseError
	if errors.As(err, &failed) {
		parsed = failed.Context
	}
	if err != nil {
		err = &usageError{err.Error()}
	}
	return parsed, err
}

// asksJSON finds --json in arguments that may not parse.
func asksJSON(args []string) bool {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return slices.Contains(args, "--json")
}
