package main

// Peers: child processes that answer one JSON request a line. bench/peers/README.md
// has the protocol.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// peer is a running one. One request is asked at a time.
type peer struct {
	name   string
	ready  peerReady
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan []byte
	errors *tail

	started time.Duration
}

// peerReady is a peer's first line.
type peerReady struct {
	Ready    bool      `json:"ready"`
	Peer     string    `json:"peer"`
	Version  string    `json:"version"`
	Threads  int       `json:"threads"`
	Settings []string  `json:"settings"`
	Rows     []peerRow `json:"rows"`
}

// peerRow says which settings do which work in which arithmetic.
type peerRow struct {
	Work     string   `json:"work"`
	Type     string   `json:"type"`
	Settings []string `json:"settings"`
}

// request is what a peer is asked; zero fields are left out.
type request struct {
	Work      string `json:"work"`
	Model     string `json:"model,omitempty"`
	Setting   string `json:"setting,omitempty"`
	Type      string `json:"type,omitempty"`
	Tokens    int    `json:"tokens,omitempty"`
	Depth     *int   `json:"depth,omitempty"`
	File      string `json:"file,omitempty"`
	Text      string `json:"text,omitempty"`
	Sorted    bool   `json:"sorted,omitempty"`
	Batch     int    `json:"batch,omitempty"`
	Reference string `json:"reference,omitempty"`
	M         int    `json:"m,omitempty"`
	K         int    `json:"k,omitempty"`
	N         int    `json:"n,omitempty"`
}

// answer is what comes back.
type answer struct {
	Error     string   `json:"error"`
	TokensS   float64  `json:"tok_s"`
	SeqS      float64  `json:"seq_s"`
	P50       float64  `json:"p50_ms"`
	GFLOPs    float64  `json:"gflops"`
	CosineMin *float64 `json:"cosine_min"`
	Vectors   string   `json:"vectors_file"`
	Count     int      `json:"count"`
	Dim       int      `json:"dim"`
	Path      string   `json:"path"`
	System    string   `json:"system"`
	Buffers   []string `json:"buffers"`
	Wall      float64  `json:"wall_s"`
	IdleCPU   float64  `json:"idle_cpu_ms"`
	Idle      float64  `json:"idle_s"`
}

// peerPatience is how long an answer may take: the first of a kind may compile for minutes.
const peerPatience = 20 * time.Minute

// startPeer starts a peer and waits until it is ready, which may take its installation.
func startPeer(ctx context.Context, name string, cmd *exec.Cmd) (*peer, error) {
	p := &peer{name: name, cmd: cmd, lines: make(chan []byte), errors: &tail{}}
	cmd.Stderr = p.errors
	cmd.WaitDelay = 5 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in = in
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("peer %s: %w", name, err)
	}
	go func() {
		defer close(p.lines)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			p.lines <- line
		}
	}()
	if err := p.receive(ctx, &p.ready); err != nil {
		return nil, errors.Join(fmt.Errorf("peer %s: %w", name, err), p.close())
	}
	if !p.ready.Ready {
		return nil, errors.Join(fmt.Errorf("peer %s: its first line does not say that it is ready", name), p.close())
	}
	p.started = time.Since(start)
	return p, nil
}

func (p *peer) receive(ctx context.Context, to any) error {
	limit := time.NewTimer(peerPatience)
	defer limit.Stop()
	select {
	case line, ok := <-p.lines:
		if !ok {
			return fmt.Errorf("it ended; its last words: %s", p.errors.text())
		}
		if err := json.Unmarshal(line, to); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
		return nil
	case <-limit.C:
		return fmt.Errorf("no answer in %v", peerPatience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask sends a request and waits for its answer. An answer that is an error is a
// *settingError: the peer lives on.
func (p *peer) ask(ctx context.Context, q request) (answer, error) {
	line, err := json.Marshal(q)
	if err != nil {
		return answer{}, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return answer{}, fmt.Errorf("peer %s: %w; its last words: %s", p.name, err, p.errors.text())
	}
	var a answer
	if err := p.receive(ctx, &a); err != nil {
		return answer{}, fmt.Errorf("peer %s: %s: %w", p.name, line, err)
	}
	if a.Error != "" {
		return a, &settingError{p.name, q.Setting, a.Error}
	}
	return a, nil
}

// settingError is a request that a peer could not do.
type settingError struct{ peer, setting, text string }

func (e *settingError) Error() string {
	return fmt.Sprintf("%s %s: %s", e.peer, e.setting, e.text)
}

// settings are those that do a work in an arithmetic, in the peer's order.
func (p *peer) settings(work, kind string) []string {
	var all []string
	for _, r := range p.ready.Rows {
		if r.Work == work && (r.Type == kind || r.Type == "any") {
			all = append(all, r.Settings...)
		}
	}
	return all
}

// close ends a peer: it goes when its input ends, or is made to.
func (p *peer) close() error {
	_ = p.in.Close() // it may have ended by itself
	done := make(chan struct{})
	go func() {
		for range p.lines { // what it still has to say
		}
		_ = p.cmd.Wait() // how it ends is its own affair
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		if err := p.cmd.Process.Kill(); err != nil {
			return fmt.Errorf("peer %s: %w", p.name, err)
		}
		<-done
	}
	return nil
}

// tail keeps the last lines that were written to it.
type tail struct {
	mu   sync.Mutex
	last []byte
}

const tailBytes = 2000

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, b...)
	if n := len(t.last) - tailBytes; n > 0 {
		t.last = slices.Delete(t.last, 0, n)
	}
	return len(b), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.last))
}
