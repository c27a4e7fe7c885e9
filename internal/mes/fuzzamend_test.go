package mes

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"holdfast/internal/decimal"
	"holdfast/internal/message"
)

// FuzzAmends hands in anything as a person's amendment: what is taken can be read as the plant's own event, of the same object, and says it all
// when it is written again.
func FuzzAmends(f *testing.F) {
	order := OrderRef{ID: "o1", Number: "1000042", ERPNumber: "1000042", Material: "BIKE", Unit: "PCE"}
	event := OperationConfirmed{
		Place{Plant: "1000", Zone: "Europe/Berlin"},
		order,
		Confirmation{ID: "c1", Order: "o1", Operation: "0010", Yield: decimal.FromInt(5), Unit: "PCE", PostedAt: time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)},
	}
	text, err := json.Marshal(event)
	if err != nil {
		f.Fatal(err)
	}
	was := message.Message{ID: "x", Kind: OperationConfirmedKind, Body: text}
	if err := Amends(f.Context(), was, was); err != nil {
		f.Fatalf("the body as it was: %v", err)
	}
	for _, body := range []string{string(text), "{}", "null", "[]", `{"order":{"id":"o1","id":"o2"}}`, `{"Order":{}}`, string(text) + "x"} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if Amends(t.Context(), message.Message{ID: "x", Kind: was.Kind, Body: body}, was) != nil {
			return
		}
		var now OperationConfirmed
		if err := json.Unmarshal(body, &now); err != nil {
			t.Fatalf("%s is taken and cannot be read: %v", body, err)
		}
		if !reflect.DeepEqual(now.names(), event.names()) {
			t.Errorf("%s is taken and is about %v", body, now.names())
		}
		again, err := json.Marshal(now)
		if err == nil {
			err = Amends(t.Context(), message.Message{ID: "x", Kind: was.Kind, Body: again}, was)
		}
		if err != nil {
			t.Errorf("%s is taken, and not as it is written again: %v", body, err)
		}
	})
}
