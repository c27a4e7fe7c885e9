package console_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

var update = flag.Bool("update", false, "write testdata/structure.txt anew")

// nodes lists the elements of a page.
func nodes(t *testing.T, page string) []*html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var all []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			all = append(all, n)
		}
	}
	return all
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// outline is a page as somebody meets it who does not see it: landmarks, headings and what can be filled in or pressed.
func outline(t *testing.T, page string) string {
	t.Helper()
	all := nodes(t, page)
	labels := map[string]string{}
	for _, n := range all {
		if n.Data == "label" && attr(n, "for") != "" {
			labels[attr(n, "for")] = text(n)
		}
	}
	var b strings.Builder
	for _, n := range all {
		switch n.Data {
		case "main", "nav", "header", "footer":
			fmt.Fprintf(&b, "%s %s\n", n.Data, attr(n, "aria-label"))
		case "h1", "h2", "h3":
			fmt.Fprintf(&b, "%s %s\n", n.Data, text(n))
		case "input", "select", "textarea":
			if attr(n, "type") != "hidden" {
				fmt.Fprintf(&b, "  %s %s\n", n.Data, labels[attr(n, "id")])
			}
		case "button", "summary":
			fmt.Fprintf(&b, "  %s %s\n", n.Data, text(n))
		}
	}
	return b.String()
}

// changing is what differs between two runs: IDs, digests and times.
var changing = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|\d+ \w{3} \d{4} [\d:]+ \w+|[0-9a-f]{16,}|-[0-9a-f]{4}\b`)

func TestPagesHaveTheStructureThatTheyHad(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	var got bytes.Buffer
	for _, path := range p.paths() {
		_, page := p.get(path)
		fmt.Fprintf(&got, "== %s\n%s", changing.ReplaceAllString(path, "…"), changing.ReplaceAllString(outline(t, page), "…"))
	}
	const file = "testdata/structure.txt"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the pages changed (-want +got); if that is meant: go test ./internal/console -run Structure -update\n%s", diff)
	}
}

func TestEveryPageIsSoundOnBothDatabases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		for _, path := range p.paths() {
			status, page := p.get(path)
			want := http.StatusOK
			if path == "/console/nothing" {
				want = http.StatusNotFound
			}
			if status != want {
				t.Errorf("%s: status %d, want %d", path, status, want)
			}
			for _, wrong := range unsound(t, page) {
				t.Errorf("%s: %s", path, wrong)
			}
		}
	})
}

// unsound says what a page has that the policy forbids, or lacks what somebody needs who does not see it.
func unsound(t *testing.T, page string) (wrong []string) {
	t.Helper()
	all := nodes(t, page)
	seen, labels, count := map[string]bool{}, map[string]bool{}, map[string]int{}
	for _, n := range all {
		count[n.Data]++
		if n.Data == "label" {
			labels[attr(n, "for")] = true
		}
	}
	for _, n := range all {
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(a.Key, "hx-on") || strings.HasPrefix(a.Val, "javascript:") {
				wrong = append(wrong, fmt.Sprintf("<%s %s=%q> is inline", n.Data, a.Key, a.Val))
			}
		}
		switch id := attr(n, "id"); {
		case id != "" && seen[id]:
			wrong = append(wrong, "the id "+id+" is there twice")
		default:
			seen[id] = true
		}
		if attr(n, "id") == "" && slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "hx-morph-skip" }) {
			wrong = append(wrong, fmt.Sprintf("<%s hx-morph-skip> has no id of its own, so that it stays where another one belongs", n.Data))
		}
		switch n.Data {
		case "style":
			wrong = append(wrong, "it has a style")
		case "script":
			if n.FirstChild != nil || !strings.HasPrefix(attr(n, "src"), "/console/static/") {
				wrong = append(wrong, "a script is inline or not its own")
			}
		case "input", "select", "textarea":
			if attr(n, "type") != "hidden" && attr(n, "type") != "checkbox" && !labels[attr(n, "id")] {
				wrong = append(wrong, "the field "+attr(n, "name")+" has no label")
			}
		case "time":
			if !regexp.MustCompile(`(Z|[+-]\d\d:\d\d)$`).MatchString(attr(n, "datetime")) {
				wrong = append(wrong, "a time has no offset: "+attr(n, "datetime"))
			}
		}
	}
	if count["h1"] != 1 || count["main"] != 1 || count["tr"] > 300 {
		wrong = append(wrong, fmt.Sprintf("%d h1, %d main, %d rows; want 1, 1 and 300 at most", count["h1"], count["main"], count["tr"]))
	}
	return wrong
}

func TestEveryAnswerHasThePolicy(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	for _, path := range append(p.paths(), "/console/static/console.js", "/console/messages.csv", "/console/figures.json") {
		res, err := http.Get(p.url + path) //nolint:noctx // the test's own server
		if err != nil {
			t.Fatal(err)
		}
		p.read(res)
		got := res.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(got, "default-src 'none'; script-src 'self'; style-src 'self';") || strings.Contains(got, "unsafe") {
			t.Errorf("%s: policy %q", path, got)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store"} {
			if got := res.Header.Get(name); got != want && (name != "Cache-Control" || !strings.Contains(path, "/static/")) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if got := res.Header.Get("Content-Type"); got != "application/json" && !strings.Contains(got, "charset=utf-8") {
			t.Errorf("%s: type %q, want one with its charset", path, got)
		}
	}
}

func TestWhatOthersWroteIsText(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	for _, path := range []string{"/console/quarantine/1", "/console/quarantine", "/console/messages", "/console/messages/" + p.stuck, "/console/messages?q=" + "%3Cscript%3Ealert(2)"} {
		_, page := p.get(path)
		for _, n := range nodes(t, page) {
			if n.Data == "b" || n.Data == "script" && n.FirstChild != nil {
				t.Errorf("%s: <%s> of somebody else is markup", path, n.Data)
			}
		}
	}
}

func TestAssetsAreThoseOfTheList(t *testing.T) {
	list, err := os.ReadFile("static/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(list)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		want[strings.TrimPrefix(name, "./")] = sum
	}
	got := map[string]string{}
	err = filepath.WalkDir("static", func(file string, d fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(file, "static"+string(filepath.Separator)))
		if err != nil || d.IsDir() || slices.Contains([]string{"SHA256SUMS", "console.css", "console.js"}, name) {
			return err
		}
		body, err := os.ReadFile(file)
		sum := sha256.Sum256(body)
		got[name] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("static/ (-listed +there), see fetch-assets:\n%s", diff)
	}
}
