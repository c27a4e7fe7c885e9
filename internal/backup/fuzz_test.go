package backup

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// nobody has signed anything.
type nobody struct{}

func (nobody) Verify(seal.Purpose, []byte, message.Signature) (string, error) {
	return "", errors.New("no key of this name")
}

// FuzzManifest reads what stands beside an archive in a place that others may write to: it is read or damaged, and never signed by anybody.
func FuzzManifest(f *testing.F) {
	good, err := json.Marshal(Sealed{Manifest: json.RawMessage(`{"id":"20261127T120000Z","parts":[{"name":"database","size":1,"sha256":"00"}],"tables":{"a":1}}`), Size: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"manifest":{},"signature":"` + hex.EncodeToString(make([]byte, 72)) + `","key":"k"}`))
	f.Add([]byte(`{"manifest":null,"signature":"zz"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Sealed
		if json.Unmarshal(text, &s) != nil {
			return
		}
		if _, err := s.read("it"); err != nil && problem.KindOf(err) != problem.Integrity {
			t.Errorf("read: got %v, want a problem of kind %s", err, problem.Integrity)
		}
		if who, _ := s.Signer(nobody{}); who != "" {
			t.Errorf("%q has signed it", who)
		}
	})
}
