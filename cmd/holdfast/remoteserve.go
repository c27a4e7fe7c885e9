package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/problem"
)

// called is a command that somebody elsewhere has this process run.
type called struct {
	p     *process
	by    access.Actor
	files map[string][]byte // that came along, by the names that the caller gave them
	said  *saying
}

type calledKey struct{}

// calledFrom is the call that ctx belongs to; nil for a command of this machine.
func calledFrom(ctx context.Context) *called {
	if ctx == nil { // of a command that is only looked at
		return nil
	}
	c, _ := ctx.Value(calledKey{}).(*called)
	return c
}

// records are what the process works with itself, in the name of the caller.
func (c *called) records() *records {
	p, cfg := c.p, c.p.cfg
	cfg.by = &c.by
	return &records{cfg: cfg, db: p.db, out: p.outbox, in: p.inbox, doer: p.doer, jobs: p.jobs, plant: p.plant, tokens: p.tokens}
}

// command runs one command line in the name of who calls. What it says goes out at once; its status is the last line.
func (p *process) command(w http.ResponseWriter, r *http.Request, by access.Actor) {
	var call remoteCall
	from := json.NewDecoder(r.Body)
	from.DisallowUnknownFields()
	if err := from.Decode(&call); err != nil {
		refuseCall(w, "it is no command of this release: "+err.Error())
		return
	}
	if err := call.known(); err != "" {
		refuseCall(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	s := &saying{to: w, flush: http.NewResponseController(w), call: call}
	_ = s.say(remoteSaid{}) // so that the caller knows that it was heard; who has left needs no answer
	ctx := context.WithValue(r.Context(), calledKey{}, &called{p, by, call.Files, s})
	exit := run(ctx, call.Args, sayingTo{s, func(b []byte) remoteSaid { return remoteSaid{Out: b} }}, sayingTo{s, func(b []byte) remoteSaid { return remoteSaid{Err: b} }})
	_ = s.say(remoteSaid{Exit: &exit}) // as above
}

// known refuses what is none of the commands that a server runs for others; "" means that it is one.
func (c remoteCall) known() string {
	root := rootCommand()
	words := c.Args
	if len(words) > 0 && words[0] == cobra.ShellCompNoDescRequestCmd {
		words = words[1:]
	}
	cmd, _, err := root.Find(words)
	if err != nil || len(words) == 0 || !slices.Contains(remoteGroups, words[0]) || cmd == root {
		return "it is none of the commands that a server runs for others"
	}
	return ""
}

// refuseCall answers as the API does, before anything was run.
func refuseCall(w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(problem.Invalid.HTTPStatus())
	said := map[string]any{"title": "run a command", "detail": why, "hint": "call with holdfast of the same release, and --server", "status": problem.Invalid.HTTPStatus()}
	_ = json.NewEncoder(w).Encode(said) // who has left needs no answer
}

// saying is an answer as it goes out.
type saying struct {
	mu    sync.Mutex
	to    io.Writer
	flush *http.ResponseController
	call  remoteCall
	err   error // of the first line that did not go out; guarded by mu
}

// say sends one line.
func (s *saying) say(line remoteSaid) error {
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		_, s.err = s.to.Write(append(text, '\n'))
	}
	if s.err == nil {
		s.err = s.flush.Flush()
	}
	return s.err
}

func (s *saying) whole() error { return s.say(remoteSaid{Whole: true}) }

func (s *saying) file() io.Writer {
	return sayingTo{s, func(b []byte) remoteSaid { return remoteSaid{File: b} }}
}

// sayingTo is one of the things that an answer is made of.
type sayingTo struct {
	s    *saying
	line func([]byte) remoteSaid
}

// Write implements io.Writer.
func (t sayingTo) Write(b []byte) (int, error) {
	for piece := range slices.Chunk(b, mostSaid/2) { // a line of it is a third longer
		if err := t.s.say(t.line(piece)); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (t sayingTo) columns() int   { return max(1, t.s.call.Columns) }
func (t sayingTo) terminal() bool { return t.s.call.Terminal }

// namesThere has a server complete a word.
func namesThere(cmd *cobra.Command, words ...string) ([]string, cobra.ShellCompDirective) {
	call := remoteCall{Args: append(append([]string{cobra.ShellCompNoDescRequestCmd}, pathOf(cmd)...), words...)}
	res, err := call.send(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer res.Body.Close()
	var text bytes.Buffer
	h := hearer{stdout: &text, stderr: io.Discard}
	if h.hear(res.Body) != nil || h.exit != 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var all []string
	for line := range bytes.Lines(text.Bytes()) {
		if line[0] != ':' { // the directive
			all = append(all, string(bytes.TrimSpace(line)))
		}
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}
