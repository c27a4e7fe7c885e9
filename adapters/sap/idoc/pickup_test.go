package idoc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// picked is a folder that is looked into, under a clock of its own, and what is taken from it.
type picked struct {
	*testing.T
	dir  string
	link *Link
	at   time.Time
	seen map[string]look
	ids  []string
	when func() error // what happens while a file is taken; nil is nothing
}

func newPicked(t *testing.T) *picked {
	t.Helper()
	p := &picked{T: t, dir: t.TempDir(), at: time.Now(), seen: map[string]look{}}
	l, err := Open(Config{
		Client: "100", Plant: Partner{Port: "HOLDFAST", System: "HFPLANT1"}, SAP: Partner{Port: "SAPS4H", System: "S4HCLNT100"}, Zone: "Europe/Berlin",
		Receive: &Receive{Folder: p.dir, Settle: time.Minute},
	}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	l.now = func() time.Time { return p.at }
	p.link = l
	return p
}

func (p *picked) look(after time.Duration) {
	p.Helper()
	p.at = p.at.Add(after)
	err := p.link.pickUpOnce(p.Context(), func(_ context.Context, batch []message.Incoming) error {
		for _, m := range batch {
			p.ids = append(p.ids, m.ID)
		}
		if when := p.when; when != nil {
			p.when = nil
			return when()
		}
		return nil
	}, p.seen)
	if err != nil {
		p.Fatal(err)
	}
}

func (p *picked) put(name string, text []byte) {
	p.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), text, 0o600); err != nil {
		p.Fatal(err)
	}
}

// files are those of a folder below.
func (p *picked) files(folder string) []string {
	p.Helper()
	all, err := os.ReadDir(filepath.Join(p.dir, folder))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.Fatal(err)
	}
	names := []string{}
	for _, f := range all {
		if f.Type().IsRegular() {
			names = append(names, f.Name())
		}
	}
	return names
}

func (p *picked) order(numbers ...int) []byte {
	p.Helper()
	of := Control{"MANDT": "100", "SNDPOR": "HOLDFAST", "SNDPRN": "HFPLANT1", "RCVPOR": "SAPS4H", "RCVPRN": "S4HCLNT100"}
	var all []Document
	for _, n := range numbers {
		d, err := FromSAP(of, "LOIPRO02", fmt.Sprintf("%016d", n), time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC),
			[]byte(`{"E1AFKOL":{"AUFNR":"000001000042","WERKS":"1000","GAMNG":"5"}}`))
		if err != nil {
			p.Fatal(err)
		}
		all = append(all, d)
	}
	text, err := WriteXML(all)
	if err != nil {
		p.Fatal(err)
	}
	return text
}

