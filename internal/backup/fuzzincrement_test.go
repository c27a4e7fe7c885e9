package backup

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/problem"
)

// FuzzIncrement reads what lies in a place that others may write to: the line before an increment's body is read or damaged, whoever is to have
// signed it has not; and of a body each run is of pieces that are there, and each piece has the bytes that the body has at its place.
func FuzzIncrement(f *testing.F) {
	line, err := json.Marshal(Sealed{Manifest: json.RawMessage(`{"base":"20261127T120000Z","number":1,"prev":"00","pieces":"00","sha256":"00","db_size":3}`)})
	if err != nil {
		f.Fatal(err)
	}
	body := bytes.NewBuffer(append(binary.AppendUvarint(nil, 3), "abc\x00"...))
	if err := writeRuns(body, []run{{0, 1}}); err != nil {
		f.Fatal(err)
	}
	f.Add(append(line, '\n'), body.Bytes())
	if _, err := (change{Gone: []string{"keys/a"}}).write(body); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("{}"), body.Bytes())
	f.Add([]byte("{\"manifest\":null}\n"), []byte{0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1})
	f.Add([]byte("{}"), []byte{2, 'a'})
	f.Add([]byte("\n"), []byte{0, 0xff, 0xff, 0xff, 0xff, 0xf})
	f.Fuzz(func(t *testing.T, line, body []byte) {
		if _, _, err := readIncrement(bufio.NewReader(bytes.NewReader(line)), nil); err != nil && problem.KindOf(err) != problem.Integrity {
			t.Errorf("the line: got %v, want a problem of kind %s", err, problem.Integrity)
		}
		if _, _, err := readIncrement(bufio.NewReader(bytes.NewReader(line)), nobody{}); err == nil {
			t.Errorf("%q is believed", line)
		}
		r := &replay{files: []*os.File{nil}, have: map[digest]bool{}}
		o := &offset{r: bufio.NewReader(bytes.NewReader(body))}
		if r.read(o) != nil {
			return
		}
		if r.readFiles(o, int64(len(body))) == nil {
			for name, f := range r.plant {
				if !filepath.IsLocal(name) || f != nil && (f.from < 0 || f.Size < 0 || f.from+f.Size > int64(len(body))) {
					t.Errorf("file %q: %+v of %d bytes", name, f, len(body))
				}
			}
		}
		for _, one := range r.runs {
			if one.from < 0 || one.count < 0 || one.from+one.count > int64(len(r.pieces)) {
				t.Errorf("a run of %d from %d, of %d pieces", one.count, one.from, len(r.pieces))
			}
		}
		for _, p := range r.pieces {
			if piece := body[p.from : p.from+int64(p.size)]; p.size == 0 || !r.have[digestPiece(piece)] {
				t.Errorf("at %d there is no piece of %d bytes", p.from, p.size)
			}
		}
	})
}
