package amqp

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/internal/message"
)

// arrived is a publishing as its receiver gets it.
func arrived(p amqp091.Publishing) *amqp091.Delivery {
	return &amqp091.Delivery{
		Headers: p.Headers, ContentType: p.ContentType, CorrelationId: p.CorrelationId, MessageId: p.MessageId, Timestamp: p.Timestamp, Type: p.Type, Body: p.Body,
	}
}

func TestAnEventKeepsItsDigest(t *testing.T) {
	odd := sample("odd \"id\" ü\n")
	odd.Body, odd.Time, odd.Number, odd.Epoch, odd.Lane, odd.Prev = []byte(" {\"a\": 1 } "), time.Unix(1, 500).In(time.FixedZone("", 7200)), 0, 0, "", ""
	bytes := sample("bytes")
	bytes.Body = []byte{0, 1, 255}
	exact := sample("exact")
	exact.Body = []byte(`{"yield":12.500,"b" : [1e3, 0.10]}`)
	signed := sample("signed")
	signed.Origin = &message.Signature{Key: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", At: time.UnixMicro(1_700_000_000_123_456).UTC(), Value: [64]byte{1, 2, 255}}
	for _, m := range []message.Message{sample("plain"), odd, bytes, exact, signed, sample(strings.Repeat("long", 100))} {
		for _, binary := range []bool{false, true} {
			t.Run(fmt.Sprintf("%.10s binary %t", m.ID, binary), func(t *testing.T) {
				p := encode(m, message.Document{}, binary, nil)
				if len(p.MessageId) > maxShort {
					t.Errorf("the message ID has %d bytes", len(p.MessageId))
				}
				got := Receive{Mapping: "in"}.decode(arrived(p), "q", time.Now())
				if got.Claimed != m.Digest() || got.Digest() != m.Digest() {
					t.Errorf("claimed %s, computed %s, want %s", got.Claimed, got.Digest(), m.Digest())
				}
				if diff := cmp.Diff(m, got.Message, cmpopts.IgnoreUnexported(message.Message{}), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
					t.Errorf("message (-sent +got):\n%s", diff)
				}
				if got.Mapping != "in" || got.Undated {
					t.Errorf("got the mapping %q, undated %t", got.Mapping, got.Undated)
				}
			})
		}
	}
}

// TestADocumentCarriesWhatWasSignedOfItsEvent: its data are not those that were signed.
func TestADocumentCarriesWhatWasSignedOfItsEvent(t *testing.T) {
	m := sample("m")
	m.Origin = &message.Signature{Key: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", At: time.UnixMicro(1_700_000_000_123_456).UTC()}
	p := encode(m, message.Document{Mapping: "orders@1", Body: []byte(`{"mapped":true}`)}, false, nil)
	var attrs map[string]any
	if err := json.Unmarshal(p.Body, &attrs); err != nil {
		t.Fatal(err)
	}
	statement, _ := attrs["eventstatement"].(string)
	got, digest, err := message.ParseStatement(statement)
	if err != nil || digest != m.Digest() || got.Digest() != digest || attrs["dssematerial"] != nil {
		t.Errorf("the statement is of %+v (%v), and the document has the signature %v", got, err, attrs["dssematerial"])
	}
}

func TestADocumentClaimsNoDigestOfItsOwn(t *testing.T) {
	m := sample("m")
	p := encode(m, message.Document{Mapping: "orders@1", Body: []byte(`{"mapped":true}`)}, false, nil)
	got := Receive{}.decode(arrived(p), "q", time.Now())
	if got.Claimed != "" || string(got.Body) != `{"mapped":true}` || got.ID != "m" {
		t.Errorf("got %+v", got)
	}
	var attrs map[string]any
	if err := json.Unmarshal(p.Body, &attrs); err != nil || attrs["eventdigest"] != m.Digest() || attrs["documentof"] != "orders@1" {
		t.Errorf("got %s (%v)", p.Body, err)
	}
}

func TestASignatureThatCannotBeReadIsNoEvent(t *testing.T) {
	p := encode(sample("m"), message.Document{}, true, nil)
	p.Headers[prefix+"dssematerial"] = "e30="
	if got := (Receive{}).decode(arrived(p), "q", time.Now()); got.Kind != "" {
		t.Errorf("it came in as %s", got.Kind)
	}
}

func TestWhatComesIn(t *testing.T) {
	now := time.Unix(1_700_000_000, 0).UTC()
	headers := func(more amqp091.Table) amqp091.Table {
		h := amqp091.Table{"cloudEvents:specversion": "1.0", "cloudEvents:id": "1", "cloudEvents:source": "urn:erp", "cloudEvents:type": "order.released"}
		for k, v := range more {
			h[k] = v
		}
		return h
	}
	digestOf := func(body string) string { return digest([]byte(body)) }
	tests := []struct {
		name       string
		in         amqp091.Delivery
		kind, id   string // kind "" is for quarantine
		number     int64
		deliveries int
	}{
		{"the other prefix", amqp091.Delivery{Headers: headers(nil), Body: []byte(`{}`)}, "order.released", "1", 0, 0},
		{"a number as a number", amqp091.Delivery{Headers: headers(amqp091.Table{"cloudEvents_lanenumber": int64(7), "cloudEvents_lane": "a"}), Body: []byte(`{}`)}, "order.released", "1", 7, 0},
		{"a number that is none", amqp091.Delivery{Headers: headers(amqp091.Table{"cloudEvents_lanenumber": "x"}), MessageId: "mid"}, "", "mid", 0, 0},
		{"a time that is none", amqp091.Delivery{Headers: headers(amqp091.Table{"cloudEvents_time": "today"}), MessageId: "mid"}, "", "mid", 0, 0},
		{"another version", amqp091.Delivery{Headers: headers(amqp091.Table{"cloudEvents:specversion": "2.0"}), MessageId: "mid"}, "", "mid", 0, 0},
		{"an attribute under both prefixes", amqp091.Delivery{Headers: headers(amqp091.Table{"cloudEvents_id": "1"}), MessageId: "mid"}, "", "mid", 0, 0},
		{"structured", amqp091.Delivery{ContentType: structured + "; charset=utf-8", Body: []byte(`{"specversion":"1.0","id":"2","source":"urn:erp","type":"t","lane":"a","lanenumber":3,"data":{"x":1.50}}`)}, "t", "2", 3, 0},
		{"structured, and no JSON", amqp091.Delivery{ContentType: structured, Body: []byte(`{"specversion"`), MessageId: "mid"}, "", "mid", 0, 0},
		{"structured, and not base64", amqp091.Delivery{ContentType: structured, Body: []byte(`{"specversion":"1.0","id":"2","type":"t","data_base64":"%"}`)}, "", digestOf(`{"specversion":"1.0","id":"2","type":"t","data_base64":"%"}`), 0, 0},
		{"structured, and without an ID", amqp091.Delivery{ContentType: structured, Body: []byte(`{"specversion":"1.0","source":"urn:erp","type":"t"}`), MessageId: "mid"}, "", "mid", 0, 0},
		{"without an ID anywhere", amqp091.Delivery{Headers: amqp091.Table{prefix + "specversion": "1.0", prefix + "type": "t"}, Body: []byte("1")}, "", digestOf("1"), 0, 0},
		{"no event and no ID", amqp091.Delivery{Body: []byte("hello"), Redelivered: true}, "", digestOf("hello"), 0, 1},
		{"counted by the broker", amqp091.Delivery{Headers: headers(amqp091.Table{"x-delivery-count": int64(4)}), Redelivered: true}, "order.released", "1", 0, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Receive{}.decode(&tt.in, "q", now)
			if got.Kind != tt.kind || got.ID != tt.id || got.Number != tt.number || got.Deliveries != tt.deliveries || !got.Undated || got.Time != now {
				t.Errorf("got kind %q, id %q, number %d, %d deliveries, undated %t", got.Kind, got.ID, got.Number, got.Deliveries, got.Undated)
			}
			if tt.kind == "" && string(got.Body) != string(tt.in.Body) {
				t.Errorf("the body is %q", got.Body)
			}
		})
	}
}

func TestTheMappingOfWhatComesIn(t *testing.T) {
	r := Receive{Mapping: "all", Mappings: map[string]string{"a": "of-a"}}
	for kind, want := range map[string]string{"a": "of-a", "b": "all"} {
		m := sample("m")
		m.Kind = kind
		if got := r.decode(arrived(encode(m, message.Document{}, true, nil)), "q", time.Now()); got.Mapping != want {
			t.Errorf("kind %s: got the mapping %q, want %q", kind, got.Mapping, want)
		}
	}
	p := encode(sample("m"), message.Document{}, true, nil)
	p.Headers[prefix+"mapping"] = "its-own"
	if got := r.decode(arrived(p), "q", time.Now()); got.Mapping != "all" {
		t.Errorf("got the mapping %q: a message names its own", got.Mapping)
	}
}

// FuzzDecode: whatever comes, it has an ID, nothing panics, and what was decoded survives being sent on.
func FuzzDecode(f *testing.F) {
	whole := encode(sample("m"), message.Document{}, false, nil)
	f.Add(whole.ContentType, whole.MessageId, "1.0", "5", string(whole.Body))
	f.Add("application/json", "", "1.0", "", `{"a":1}`)
	f.Add(structured, "x", "", "", `{"specversion":"1.0","id":1,"data_base64":"AAH/","lanenumber":9223372036854775808,"time":null}`)
	f.Fuzz(func(t *testing.T, contentType, id, version, number, body string) {
		d := &amqp091.Delivery{ContentType: contentType, MessageId: id, Body: []byte(body), Headers: amqp091.Table{
			prefix + "specversion": version, prefix + "id": id, prefix + "type": contentType, prefix + "lanenumber": number, prefix + "lane": number,
		}}
		got := Receive{}.decode(d, "q", time.Unix(1, 0).UTC())
		if got.ID == "" {
			t.Errorf("it has no ID")
		}
		if got.Kind == "" || got.Number < 1 || got.Role != message.Event || got.Time.Year() < 0 || got.Time.Year() > 9999 || got.Cause != "" {
			return
		}
		again := Receive{}.decode(arrived(encode(got.Message, message.Document{}, false, nil)), "q", time.Unix(1, 0).UTC())
		if valid := json.Valid([]byte(fmt.Sprintf("%q", got.ID))); valid && again.ID != got.ID && strings.ToValidUTF8(got.ID, "") == got.ID {
			t.Errorf("sent on, %q became %q", got.ID, again.ID)
		}
	})
}

func TestADigestThatIsKnownIsTheOneSent(t *testing.T) {
	for _, binary := range []bool{false, true} {
		p := encodeDigested(sample("m"), "known", message.Document{}, plainData(sample("m"), message.Document{}), binary, nil)
		if got := (Receive{}).decode(arrived(p), "q", time.Now()).Claimed; got != "known" {
			t.Errorf("binary %t: the event claims %q, want the digest that was known", binary, got)
		}
	}
}