// TestWhatSAPWritesWhileAFileIsTakenIsRead: under the name of a file that is being taken, SAP writes another one or more to the same. None of it ends
// unread in done or bad, whether this node takes the file or another one has moved it meanwhile, and whether or not the disk's clock shows it.
func TestWhatSAPWritesWhileAFileIsTakenIsRead(t *testing.T) {
	refused := &problem.Error{Kind: problem.Duplicate}
	tests := []struct {
		name   string
		during func(p *picked) error
		want   []string // what is taken in the end
		old    string   // where the file that was read is in the end, if it is still there
	}{
		{"it appends", func(p *picked) error { p.put("o.xml", p.order(1, 2)); return nil }, []string{"0000000000000001", "0000000000000001", "0000000000000002"}, ""},
		{"it appends to what is refused", func(p *picked) error { p.put("o.xml", p.order(1, 2)); return refused }, []string{"0000000000000001", "0000000000000001", "0000000000000002"}, ""},
		{"it writes another of the same size and time", func(p *picked) error {
			path := filepath.Join(p.dir, "o.xml")
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			p.put("o.xml", p.order(2))
			return os.Chtimes(path, info.ModTime(), info.ModTime())
		}, []string{"0000000000000001", "0000000000000002"}, ""},
		{"another node has moved it, and it writes another", func(p *picked) error {
			done := filepath.Join(p.dir, done)
			if err := errors.Join(os.MkdirAll(done, 0o700), os.Rename(filepath.Join(p.dir, "o.xml"), filepath.Join(done, "o.xml"))); err != nil {
				return err
			}
			p.put("o.xml", p.order(3, 4))
			return nil
		}, []string{"0000000000000001", "0000000000000003", "0000000000000004"}, "o.xml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPicked(t)
			p.when = func() error { return tt.during(p) }
			p.put("o.xml", p.order(1))
			for range 6 {
				p.look(2 * time.Second)
			}
			if !slices.Equal(p.ids, tt.want) {
				t.Errorf("%q are taken, want %q", p.ids, tt.want)
			}
			if got := p.files("."); len(got) > 0 {
				t.Errorf("%q are left", got)
			}
			if got := p.files(bad); len(got) > 0 {
				t.Errorf("%q are bad", got)
			}
			if got := p.files(done); len(got) == 0 || tt.old != "" && !slices.Contains(got, tt.old) {
				t.Errorf("%q are done", got)
			}
		})
	}
}

// TestAFileThatIsStillWrittenIsNotBad: one that was just made has nothing in it, and one that is transferred slowly is half an IDoc for longer than two looks.
func TestAFileThatIsStillWrittenIsNotBad(t *testing.T) {
	p := newPicked(t)
	whole := p.order(1)
	for _, part := range [][]byte{nil, whole[:len(whole)/2]} {
		p.put("o.xml", part)
		for range 12 {
			p.look(5 * time.Second)
		}
	}
	if got := p.files(bad); len(got) > 0 {
		t.Fatalf("%q are bad within a minute", got)
	}
	p.put("o.xml", whole)
	p.look(time.Second)
	p.look(time.Second)
	if want := []string{"0000000000000001"}; !slices.Equal(p.ids, want) || !slices.Equal(p.files(done), []string{"o.xml"}) {
		t.Errorf("%q are taken, want %q", p.ids, want)
	}
	p.put("empty.xml", nil)
	p.put("half.xml", whole[:len(whole)/2])
	p.look(time.Second)
	p.look(time.Minute)
	if got, want := p.files(bad), []string{"empty.xml", "empty.xml.why", "half.xml", "half.xml.why"}; !slices.Equal(got, want) {
		t.Errorf("%q are bad once they have stood still, want %q", got, want)
	}
}

// unreadable has the disk refuse what begins so.
func (p *picked) unreadable(prefix string) {
	open := p.link.disk.open
	p.link.disk.open = func(path string) (*os.File, error) {
		if strings.HasPrefix(filepath.Base(path), prefix) {
			return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrPermission}
		}
		return open(path)
	}
}

// TestAFileThatCannotBeReadHoldsUpNoOther: it waits for leave to be read as long as a file must stand still, and is put aside then, with its reason and an alert;
// those behind it are taken at once, in their order.
func TestAFileThatCannotBeReadHoldsUpNoOther(t *testing.T) {
	p := newPicked(t)
	var told []error
	p.link.WhenAside(func(why error) { told = append(told, why) })
	p.unreadable("b.xml")
	p.put("a.xml", p.order(1))
	p.put("b.xml", p.order(2))
	p.put("b.xml.too", p.order(2))
	p.put("c.xml", p.order(3))
	p.put("d.xml", p.order(4))
	p.look(time.Second)
	p.look(time.Second)
	if want := []string{"0000000000000001", "0000000000000003", "0000000000000004"}; !slices.Equal(p.ids, want) {
		t.Errorf("%q are taken, want %q", p.ids, want)
	}
	if got := p.files(bad); len(got) > 0 || len(told) > 0 {
		t.Errorf("%q are bad, told of %v, before they have stood still", got, told)
	}
	p.look(time.Minute)
	if got, want := p.files(bad), []string{"b.xml", "b.xml.too", "b.xml.too.why", "b.xml.why"}; !slices.Equal(got, want) {
		t.Errorf("%q are bad, want %q", got, want)
	}
	if got, err := os.ReadFile(filepath.Join(p.dir, bad, "b.xml.why")); err != nil || !strings.Contains(string(got), "permission denied") {
		t.Errorf("the reason is %q, %v", got, err)
	}
	if len(told) != 1 || !strings.Contains(told[0].Error(), "b.xml") {
		t.Errorf("told of %v, want the first of them, once an hour", told)
	}
	p.put("half.xml", p.order(5)[:200])
	p.look(time.Second)
	p.look(time.Hour)
	if len(told) != 2 || !strings.Contains(told[1].Error(), "half.xml") {
		t.Errorf("told of %v, want what could not be parsed too", told)
	}
}

