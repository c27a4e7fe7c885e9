package rest

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"

	"holdfast/adapters/wire"
	"holdfast/internal/problem"
)

// credentials resolves the reference once, and again after the ERP refused what it got: secrets are rotated while we run. guard keeps the user
// from being locked.
type credentials struct {
	auth    Auth
	resolve Resolve
	guard   *wire.Guard

	mu     sync.Mutex // guards what follows
	secret string
	known  bool
}

func newCredentials(auth Auth, resolve Resolve) *credentials {
	c := &credentials{auth: auth, resolve: resolve}
	c.guard = wire.NewGuard(c.forget)
	return c
}

// reference is where the secret is, "" if the ERP wants none.
func (c *credentials) reference() string {
	switch {
	case c.auth.Basic != nil:
		return c.auth.Basic.Password
	case c.auth.Header != nil:
		return c.auth.Header.Value
	}
	return c.auth.Bearer
}

// apply signs the request in. answered must be called with the status of its answer, 0 if there was none.
func (c *credentials) apply(ctx context.Context, h http.Header) (answered func(status int), err error) {
	ref := c.reference()
	if ref == "" {
		return func(int) {}, nil
	}
	return c.guard.Enter(ctx, func(ctx context.Context) (string, error) {
		secret, err := c.get(ctx, ref)
		if err == nil {
			c.sign(h, secret)
		}
		return secret, err
	})
}

// sign writes the header.
func (c *credentials) sign(h http.Header, secret string) {
	switch {
	case c.auth.Basic != nil:
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.auth.Basic.User+":"+secret)))
	case c.auth.Header != nil:
		setHeader(h, c.auth.Header.Name, secret)
	default:
		h.Set("Authorization", "Bearer "+secret)
	}
}

func (c *credentials) get(ctx context.Context, ref string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		return c.secret, nil
	}
	secret, err := c.resolve(ctx, ref)
	if err != nil {
		return "", &problem.Error{
			Kind: problem.Denied, What: "credentials of the link", Why: fmt.Sprintf("the secret %s cannot be had", ref),
			Hint: "put it where the reference points, or correct the reference", Cause: err,
		}
	}
	if secret == "" || !validHeader("X", secret) {
		return "", &problem.Error{
			Kind: problem.Denied, What: "credentials of the link", Why: fmt.Sprintf("the secret %s is empty or has line breaks in it", ref),
			Hint: "store the secret alone, without a line break at its end",
		}
	}
	c.secret, c.known = secret, true
	return secret, nil
}

// forget makes the next call resolve the reference again.
func (c *credentials) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secret, c.known = "", false
}
