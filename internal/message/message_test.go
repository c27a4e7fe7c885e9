package message_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"holdfast/internal/message"
)

func sample() message.Message {
	return message.Message{
		ID: "m1", Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: "o1",
		Time: time.Date(2026, 11, 24, 6, 0, 0, 0, time.FixedZone("", 3600)), Body: []byte(`{}`), Creates: "lot/1", Cause: "m0",
		Place: message.Place{Link: "erp", Lane: "o1", Epoch: 1, Number: 2, Prev: "aa", Role: message.Event, Refers: "bb"},
	}
}

// TestDigestCoversEveryField changes each field in turn by reflection, so that a field added later cannot be forgotten.
func TestDigestCoversEveryField(t *testing.T) {
	original := sample()
	want := original.Digest()
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		for i := range v.NumField() {
			name := path + v.Type().Field(i).Name
			f := v.Field(i)
			if !f.CanInterface() {
				continue // the checksum at hand: it tells of the body, which is changed here too
			}
			old := reflect.New(f.Type()).Elem()
			old.Set(f)
			switch x := f.Interface().(type) {
			case string:
				f.SetString(x + "x")
			case int, int64:
				f.SetInt(f.Int() + 1)
			case []byte:
				f.SetBytes([]byte(`{"a":1}`))
			case time.Time:
				f.Set(reflect.ValueOf(x.UTC()))
			case *message.Large:
				f.Set(reflect.ValueOf(&message.Large{}))
			case *message.Signature:
				f.Set(reflect.ValueOf(&message.Signature{}))
			case message.Role:
				f.Set(reflect.ValueOf(message.Void))
			case message.Place:
				walk(f, name+".")
				continue
			default:
				t.Fatalf("no change known for %s of type %s", name, f.Type())
			}
			if changed := original.Digest() != want; changed == (name == "Trace" || name == "Origin") {
				t.Errorf("digest changed with %s: %t", name, changed)
			}
			f.Set(old)
		}
	}
	walk(reflect.ValueOf(&original).Elem(), "")
}

func TestDigestDoesNotConfuseNeighbours(t *testing.T) {
	a, b := sample(), sample()
	a.Link, a.Lane = "ab", "c"
	b.Link, b.Lane = "a", "bc"
	if a.Digest() == b.Digest() {
		t.Error("a part moved from one field to the next left the digest the same")
	}
}

type verifier struct{ err error }

func (v verifier) Verify(context.Context, message.Message) error { return v.err }

func TestVerifyHandsOutOnlyWhatWasVerified(t *testing.T) {
	bad := errors.New("altered")
	if _, err := message.Verify(t.Context(), verifier{bad}, sample()); !errors.Is(err, bad) {
		t.Errorf("err = %v, want %v", err, bad)
	}
	v, err := message.Verify(t.Context(), verifier{}, sample())
	if err != nil || v.Message().ID != "m1" {
		t.Errorf("got %+v, %v", v.Message(), err)
	}
}