// TestAFileThatMayBeReadInTimeIsTaken: whoever wrote it gives leave to read it later, also at the last moment.
func TestAFileThatMayBeReadInTimeIsTaken(t *testing.T) {
	for name, given := range map[string]int{"before it has stood still": 1, "while it is put aside": 3} {
		t.Run(name, func(t *testing.T) {
			p := newPicked(t)
			open, reads := p.link.disk.open, 0
			p.link.disk.open = func(path string) (*os.File, error) {
				if reads++; reads <= given {
					return nil, os.ErrPermission
				}
				return open(path)
			}
			p.put("a.xml", p.order(1))
			p.look(0)
			p.look(time.Second)
			if given > 1 {
				p.look(time.Second)
				p.look(time.Minute)
			}
			for range 3 {
				p.look(time.Second)
			}
			if want := []string{"0000000000000001"}; !slices.Equal(p.ids, want) || len(p.files(bad)) > 0 || len(p.files(".")) > 0 {
				t.Errorf("%q are taken, want %q; bad are %q, left %q", p.ids, want, p.files(bad), p.files("."))
			}
		})
	}
}

// TestAFileThatCannotBeMovedHoldsUpNoOther: it is offered again each time, which the inbox knows; what is behind it is taken.
func TestAFileThatCannotBeMovedHoldsUpNoOther(t *testing.T) {
	p := newPicked(t)
	p.link.disk.rename = func(from, to string) error {
		if filepath.Base(from) == "a.xml" {
			return os.ErrPermission
		}
		return os.Rename(from, to)
	}
	p.put("a.xml", p.order(1))
	p.put("b.xml", p.order(2))
	accept := func(_ context.Context, batch []message.Incoming) error {
		p.ids = append(p.ids, batch[0].ID)
		return nil
	}
	if err := p.link.pickUpOnce(t.Context(), accept, p.seen); err != nil {
		t.Fatal(err)
	}
	err := p.link.pickUpOnce(t.Context(), accept, p.seen)
	if want := []string{"0000000000000001", "0000000000000002"}; err == nil || !slices.Equal(p.ids, want) || !slices.Equal(p.files(done), []string{"b.xml"}) {
		t.Errorf("%q are taken, want %q; done are %q; %v", p.ids, want, p.files(done), err)
	}
}

// TestWhatWasMovedIsNotRemovedThoughTheDiskSaysItWasNot: a disk that is far away answers a move that it was asked for twice with "no such file".
func TestWhatWasMovedIsNotRemovedThoughTheDiskSaysItWasNot(t *testing.T) {
	for _, says := range []error{os.ErrNotExist, os.ErrDeadlineExceeded} {
		for _, reason := range []string{"", "it is wrong"} {
			p := newPicked(t)
			p.link.disk.rename = func(from, to string) error { return errors.Join(os.Rename(from, to), says) }
			dir := filepath.Join(p.dir, bad)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			p.put("own", []byte("text"))
			_ = p.link.place(filepath.Join(p.dir, "own"), dir, "o.xml", reason) // whatever it says
			if got, err := os.ReadFile(filepath.Join(dir, "o.xml")); string(got) != "text" {
				t.Errorf("%v: %q is there, %v", says, got, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "o.xml.why")); (err == nil) != (reason != "") {
				t.Errorf("%v: its reason is lost or made up: %v", says, err)
			}
		}
	}
}

