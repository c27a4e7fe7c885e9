package erpbroker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
)

// numbers knows what the ERP calls the plant's objects. Each is written to a file before anybody hears of it.
type numbers struct {
	mu      sync.Mutex
	file    *os.File
	known   map[string]string // by object; guarded by mu
	changed chan struct{}     // closed and replaced when there is one more; guarded by mu
}

func openNumbers(file string) (*numbers, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the ERP's numbers: %w", err)
	}
	n := &numbers{file: f, known: map[string]string{}, changed: make(chan struct{})}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if object, number, ok := strings.Cut(lines.Text(), "\t"); ok {
			n.known[object] = number
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the ERP's numbers: %w", err)
	}
	return n, nil
}

func (n *numbers) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.file.Close()
}

// watch gives a channel that is closed when there is one more number than now.
func (n *numbers) watch() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

// resolve is a mapping's question for a number.
func (n *numbers) resolve(_ context.Context, object string) (string, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	number, ok := n.known[object]
	return number, ok, nil
}

// put keeps a number. One that could not be written is known until the process ends.
func (n *numbers) put(object, number string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known[object] == number {
		return nil
	}
	n.known[object] = number
	close(n.changed)
	n.changed = make(chan struct{})
	if _, err := fmt.Fprintf(n.file, "%s\t%s\n", object, number); err != nil {
		return fmt.Errorf("keep the number of %s: %w", object, err)
	}
	return nil
}
