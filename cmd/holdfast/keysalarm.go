package main

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/alert"
	"holdfast/internal/seal"
)

// tellOpened has an alert raised for a wrapped secret ID that somebody else has opened.
func (f *floors) tellOpened(k keyring) {
	v, ok := k.Keyring.(*seal.Vault)
	if !ok {
		return
	}
	v.WhenOpened(func(why error) {
		soon, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		f.raise(soon, "threat.secret-id-opened", "node/"+f.cfg.node(), why)
	})
}

// unsignedProbes look for messages that are not signed, and for those that were signed late, since they looked last.
func unsignedProbes(node string, count func() (missed, late int64)) []alert.Probe {
	since := func(n func() int64, words string) func(context.Context) (string, error) {
		last := int64(0)
		return func(context.Context) (string, error) {
			now := n()
			more := now - last
			if last = now; more == 0 {
				return "", nil
			}
			return fmt.Sprintf(words, more), nil
		}
	}
	missed := func() int64 { n, _ := count(); return n }
	late := func() int64 { _, n := count(); return n }
	return []alert.Probe{
		{Name: "threat.messages-unsigned", Object: node, Look: since(missed, "%d times a message was not signed, for want of a key that counts: holdfast keys status")},
		{Name: "threat.signed-late", Object: node, Look: since(late,
			"%d messages had no signature in the database and were signed late; unless the node was without a key when they were committed, somebody has taken their signatures away")},
	}
}
