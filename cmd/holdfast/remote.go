package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"holdfast/internal/httpapi"
	"holdfast/internal/problem"
)

// remoteGroups are the commands that work on a running server too, each with all below it.
var remoteGroups = []string{"status", "msg", "lane", "link", "job", "quarantine"}

// remoteCall is a command for a server: its words as this program has understood them, and the files that they name.
type remoteCall struct {
	Args     []string          `json:"args"`
	Files    map[string][]byte `json:"files,omitempty"`
	Columns  int               `json:"columns"`            // of standard output
	Terminal bool              `json:"terminal,omitempty"` // standard error is one: it is shown how far something is
}

// remoteSaid is one line of the answer: a piece of what the command prints or saves, and at the end its status.
type remoteSaid struct {
	Out  []byte `json:"out,omitempty"`
	Err  []byte `json:"err,omitempty"`
	File []byte `json:"file,omitempty"`
	// Whole ends the file.
	Whole bool `json:"whole,omitempty"`
	Exit  *int `json:"exit,omitempty"`
}

// mostSaid is the longest line of an answer, in bytes.
const mostSaid = 1 << 20

// remotely gives the commands that can the flags for a server, and has them run there when it is named.
func remotely(root *cobra.Command) {
	for _, c := range root.Commands() {
		if slices.Contains(remoteGroups, c.Name()) {
			f := c.PersistentFlags()
			f.String("server", "", "the address of a running server, such as https://plant.example:8420, instead of --config")
			f.String("token", "", "with --server: where the token stands, file:PATH or env:NAME")
			f.String("cert", "", "with --server: file with a client certificate")
			f.String("key", "", "with --server: file with the key of --cert")
			f.String("ca", "", "with --server: file with the certificates that its own is believed by; left out: those of the system")
			runsThere(c)
		}
	}
}

func runsThere(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		runsThere(c)
	}
	run := cmd.RunE
	if run == nil || cmd.DisableFlagsInUseLine {
		return
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if serverOf(cmd) == "" {
			return run(cmd, args)
		}
		return runThere(cmd, append(pathOf(cmd), wordsOf(cmd, args)...))
	}
}

// serverOf is the server that a command is to run on; "" for this process.
func serverOf(cmd *cobra.Command) string {
	f := cmd.Flags().Lookup("server")
	if f == nil || calledFrom(cmd.Context()) != nil {
		return ""
	}
	return f.Value.String()
}

// pathOf are the words of a command's name.
func pathOf(cmd *cobra.Command) []string { return strings.Fields(verb(cmd)) }

// notThere are the flags that say where a command runs, and are no part of it.
var notThere = []string{"server", "token", "cert", "key", "ca", "config"}

// wordsOf are the flags that were given and the arguments, in a form that is read in one way only.
func wordsOf(cmd *cobra.Command, args []string) (words []string) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if slices.Contains(notThere, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			words = append(words, "--"+f.Name+"="+v)
		}
	})
	return append(append(words, "--"), args...)
}

// runThere has a server run a command, prints what it says as it comes, and ends with its status.
func runThere(cmd *cobra.Command, words []string) error {
	call := remoteCall{Args: words, Columns: terminal(cmd.OutOrStdout()), Terminal: isTerminal(cmd.ErrOrStderr())}
	file, err := call.takeFiles(cmd)
	if err != nil {
		return err
	}
	h := hearer{stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), file: file}
	res, err := call.send(cmd)
	if err == nil {
		defer res.Body.Close()
		err = h.hear(res.Body)
	}
	if file != nil && !h.whole {
		err = errors.Join(err, file.drop())
	}
	switch {
	case cmd.Context().Err() != nil && verb(cmd) == "status":
		return nil // so a watch is ended
	case err != nil || h.exit == 0:
		return err
	default:
		return exitError(h.exit)
	}
}

// hearer prints an answer as it comes.
type hearer struct {
	stdout, stderr io.Writer
	file           *newFile // nil: none was asked for
	whole          bool     // the file has come whole
	exit           int
}

// hear prints until the answer ends with the status.
func (h *hearer) hear(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, mostSaid)
	for lines.Scan() {
		var said remoteSaid
		if err := json.Unmarshal(lines.Bytes(), &said); err != nil {
			return brokeOff(err)
		}
		if said.Exit != nil {
			h.exit = *said.Exit
			return nil
		}
		if err := h.take(said); err != nil {
			return err
		}
	}
	return brokeOff(lines.Err())
}

func (h *hearer) take(said remoteSaid) error {
	_, err := h.stdout.Write(said.Out)
	_, err2 := h.stderr.Write(said.Err)
	if err = errors.Join(err, err2); err != nil || h.file == nil {
		return err
	}
	if _, err = h.file.to.Write(said.File); err == nil && said.Whole {
		h.whole = true
		err = h.file.whole()
	}
	return err
}

func brokeOff(err error) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "hear the server", Why: "its answer broke off", Hint: "what was asked may have been done all the same: look before you repeat it", Cause: err,
	}
}

