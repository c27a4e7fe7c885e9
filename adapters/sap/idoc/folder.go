package idoc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// outFolder hands files over. A file is made ready in a folder of our own, inside of the one that SAP reads and therefore on the same disk.
// Then a mark is made, and then the file is moved to where SAP finds it:
//
//	no mark                 nothing was handed over
//	mark and ready file     it was about to be; the move is made now
//	mark alone              it was handed over, and SAP may have taken it away
//
// Each step is on the disk before the next one begins. So a crash at any point leaves one of the three, and each has one answer.
type outFolder struct {
	dir, own string
	keep     time.Duration
	now      func() time.Time

	mu    sync.Mutex // guards swept
	swept time.Time  // when marks were last cleared away
}

func newOutFolder(dir string, keep time.Duration, now func() time.Time) *outFolder {
	return &outFolder{dir: dir, own: filepath.Join(dir, ".holdfast"), keep: keep, now: now}
}

func (f *outFolder) mark(number string) string  { return filepath.Join(f.own, number+".sent") }
func (f *outFolder) ready(number string) string { return filepath.Join(f.own, number+".ready") }

// write hands a file over under a name. What it cannot finish, settle does.
func (f *outFolder) write(number, name string, text []byte) (begun bool, err error) {
	if err := os.MkdirAll(f.own, 0o750); err != nil {
		return false, fmt.Errorf("make the folder for files that are made ready: %w", err)
	}
	f.sweep()
	if err := os.Remove(f.mark(number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("remove the mark of an earlier attempt: %w", err)
	}
	if err := errors.Join(syncFolder(f.own), writeFile(f.ready(number), text)); err != nil {
		return false, err
	}
	if err := errors.Join(writeFile(f.mark(number), []byte(name)), syncFolder(f.own)); err != nil {
		return true, err
	}
	return true, f.move(number, name)
}

func (f *outFolder) move(number, name string) error {
	if err := os.Rename(f.ready(number), filepath.Join(f.dir, name)); err != nil {
		return fmt.Errorf("hand over %s: %w", name, err)
	}
	return errors.Join(syncFolder(f.dir), syncFolder(f.own))
}

// settle finishes what an attempt has begun, and tells whether the file was handed over.
func (f *outFolder) settle(number string) (bool, error) {
	name, err := os.ReadFile(f.mark(number))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the mark of IDoc %s: %w", number, err)
	}
	if _, err := os.Stat(f.ready(number)); errors.Is(err, fs.ErrNotExist) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("look for the file of IDoc %s: %w", number, err)
	}
	if len(name) == 0 || strings.ContainsRune(string(name), filepath.Separator) { // the mark was cut off by a crash: nothing had been moved yet
		return false, nil
	}
	return true, f.move(number, string(name))
}

// sweep removes marks that nobody asks about any more, once a day.
func (f *outFolder) sweep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now().Sub(f.swept) < 24*time.Hour {
		return
	}
	f.swept = f.now()
	marks, err := filepath.Glob(filepath.Join(f.own, "*.sent"))
	if err != nil {
		return // the pattern is a constant
	}
	for _, m := range marks {
		if info, err := os.Stat(m); err == nil && f.now().Sub(info.ModTime()) > f.keep {
			_ = os.Remove(m) // the next sweep tries again
		}
	}
}

func (f *outFolder) check() error {
	if err := tryFolder("send.folder", f.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(f.own, 0o750); err != nil {
		return noFolder("send.folder", err)
	}
	return tryFolder("send.folder", f.own)
}

// tryFolder tells whether files can be made, moved and removed in a folder.
func tryFolder(key, dir string) error {
	try, err := os.CreateTemp(dir, ".holdfast-*.tmp")
	if err != nil {
		return noFolder(key, err)
	}
	if err := errors.Join(try.Close(), os.Remove(try.Name())); err != nil {
		return noFolder(key, err)
	}
	return nil
}

func noFolder(key string, err error) error {
	return &problem.Error{Kind: problem.Unavailable, What: "folder of IDocs, " + key, Why: err.Error(), Hint: "make the folder, mount its disk, and let this user write to it"}
}

// writeFile writes a file that is whole and on the disk when this returns, or not there.
func writeFile(path string, text []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640) //nolint:gosec // who takes it in reads it by its group
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// syncFolder brings the names in a folder to the disk.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open the folder %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("bring the folder %s to the disk: %w", dir, err)
	}
	return nil
}

// handOver delivers an IDoc through the folder.
func (l *Link) handOver(ctx context.Context, doc Document) message.Outcome {
	text, extension, err := l.render(doc)
	if err != nil {
		return message.Outcome{Verdict: message.Refused, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return message.Outcome{Verdict: message.Again, LinkDown: true, Err: err}
	}
	number := doc.Control["DOCNUM"]
	begun, err := l.out.write(number, doc.Control["IDOCTYP"]+"_"+number+extension, text)
	switch {
	case err != nil && begun:
		return message.Outcome{Verdict: message.Unsure, LinkDown: true, Err: noFolder("send.folder", err)}
	case err != nil:
		return message.Outcome{Verdict: message.Again, LinkDown: true, Err: noFolder("send.folder", err)}
	}
	r := received(doc, nil, 0)
	r.At = l.now()
	return message.Outcome{Verdict: message.Delivered, Receipt: r}
}

func (l *Link) render(doc Document) (text []byte, extension string, err error) {
	if l.cfg.Send.Format == asFlat {
		text, err = WriteFlat([]Document{doc}, l.cfg.Send.CodePage, l.types)
		return text, ".txt", err
	}
	text, err = WriteXML([]Document{doc})
	return text, ".xml", err
}

// settleFile finds out whether a file was handed over.
func (l *Link) settleFile(doc Document) (message.Outcome, error) {
	there, err := l.out.settle(doc.Control["DOCNUM"])
	if err != nil {
		return message.Outcome{Verdict: message.Unsure, LinkDown: true}, noFolder("send.folder", err)
	}
	if !there {
		return message.Outcome{Verdict: message.Again}, nil
	}
	r := received(doc, nil, 0)
	r.Asked, r.At = true, l.now()
	return message.Outcome{Verdict: message.Delivered, Receipt: r}, nil
}
