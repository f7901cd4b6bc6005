// Package template renders chat templates: the Jinja subset in which checkpoints
// say how a conversation becomes a prompt.
//
// It renders what Python's jinja2 renders under the settings of Hugging Face
// transformers: an immutable sandbox, trim_blocks and lstrip_blocks, break and
// continue, {% generation %}, tojson without HTML escaping and with the keys in
// their order, raise_exception and strftime_now.
//
// Two things differ from a template engine for web pages. A template comes with
// a checkpoint, so it is untrusted: every Render has a budget of steps, nesting,
// memory, output and time, and exceeding one is a [LimitError]. And the messages
// are more untrusted still: a value wrapped in [User] is followed through the
// whole evaluation, and Render returns the text in [Segment]s that say which
// bytes came from it, so that a tokenizer reads control tokens in the template's
// own text only.
//
//	t, err := template.Parse(source)
//	segments, err := t.Render(ctx, template.NewMap(
//		template.Pair{Key: "messages", Value: messages},
//		template.Pair{Key: "add_generation_prompt", Value: true},
//	), template.Config{})
//
// Differences from jinja2, all of them refusals or niceties: include, import,
// extends, block, trans and autoescape are refused while parsing; the filters
// filesizeformat, pprint, random, striptags, urlencode, urlize, wordwrap and
// xmlattr, the functions lipsum and cycler, and str.encode, translate and
// maketrans do not exist; an unknown filter or test is an error only when it is
// reached; invalid UTF-8 becomes U+FFFD. One quirk of jinja2's compiler is not
// imitated: a loop that reads a variable of the caller which the template sets
// further down sees it here, and finds it undefined there.
package template
