package rabbit

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// control calls the node's own program for its control.
func (n *Node) control(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(n.program), "rabbitmqctl"), append([]string{"-q"}, args...)...) //nolint:gosec // a program of the system
	cmd.Dir, cmd.Env = n.dir, n.environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("rabbitmqctl %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}

// CloseConnections has the node close every connection that clients have.
func (n *Node) CloseConnections(ctx context.Context) error {
	return n.control(ctx, "close_all_connections", "by torture")
}

// leastFree is the free space below which the node takes nothing more.
const leastFree = "50MB"

// Fill has the node take its disk for full: it takes nothing, until Free or its next start.
func (n *Node) Fill(ctx context.Context) error {
	return n.control(ctx, "set_disk_free_limit", "1000000GB")
}

// Free has it find its disk as it is.
func (n *Node) Free(ctx context.Context) error {
	return n.control(ctx, "set_disk_free_limit", leastFree)
}

// Limit has each queue turn away what comes while some messages wait in it, until Unlimit.
func (n *Node) Limit(ctx context.Context) error {
	return n.control(ctx, "set_policy", "--apply-to", "queues", "full", ".*", `{"max-length":5,"overflow":"reject-publish"}`)
}

// Unlimit undoes Limit.
func (n *Node) Unlimit(ctx context.Context) error { return n.control(ctx, "clear_policy", "full") }

// Restart ends the node and starts it again with all it holds.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Stop(); err != nil {
		return err
	}
	return n.Start(ctx)
}