// send calls the server. What it refuses before the command runs is an error as it tells it.
func (c remoteCall) send(cmd *cobra.Command) (*http.Response, error) {
	server := serverOf(cmd)
	client, header, err := calls(cmd, server)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write the command: %w", err)
	}
	req, err := http.NewRequestWithContext(cmd.Context(), http.MethodPost, strings.TrimSuffix(server, "/")+httpapi.CommandsPath, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", server, err)
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Unavailable, What: "call " + server, Why: why(errors.Unwrap(err)), Hint: "see whether holdfast serve runs there, and whether --ca names the CA of its certificate", Cause: err}
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	return nil, turnedAway(server, res)
}

// turnedAway is a server's refusal of a command, of which it says what, why and what to do.
func turnedAway(server string, res *http.Response) error {
	kind := problem.Unavailable
	for _, k := range []problem.Kind{problem.Unknown, problem.Denied, problem.TooMany, problem.TooLarge, problem.Invalid, problem.NotFound} {
		if k.HTTPStatus() == res.StatusCode {
			kind = k
		}
	}
	var said struct{ Title, Detail, Hint string }
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil || json.Unmarshal(text, &said) != nil || said.Detail == "" {
		said.Detail, said.Hint = "it answered "+res.Status, "name the address of the API of holdfast serve, of this release or a later one"
	}
	return &problem.Error{Kind: kind, What: "call " + server, Why: said.Detail, Hint: said.Hint}
}

// calls is how a server is called: over TLS, or on this machine; with a token, a certificate or neither.
func calls(cmd *cobra.Command, server string) (*http.Client, http.Header, error) {
	flag := func(name string) string { return cmd.Flags().Lookup(name).Value.String() }
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !httpapi.Loopback(u.Hostname())) {
		return nil, nil, misuse(cmd, "--server", "it is no https address, nor an http one of this machine", "--server: such as https://plant.example:8420.")
	}
	header := http.Header{}
	if ref := flag("token"); ref != "" {
		token, err := Config{}.secret(cmd.Context(), ref)
		if err != nil {
			return nil, nil, err
		}
		header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca := flag("ca"); ca != "" {
		if secure.RootCAs, err = certificates(ca); err != nil {
			return nil, nil, err
		}
	}
	if cert := flag("cert"); cert != "" || flag("key") != "" {
		pair, err := tls.LoadX509KeyPair(cert, flag("key"))
		if err != nil {
			return nil, nil, &problem.Error{Kind: problem.Invalid, What: "read --cert and --key", Why: why(err), Hint: "name a certificate and its key, both as PEM", Cause: err}
		}
		secure.Certificates = []tls.Certificate{pair}
	}
	dial := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dial.DialContext, TLSClientConfig: secure, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, header, nil
}

// fileFlag marks a flag that names a file of whoever calls: read, or written as a new one.
func fileFlag(cmd *cobra.Command, name, way string) {
	if err := cmd.Flags().SetAnnotation(name, callersFile, []string{way}); err != nil {
		panic(err) // the flag is defined one line above
	}
}

const (
	callersFile = "holdfast_file"
	isRead      = "read"
	isWritten   = "written"
)

// takeFiles reads the file that a command is to read, and makes the one that it is to write; nil if there is none.
func (c *remoteCall) takeFiles(cmd *cobra.Command) (out *newFile, err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		way := f.Annotations[callersFile]
		switch name := f.Value.String(); {
		case len(way) == 0 || err != nil:
		case way[0] == isWritten:
			out, err = makeFile(cmd.Context(), name)
		default:
			var text []byte
			text, err = callersText(cmd.Context(), name)
			c.Files = map[string][]byte{name: text}
		}
	})
	return out, err
}

// newFile is a new file of whoever calls: of this machine, or at the other end of the line.
type newFile struct {
	to    io.Writer
	whole func() error
	drop  func() error
}

// makeFile makes a file that is not there yet.
func makeFile(ctx context.Context, name string) (*newFile, error) {
	if c := calledFrom(ctx); c != nil {
		return &newFile{c.said.file(), c.said.whole, func() error { return nil }}, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Conflict, What: "write " + name, Why: why(err), Hint: "name a file that is not there yet, in a folder that is", Cause: err,
		}
	}
	return &newFile{f, f.Close, func() error { return errors.Join(f.Close(), os.Remove(name)) }}, nil
}

// end keeps a file that was written whole, and takes any other away.
func (f *newFile) end(err error) error {
	if err == nil {
		return f.whole()
	}
	return errors.Join(err, f.drop())
}

// callersText is what stands in a file that whoever calls has named: one of this machine, or of what came along with the call.
func callersText(ctx context.Context, name string) ([]byte, error) {
	if c := calledFrom(ctx); c != nil {
		return c.files[name], nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, &problem.Error{Kind: problem.NotFound, What: "read " + name, Why: why(err), Hint: "name a file that is there"}
	}
	return text, nil
}
