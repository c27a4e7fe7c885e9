package seal

import (
	"strings"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// sent is a message as an ERP would sign it.
func sent() message.Message {
	return message.Message{
		ID: "e1", Source: "urn:erp", Kind: "order.released", Version: 1, Key: "o1", Time: signedAt, Body: []byte(`{"quantity":"4.000"}`),
		Place: message.Place{Link: "erp", Lane: "o1", Epoch: 1, Number: 1, Role: message.Event},
	}
}

func guarded(k ...SigningKey) *Guard {
	var keys FixedKeys
	for _, k := range k {
		keys = append(keys, k.Key())
	}
	erp := Sender{Name: "sap", Form: ByJWS, Keys: keys, Sources: []string{"urn:erp"}, Kinds: []string{"order.*"}}
	return NewGuard(map[string]Policy{"erp": {Senders: []Sender{erp}, Audience: "erp"}}, func() time.Time { return signedAt })
}

func TestOnlyWhatASenderSignedAndMaySendIsBelieved(t *testing.T) {
	erp, stranger := edKey(t, 'e'), edKey(t, 's')
	shared, err := NewSecretKey("shared", []byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	// What everybody knows as a secret: the public key, under its own name (RFC 8725 section 2.1).
	public, err := NewSecretKey(erp.ID, erp.private[32:])
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		sign   SigningKey
		before func(m *message.Message) // it is signed
		after  func(in *message.Incoming)
		link   string
		want   problem.Kind
	}{
		{"as signed", erp, nil, nil, "erp", ""},
		{"by a shared secret", shared, nil, nil, "erp", ""},
		{"unsigned", erp, nil, func(in *message.Incoming) { in.Signature = "" }, "erp", problem.Denied},
		{"by the public key as a secret", public, nil, nil, "erp", problem.Integrity},
		{"by a stranger", stranger, nil, nil, "erp", problem.Denied},
		{"over another link, which signs nothing", erp, nil, nil, "other", problem.Denied},
		{"for another link", erp, func(m *message.Message) { m.Link = "other" }, nil, "erp", problem.Denied},
		{"as another source", erp, func(m *message.Message) { m.Source = "urn:crm" }, nil, "erp", problem.Denied},
		{"a kind that is not its own", erp, func(m *message.Message) { m.Kind = "goods.moved" }, nil, "erp", problem.Denied},
		{"another body", erp, nil, func(in *message.Incoming) { in.Body = []byte(`{"quantity":"40.00"}`) }, "erp", problem.Integrity},
		{"another lane", erp, nil, func(in *message.Incoming) { in.Lane = "o2" }, "erp", problem.Integrity},
		{"another number", erp, nil, func(in *message.Incoming) { in.Number = 2 }, "erp", problem.Integrity},
		{"another predecessor", erp, nil, func(in *message.Incoming) { in.Prev = "x" }, "erp", problem.Integrity},
		{"another version of the object", erp, nil, func(in *message.Incoming) { in.ObjectVersion = "9" }, "erp", problem.Integrity},
		{"another claim", erp, nil, func(in *message.Incoming) { in.Claimed = "x" }, "erp", problem.Integrity},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := sent()
			if tt.before != nil {
				tt.before(&m)
			}
			in := message.Incoming{Message: m}
			var err error
			if in.Signature, err = tt.sign.SignMessage(m, ""); err != nil {
				t.Fatal(err)
			}
			if tt.after != nil {
				tt.after(&in)
			}
			_, err = guarded(erp, shared).Check(t.Context(), in, tt.link)
			if got := problem.KindOf(err); got != tt.want || (err == nil) != (tt.want == "") {
				t.Errorf("got %q: %v, want %q", got, err, tt.want)
			}
		})
	}
}

// awayKeys cannot be had.
type awayKeys struct{}

var errKeysAway = bad(problem.Unavailable, "the keys are away")

func (awayKeys) Find(KeyID) (Key, error) { return Key{}, errKeysAway }
func (awayKeys) All() ([]Key, error)     { return nil, errKeysAway }

