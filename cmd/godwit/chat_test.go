package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ml/godwit"
)

// talker is a copy of a checkpoint that has a chat template.
func talker(t testing.TB) string {
	t.Helper()
	dir := copyOf(t, checkpoints+"gpt2")
	file := filepath.Join(dir, "tokenizer_config.json")
	var config map[string]any
	readJSON(t, file, &config)
	config["chat_template"] = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
	writeJSON(t, file, config)
	return dir
}

// TestChatRemembers: each turn reads the turns before it.
func TestChatRemembers(t *testing.T) {
	dir := talker(t)
	got := command(t, "hello\n\nand then?\n", "chat", "-q", "-m", dir, "-n", "4", "--json", "--system", "Be brief.")
	if got.status != 0 {
		t.Fatalf("status %d: %s", got.status, got.stderr)
	}
	turns := jsonLines[godwit.Result](t, got.out)
	if len(turns) != 2 {
		t.Fatalf("%d answers: %s", len(turns), got.out)
	}
	m, err := godwit.Open(t.Context(), dir, godwit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	messages := []godwit.Message{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "hello"}}
	for i, turn := range turns {
		want, err := m.Complete(t.Context(), godwit.Request{Messages: messages, MaxTokens: 4})
		if err != nil {
			t.Fatal(err)
		}
		if turn.Choices[0].Text != want.Text || turn.Usage.PromptTokens != want.Usage.PromptTokens {
			t.Errorf("turn %d: %q of %d tokens, want %q of %d", i, turn.Choices[0].Text, turn.Usage.PromptTokens, want.Text, want.Usage.PromptTokens)
		}
		messages = append(messages, godwit.Message{Role: "assistant", Content: want.Text}, godwit.Message{Role: "user", Content: "and then?"})
	}
}

func TestChatCommands(t *testing.T) {
	dir, file := talker(t), filepath.Join(t.TempDir(), "talk.json")
	got := command(t, strings.Join([]string{"hi", "/save " + file, "/save", "/nonsense", "/help", "/clear", "/save " + file + "2", "/exit", "never read"}, "\n"),
		"chat", "-m", dir, "-n", "3")
	if got.status != 0 {
		t.Fatalf("status %d: %s", got.status, got.stderr)
	}
	var messages []godwit.Message
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &messages); err != nil || len(messages) != 2 || messages[0].Content != "hi" || messages[1].Role != "assistant" {
		t.Errorf("saved %+v %v", messages, err)
	}
	if want := messages[1].Content; strings.TrimSuffix(got.out, "\n") != strings.TrimSuffix(want, "\n") {
		t.Errorf("printed %q, saved %q", got.out, want)
	}
	if data, err := os.ReadFile(file + "2"); err != nil || strings.TrimSpace(string(data)) != "null" {
		t.Errorf("after /clear: %s %v", data, err)
	}
	for _, want := range []string{"2 messages", "/save wants", "/nonsense is no command", "/help says this"} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("no %q in %q", want, got.stderr)
		}
	}
}

// TestChatTooLong: a conversation that no longer fits goes on without the turn.
func TestChatTooLong(t *testing.T) {
	got := command(t, strings.Repeat("word ", 200)+"\nhi\n", "chat", "-m", talker(t), "-n", "3")
	if got.status != 0 || !strings.Contains(got.stderr, "/clear begins a new one") || strings.TrimSpace(got.out) == "" {
		t.Errorf("status %d: %q, %q", got.status, got.out, got.stderr)
	}
}

func TestChatNeedsATemplate(t *testing.T) {
	got := command(t, "hi\n", "chat", "-m", checkpoints+"gpt2")
	if got.status != statusUnsupported || !strings.Contains(got.stderr, "generate") {
		t.Errorf("status %d: %s", got.status, got.stderr)
	}
}

// TestChatInterrupt: Ctrl-C stops the answer, and the chat goes on.
func TestChatInterrupt(t *testing.T) {
	c, stdin, stdout, stderr := child(t, patience, "chat", "-m", talker(t), "-c", "128")
	answers := make(chan string, 64)
	go func() {
		defer close(answers)
		for scan := bufio.NewScanner(stdout); scan.Scan(); {
			answers <- scan.Text()
		}
	}()
	ask := func(line string) {
		if _, err := stdin.Write([]byte(line + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	ask("hello")
	select { // an answer: the chat is there, and has taken the interrupts
	case <-answers:
	case <-time.After(patience):
		t.Fatal("no answer")
	}
	ask("and then?")
	time.Sleep(30 * time.Millisecond)
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // nobody answers now: this one asks how to leave
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ask("/help")
	ask("/exit")
	ends(t, c, statusDone, stderr)
	if !strings.Contains(stderr.String(), "/help says this") {
		t.Errorf("the chat ended with the answer: %s", stderr)
	}
}

func TestScoreCommand(t *testing.T) {
	out := must(t, "to be\nor not\n", "score", "-q", "-m", checkpoints+"gpt2", "--json", "--logprobs", "2", "-p", "Hamlet said ")
	lines := jsonLines[scored](t, out)
	if len(lines) != 2 || lines[1].Index != 1 || len(lines[0].Tokens[0].Top) != 2 || lines[0].Logprob >= 0 || lines[0].Perplexity <= 1 {
		t.Errorf("%+v", lines)
	}
	text := must(t, "", "score", "-q", "-m", checkpoints+"gpt2", "--logprobs", "1", "to be")
	if !strings.Contains(text, "perplexity") || strings.Count(text, "\n") < 3 {
		t.Errorf("%q", text)
	}
	if got := command(t, "", "score", "-m", checkpoints+"bert-mlm", "to be"); got.status != statusUnsupported {
		t.Errorf("an encoder: status %d", got.status)
	}
}

func TestModels(t *testing.T) {
	hub := t.TempDir()
	t.Setenv("HF_HUB_CACHE", hub)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	snapshot := filepath.Join(hub, "models--owner--name", "snapshots", "abc")
	for file, text := range map[string]string{"config.json": "{}", "model.safetensors": "12345678"} {
		if err := os.MkdirAll(snapshot, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(snapshot, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	refs := filepath.Join(hub, "models--owner--name", "refs")
	if err := os.MkdirAll(refs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(refs, "main"), []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	lines := jsonLines[localModel](t, must(t, "", "models", "--json"))
	if len(lines) != 1 || lines[0].Name != "owner/name" || lines[0].Bytes != 10 || lines[0].Format != "safetensors" || lines[0].Path != snapshot {
		t.Errorf("%+v", lines)
	}
	if out := must(t, "", "models"); !strings.Contains(out, "owner/name") {
		t.Errorf("%q", out)
	}
}
