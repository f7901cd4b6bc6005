package main

// What only a process shows: signals and closed pipes.

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is what these tests give a process that should end within a second: the
// machine may be busy with other packages. What they have it do takes minutes.
const patience = 10 * time.Second

// child starts this test program as the command, which after an interrupt may
// take so long to end by itself.
func child(t *testing.T, grace time.Duration, args ...string) (*exec.Cmd, io.WriteCloser, io.ReadCloser, *bytes.Buffer) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("one process cannot send another Ctrl-C here")
	}
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), "GODWIT_TEST_COMMAND="+grace.String())
	var stderr bytes.Buffer
	c.Stderr = &stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	hang := time.AfterFunc(4*patience, func() { _ = c.Process.Kill() }) // a test that waits for its output must not hang
	t.Cleanup(func() {
		hang.Stop()
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	return c, stdin, stdout, &stderr
}

// ends waits for a child that has to end.
func ends(t *testing.T, c *exec.Cmd, status int, stderr *bytes.Buffer) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("it does not end")
		_ = c.Process.Kill()
		<-done
		return
	}
	if got := c.ProcessState.ExitCode(); got != status {
		t.Errorf("status %d, want %d; standard error: %s", got, status, stderr)
	}
	if strings.Contains(stderr.String(), "goroutine ") {
		t.Errorf("panic: %s", stderr)
	}
}

// endless is a Llama with room for a very long answer.
func endless(t *testing.T) string {
	dir := copyOf(t, checkpoints+"llama")
	for _, name := range []string{"config.json", "generation_config.json"} {
		var fields map[string]any
		readJSON(t, filepath.Join(dir, name), &fields)
		if name == "config.json" {
			fields["max_position_embeddings"] = 200_000
		}
		fields["eos_token_id"] = []int{0} // the padding token, which greedy answers do not have
		writeJSON(t, filepath.Join(dir, name), fields)
	}
	return dir
}

func TestInterruptWhileGenerating(t *testing.T) {
	c, _, stdout, stderr := child(t, time.Hour, "generate", "-m", endless(t), "-n", "150000", "-p", "The transformer")
	out := bufio.NewReader(stdout)
	if _, err := out.ReadByte(); err != nil {
		t.Fatalf("no token came: %v, %s", err, stderr)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(out)
	if len(rest) > 0 && rest[len(rest)-1] != '\n' {
		t.Errorf("what was generated does not end in a line end: %q", rest[max(0, len(rest)-20):])
	}
	ends(t, c, statusInterrupted, stderr)
	if stderr.Len() > 0 {
		t.Errorf("standard error: %q", stderr)
	}
}

func TestInterruptWhileReading(t *testing.T) {
	for _, args := range [][]string{{"generate", "-m", checkpoints + "gpt2"}, {"embed", "-m", checkpoints + "bert-mlm", "--json"}} {
		c, stdin, stdout, stderr := child(t, time.Hour, args...)
		if _, err := io.WriteString(stdin, "the first line\n"); err != nil {
			t.Fatal(err)
		}
		if args[0] == "embed" { // its result comes at once: lines need not fill a batch
			line, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, `{"index":0,`) {
				t.Errorf("got %q, %v", line, err)
			}
		} else {
			time.Sleep(time.Second) // it has begun to listen, on a busy machine too
		}
		if err := c.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		ends(t, c, statusInterrupted, stderr)
		stdin.Close()
	}
}

// TestInterruptWhileBlocked interrupts a command that nobody reads from: a write
// does not return, and still the process ends, by itself after the grace or at
// once with a second signal.
func TestInterruptWhileBlocked(t *testing.T) {
	for _, row := range []struct {
		grace   time.Duration
		signals int
	}{{100 * time.Millisecond, 1}, {time.Hour, 2}} {
		c, _, stdout, stderr := child(t, row.grace, "generate", "-m", endless(t), "-n", "150000", "--tokens", "--logprobs", "400", "-p", "The")
		if _, err := stdout.Read(make([]byte, 1)); err != nil {
			t.Fatalf("no token came: %v, %s", err, stderr)
		}
		time.Sleep(300 * time.Millisecond) // the pipe is full
		for range row.signals {
			if err := c.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond) // two at once would be one
		}
		ended := make(chan *os.ProcessState, 1)
		go func() {
			state, _ := c.Process.Wait() // without reading the pipe to its end
			ended <- state
		}()
		select {
		case state := <-ended:
			if state.ExitCode() != statusInterrupted {
				t.Errorf("%+v: status %d", row, state.ExitCode())
			}
		case <-time.After(patience):
			t.Errorf("%+v: still running", row)
			_ = c.Process.Kill()
		}
		stdout.Close()
	}
}

// TestClosedPipe holds that a command whose reader has gone ends by itself, as in
// godwit … | head -1.
func TestClosedPipe(t *testing.T) {
	for _, args := range [][]string{
		{"generate", "-q", "-m", endless(t), "-n", "150000", "-p", "The transformer"},
		{"embed", "-q", "-m", checkpoints + "bert-mlm"},
		{"tokenize", "-q", "-m", checkpoints + "bert-mlm"},
	} {
		c, stdin, stdout, stderr := child(t, time.Hour, args...)
		go func() { // more than it should ever take
			for i := 0; i < 1_000_000; i++ {
				if _, err := io.WriteString(stdin, "the transformer attends\n"); err != nil {
					return
				}
			}
			stdin.Close()
		}()
		if _, err := bufio.NewReader(stdout).ReadByte(); err != nil {
			t.Fatalf("%q: nothing came: %v, %s", args, err, stderr)
		}
		stdout.Close()
		ends(t, c, statusDone, stderr)
		if stderr.Len() > 0 {
			t.Errorf("%q: standard error: %q", args, stderr)
		}
	}
}