// TestKeysThatAreAwayHoldUpOnlyWhatCouldBeTheirs has the keys of a sender away: of what it may not have sent nothing is left open by that.
func TestKeysThatAreAwayHoldUpOnlyWhatCouldBeTheirs(t *testing.T) {
	erp, stranger := edKey(t, 'e'), edKey(t, 's')
	kinds := []string{"*"}
	senders := []Sender{
		{Name: "crm", Form: ByJWS, Keys: awayKeys{}, Sources: []string{"urn:crm"}, Kinds: kinds},
		{Name: "sap", Form: ByJWS, Keys: FixedKeys{erp.Key()}, Sources: []string{"urn:erp"}, Kinds: kinds},
	}
	g := NewGuard(map[string]Policy{"erp": {Senders: senders, Audience: "erp"}}, func() time.Time { return signedAt })
	tests := []struct {
		name, source string
		sign         SigningKey
		want         problem.Kind
	}{
		{"of another sender", "urn:erp", erp, ""},
		{"forged, in another sender's name", "urn:erp", stranger, problem.Denied},
		{"forged, in nobody's name", "urn:x", stranger, problem.Denied},
		{"of whose keys are away", "urn:crm", stranger, problem.Unavailable},
		{"by another sender, in the name of whose keys are away", "urn:crm", erp, problem.Denied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := message.Incoming{Message: sent()}
			in.Source = tt.source
			var err error
			if in.Signature, err = tt.sign.SignMessage(in.Message, ""); err != nil {
				t.Fatal(err)
			}
			if _, err = g.Check(t.Context(), in, "erp"); problem.KindOf(err) != tt.want {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestAPlantWhoseKeysAreAwayHoldsUpNoOther has what one plant of Holdfast exported away, before and after the one that has signed.
func TestAPlantWhoseKeysAreAwayHoldsUpNoOther(t *testing.T) {
	trust, m := signedBy(t)
	there := Sender{
		Name: "there", Form: ByOrigin, Trust: func(message.Message) (*Trust, error) { return trust, nil }, Sources: []string{m.Source}, Kinds: []string{"*"},
	}
	away := Sender{
		Name: "away", Form: ByOrigin, Trust: func(message.Message) (*Trust, error) { return nil, errKeysAway }, Sources: []string{"urn:plant:away"}, Kinds: []string{"*"},
	}
	altered, others := m, m
	altered.Body, others.Source = []byte(`{"yield":"9.000"}`), "urn:plant:away"
	for _, senders := range [][]Sender{{away, there}, {there, away}} {
		g := NewGuard(map[string]Policy{"erp": {Senders: senders, Audience: m.Link}}, time.Now)
		for _, tt := range []struct {
			name string
			m    message.Message
			want problem.Kind
		}{{"as it was signed", m, ""}, {"altered", altered, problem.Integrity}, {"of the plant that is away", others, problem.Unavailable}} {
			if _, err := g.Check(t.Context(), message.Incoming{Message: tt.m}, "erp"); problem.KindOf(err) != tt.want {
				t.Errorf("%s, asked first %s: got %v, want %q", tt.name, senders[0].Name, err, tt.want)
			}
		}
	}
}

// TestASenderOfWebhooksWhoseKeysAreAwayHoldsUpNoOther has the keys of the first away.
func TestASenderOfWebhooksWhoseKeysAreAwayHoldsUpNoOther(t *testing.T) {
	erp := edKey(t, 'e')
	g := NewGuard(map[string]Policy{"erp": {Senders: []Sender{
		{Name: "crm", Form: ByWebhook, Keys: awayKeys{}}, {Name: "sap", Form: ByWebhook, Keys: FixedKeys{erp.Key()}},
	}}}, func() time.Time { return signedAt })
	h := message.Hop{Method: "POST", Scheme: "https", Authority: "plant", Path: "/", Header: map[string][]string{}, Body: []byte(`{}`)}
	if err := erp.ProveWebhook(&h, "m1", signedAt); err != nil {
		t.Fatal(err)
	}
	if w, err := g.Hops("erp").VerifyHop(t.Context(), h); err != nil || w.Sender != "erp/sap" {
		t.Errorf("got %q, %v", w.Sender, err)
	}
}

// TestALinkWithoutANameIsAddressedByNobody: an event that says no link is not for one that has no audience.
func TestALinkWithoutANameIsAddressedByNobody(t *testing.T) {
	k := edKey(t, 'e')
	m := sent()
	m.Link = ""
	signed, err := k.SignMessage(m, "")
	if err != nil {
		t.Fatal(err)
	}
	erp := Sender{Name: "sap", Form: ByJWS, Keys: FixedKeys{k.Key()}, Sources: []string{"urn:erp"}, Kinds: []string{"*"}}
	g := NewGuard(map[string]Policy{"erp": {Senders: []Sender{erp}}}, func() time.Time { return signedAt })
	if _, err := g.Check(t.Context(), message.Incoming{Message: m, Signature: signed}, "erp"); problem.KindOf(err) != problem.Denied {
		t.Errorf("got %v, want it refused", err)
	}
}
