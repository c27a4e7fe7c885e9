package rabbit

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// CloseConnections has the node close every connection that clients have.
func (n *Node) CloseConnections(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(n.program), "rabbitmqctl"), "-q", "close_all_connections", "by torture") //nolint:gosec // a program of the system
	cmd.Dir, cmd.Env = n.dir, n.environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("close the connections of RabbitMQ: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Restart ends the node and starts it again with all it holds.
func (n *Node) Restart(ctx context.Context) error {
	if err := n.Stop(); err != nil {
		return err
	}
	return n.Start(ctx)
}
