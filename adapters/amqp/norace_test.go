//go:build !race

package amqp

// raced tells that the race detector is on.
const raced = false
