package console

import (
	"context"
	"net"
	"net/http"
	"strings"

	"holdfast/internal/access"
	"holdfast/internal/problem"
)

// Local lets in whoever sits at this machine, as the user "local". It is for a plant that nobody signs in to: requests from elsewhere, and
// by a name which is not this machine's own, are refused.
type Local struct{}

// Who implements Gate.
func (Local) Who(r *http.Request, _ string) (access.Actor, error) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if !loopback(host) || !loopback(hostOf(r.Host)) {
		return access.Actor{}, &problem.Error{
			Kind: problem.Denied, What: "open the console", Why: "nobody signs in to this plant, so it serves this machine alone",
			Hint: "open it as http://127.0.0.1 or http://localhost on the machine itself",
		}
	}
	return access.Actor{Name: "local", From: host}, nil
}

// hostOf is a host without its port.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	return host
}

// loopback tells whether a host is this machine to itself.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

type actorKey struct{}

// actorOf is who makes the request.
func actorOf(ctx context.Context) access.Actor {
	a, _ := ctx.Value(actorKey{}).(access.Actor)
	return a
}

// admitted serves whom the gate lets in.
func (c *Console) admitted(action string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := c.Gate.Who(r, action)
		if err != nil {
			if !c.toSignIn(w, r, err) && !c.keeps(w, r, err) {
				c.fail(w, r, err)
			}
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), actorKey{}, who)))
	}
}
