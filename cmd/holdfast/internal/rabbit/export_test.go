package rabbit

import "context"

// Control calls rabbitmqctl.
func (n *Node) Control(ctx context.Context, args ...string) error { return n.control(ctx, args...) }
