package main

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// printed is what a command in the background has printed so far.
type printed struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

// find waits for what a pattern's group matches.
func (p *printed) find(t *testing.T, pattern string) (found string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	if !eventually(func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if m := re.FindStringSubmatch(p.buf.String()); m != nil {
			found = m[1]
		}
		return found != ""
	}) {
		t.Fatalf("nothing printed matches %s", pattern)
	}
	return found
}

// background runs a command until the test ends.
func background(t *testing.T, args ...string) *printed {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p, done := &printed{}, make(chan int, 1)
	go func() { done <- run(ctx, args, p, p) }()
	t.Cleanup(func() {
		stop()
		if status := <-done; status != 0 {
			t.Errorf("%v ends with %d: %s", args, status, p.buf.String())
		}
	})
	return p
}

// shift is somebody in the plant with a browser and a terminal.
type shift struct {
	t       *testing.T
	console string // its address, with the last slash
	id      string // the message that stands still
	lane    string
}

// get reads a page.
func (s *shift) get(path string) string {
	s.t.Helper()
	res, err := http.Get(s.console + path) //nolint:noctx // the test's own server
	if err != nil {
		s.t.Fatal(err)
	}
	return s.read(res, http.StatusOK)
}

// send fills in a form and follows where it leads.
func (s *shift) send(path string, pairs ...string) string {
	s.t.Helper()
	form := url.Values{"key": {uuid.NewString()}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	res, err := http.PostForm(s.console+path, form) //nolint:noctx // as above
	if err != nil {
		s.t.Fatal(err)
	}
	return s.read(res, http.StatusOK)
}

func (s *shift) read(res *http.Response, want int) string {
	s.t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != want {
		s.t.Fatalf("%s answers %d, %v: %s", res.Request.URL, res.StatusCode, err, body)
	}
	return string(body)
}

// goesOn waits until nothing stands still and nothing is queued.
func (s *shift) goesOn() {
	s.t.Helper()
	if !eventually(func() bool {
		return strings.Contains(s.get("messages?state=stuck"), "nothing waits for a person") && strings.Contains(s.get("messages?state=owed"), "There is no such message")
	}) {
		s.t.Fatal("something still stands still")
	}
}

// TestTheOutagePageRunsAsWritten does what docs/when-the-erp-is-down.md tells the shift: by command, line by line, and in the browser by the
// forms of its pages.
func TestTheOutagePageRunsAsWritten(t *testing.T) {
	text, err := os.ReadFile("../../docs/when-the-erp-is-down.md")
	if err != nil {
		t.Fatal(err)
	}
	s := practise(t, string(text))
	for _, b := range regexp.MustCompile("(?ms)^```(?:sh|console)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(b[1]) {
			s.run(strings.TrimPrefix(strings.TrimSpace(line), "$ "))
		}
	}

	practise(t, string(text)).inTheBrowser()
}

// begins is how the page has somebody who wants to practise begin.
const begins = "holdfast demo --data ./demo --stuck\n"

// practise begins as the page says: with the demo, at whose end the ERP has refused a confirmation, in the demo's folder.
func practise(t *testing.T, page string) *shift {
	t.Helper()
	if !strings.Contains(page, "```sh\n"+begins+"```") {
		t.Fatalf("the page does not begin with %q", begins)
	}
	dir := filepath.Join(t.TempDir(), "demo")
	demo := background(t, "demo", "--data", dir, "--stuck", "--orders", "2", "--outage", "0s", "--listen", "127.0.0.1:0")
	s := &shift{t: t, console: demo.find(t, `console +(http://\S+/console/)messages`)}
	t.Chdir(dir)
	m := regexp.MustCompile(`href="/console/messages/([0-9a-f-]{36})"`).FindStringSubmatch(s.get("messages?state=stuck"))
	if m == nil {
		t.Fatal("no message stands still")
	}
	s.id = m[1]
	if page := s.get("messages/" + s.id); !strings.Contains(page, "yield 2 is more than the 1 piece that the scale has counted") {
		t.Errorf("the message does not say why: %s", page)
	}
	s.lane = regexp.MustCompile(`"lane": "([^"]+)"`).FindStringSubmatch(command(t, "msg", "show", s.id, "--json"))[1]
	return s
}