// TestTwoNodesPutAsideUnderOneNameAtOnce: SAP uses a name again, and each node has one of the two files. Both are kept, each with its reason.
func TestTwoNodesPutAsideUnderOneNameAtOnce(t *testing.T) {
	p := newPicked(t)
	const rounds = 40
	for _, folder := range []string{done, bad} {
		dir := filepath.Join(p.dir, folder)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range rounds {
			var both sync.WaitGroup
			for _, node := range []string{"a", "b"} {
				own := "o.xml." + node
				text := fmt.Sprintf("%s %d", node, i)
				p.put(own, []byte(text))
				reason := ""
				if folder == bad {
					reason = text
				}
				both.Go(func() {
					if err := p.link.place(filepath.Join(p.dir, own), dir, "o.xml", reason); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()
		}
		kept := map[string]bool{}
		for _, name := range p.files(folder) {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if whole, ok := strings.CutSuffix(name, ".why"); ok {
				of, err := os.ReadFile(filepath.Join(dir, whole))
				if err != nil || string(of)+"\n" != string(text) {
					t.Fatalf("%s has the reason %q, %v", of, text, err)
				}
				continue
			}
			kept[string(text)] = true
		}
		if len(kept) != 2*rounds {
			t.Errorf("%s: %d of %d files are kept", folder, len(kept), 2*rounds)
		}
	}
	if got := p.files("."); len(got) > 0 {
		t.Errorf("%q are left", got)
	}
}

// TestTwoNodesTakeFromOneFolder: each file is taken in the order of the names and kept, whoever takes it, and nothing is taken by one that was not
// by the other before what comes after it; SAP goes on writing, under names that it has used before.
func TestTwoNodesTakeFromOneFolder(t *testing.T) {
	p := newPicked(t)
	other := newPicked(t)
	other.link.cfg.Receive.Folder = p.dir
	p.link.now, other.link.now = time.Now, time.Now
	var mu sync.Mutex
	first := map[string]int{} // by ID: its place
	accept := func(_ context.Context, batch []message.Incoming) error {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range batch {
			if _, known := first[m.ID]; !known {
				first[m.ID] = len(first)
			}
		}
		return nil
	}
	const rounds, files = 8, 10
	for round := range rounds {
		for i := range files {
			p.put(fmt.Sprintf("o%02d.xml.tmp", i), p.order(1+round*files+i))
		}
		for i := range files {
			if err := os.Rename(filepath.Join(p.dir, fmt.Sprintf("o%02d.xml.tmp", i)), filepath.Join(p.dir, fmt.Sprintf("o%02d.xml", i))); err != nil {
				t.Fatal(err)
			}
		}
		for tries := 0; len(p.files(".")) > 0; tries++ {
			if tries > 1000 {
				t.Fatalf("%q are left", p.files("."))
			}
			var both sync.WaitGroup
			for _, n := range []*picked{p, other} {
				both.Go(func() {
					if err := n.link.pickUpOnce(t.Context(), accept, n.seen); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()
		}
	}
	for n := range rounds * files {
		if at, known := first[fmt.Sprintf("%016d", n+1)]; !known || at != n {
			t.Fatalf("IDoc %d is taken as number %d (%t)", n+1, at+1, known)
		}
	}
	if got := p.files(done); len(got) != rounds*files || len(p.files(bad)) > 0 {
		t.Errorf("%d files are done, want %d; bad are %q", len(got), rounds*files, p.files(bad))
	}
}