// inTheBrowser repairs the message by the forms of its page, and proves the lane.
func (s *shift) inTheBrowser() {
	s.t.Helper()
	page := s.get("messages/" + s.id)
	version := regexp.MustCompile(`name="version" value="([0-9a-f]+)"`).FindStringSubmatch(page)
	body := regexp.MustCompile(`(?s)<textarea[^>]*>(.*?)</textarea>`).FindStringSubmatch(page)
	if version == nil || body == nil {
		s.t.Fatalf("the page has no form of a correction: %s", page)
	}
	event := strings.ReplaceAll(html.UnescapeString(body[1]), `"yield": "2"`, `"yield": "1"`)
	if tried := s.send("messages/"+s.id+"/draft", "version", version[1], "body", event); !strings.Contains(tried, "can be sent") {
		_, what, _ := strings.Cut(tried, `id="tried"`)
		s.t.Errorf("tried: %s", what)
	}
	s.send("messages/"+s.id+"/amend", "version", version[1], "body", event, "reason", "counted again: one was scrap")
	s.goesOn()
	lane := "lane?" + url.Values{"link": {"erp"}, "lane": {s.lane}}.Encode()
	if page := s.get(lane + "&prove=now"); !strings.Contains(page, "<strong>whole</strong>") {
		s.t.Errorf("the lane is not whole: %s", page)
	}
	s.send("lane/replay", "link", "erp", "lane", s.lane, "from", "1", "to", "2", "reason", "ERP restored from last night")
	s.goesOn()
	if page := s.get("audit?action=msg.amend"); !strings.Contains(page, "counted again: one was scrap") {
		s.t.Error("the audit record does not say why the message was corrected")
	}
}

// run runs a line of the page, as a shell would. What asks for an act on a message that has gone on meanwhile is told so, and that is right.
func (s *shift) run(line string) {
	s.t.Helper()
	if line+"\n" == begins {
		return // practise has done it
	}
	words, file := split(strings.NewReplacer("ID", s.id, "LANE", s.lane).Replace(line))
	var out, errs bytes.Buffer
	status := run(s.t.Context(), words[1:], &out, &errs)
	if strings.Contains(line, "msg retry") && strings.Contains(errs.String(), "it was delivered") {
		status = 0
	}
	if status != 0 {
		s.t.Fatalf("%s ends with %d: %s%s", line, status, out.String(), errs.String())
	}
	if file != "" {
		if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	if strings.Contains(line, "--body event.json") && strings.Contains(line, "msg show") {
		correct(s.t, "event.json")
	}
	if strings.Contains(line, "msg edit") || strings.Contains(line, "msg replay") {
		s.goesOn()
	}
	if strings.HasPrefix(line, "holdfast verify") && !strings.Contains(out.String(), "whole") {
		s.t.Errorf("%s prints %s", line, out.String())
	}
}

// split takes a line of a shell apart: words, quoted ones whole, and the file that the output goes to.
func split(line string) (words []string, file string) {
	line, file, _ = strings.Cut(line, " > ")
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words, file
}

// correct changes the quantity of an event in a file, as the person does whom the page tells to.
func correct(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`"yield":\s*"2"`).ReplaceAll(text, []byte(`"yield": "1"`))
	if !json.Valid(text) {
		t.Fatalf("%s is not JSON: %s", file, text)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// command runs a command that must do what it is told.
func command(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if status := run(t.Context(), args, &out, &errs); status != 0 {
		t.Fatalf("%v ends with %d: %s%s", args, status, out.String(), errs.String())
	}
	return out.String()
}
