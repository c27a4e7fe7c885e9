package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"holdfast/adapters/sap/idoc"
	"holdfast/internal/docnum"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/relay"
	"holdfast/internal/store"
	"holdfast/internal/token"
)

// SensitiveConfig says which values nobody sees who does not have to. Without it there are none.
type SensitiveConfig struct {
	Fields map[string][]string `yaml:"fields"`         // by class; default person: personnel and by
	Looks  int                 `yaml:"looks_per_hour"` // of one person, at what tokens stand for; default 20
}

// config is what package token takes.
func (s *SensitiveConfig) config() token.Config {
	if s == nil {
		return token.Config{}
	}
	c := token.Config{Fields: s.Fields, Looks: int64(s.Looks)}
	if len(c.Fields) == 0 {
		c.Fields = map[string][]string{"person": {"personnel", "by"}}
	}
	return c
}

// examinePeople tells where people are named in plain text, by a plant that could seal that.
func examinePeople(cfg Config) []finding {
	if cfg.Sensitive != nil || cfg.Keys.Kind == "" || cfg.Keys.AtRest == atRestOff {
		return nil
	}
	return []finding{{
		Subject: "people", State: look, Says: "who reported something (personnel, by) stands in plain text in orders, movements and copies of the plant",
		Do: "write sensitive: {} into " + cfg.file + " before there is much of it: tokens stand for people then (docs/tokens.md)",
	}}
}

func (c Config) checkSensitive(k *checker) {
	classes := token.New(c.Sensitive.config()).Classes()
	for name, l := range c.Links {
		for i, class := range l.Reveal {
			if !slices.Contains(classes, class) {
				k.wrong(fmt.Sprintf("links.%s.reveal[%d]", name, i), "there is no class "+class+" of sensitive values", "name one of sensitive.fields; without them it is person")
			}
		}
		if len(l.Reveal) > 0 && linkKinds()[l.Kind].events {
			k.wrong("links."+name+".reveal", "such a link takes the events themselves, which are signed with the tokens in them", "leave it out, or send through a link that maps")
		}
	}
	if c.Sensitive == nil {
		return
	}
	if c.Keys.Kind == "" || c.Keys.AtRest == atRestOff {
		k.wrong("sensitive", "nothing seals what tokens stand for: there is no keyring, or keys.at_rest is off", "write keys: as docs/keys.md says")
	}
	if c.Sensitive.Looks < 0 {
		k.wrong("sensitive.looks_per_hour", "it is negative", "leave it out for 20")
	}
	for class, fields := range c.Sensitive.Fields {
		at := "sensitive.fields." + class
		if len(fields) == 0 {
			k.wrong(at, "it names no field", "write the names of fields, such as [personnel]")
		}
		for i, f := range fields {
			if slices.Contains(strings.Split(strings.Trim(f, "/"), "/"), "") {
				k.wrong(fmt.Sprintf("%s[%d]", at, i), "it is no field", "write a name, or the last names of a path, such as confirmation/personnel")
			}
		}
	}
}

// revealing maps messages with the sensitive values in them that a link's ERP is told, and cleans what the mapping says against them.
type revealing struct {
	rules  relay.Mapper
	tokens *token.Tokens
	db     *store.DB
	links  map[string]LinkConfig
}

// mapper is rules, which put in what the links' policies say.
func (c Config) mapper(rules relay.Mapper, tokens *token.Tokens, db *store.DB) relay.Mapper {
	if !tokens.On() {
		return rules
	}
	return revealing{rules, tokens, db, c.Links}
}

// Apply implements relay.Mapper. A value that cannot be opened now is an error of kind Unavailable: the message waits.
func (r revealing) Apply(ctx context.Context, name string, m message.Verified, refs mapping.Resolver) (message.Document, error) {
	classes := r.links[m.Message().Link].Reveal
	if len(classes) == 0 {
		return r.rules.Apply(ctx, name, m, refs)
	}
	var shown token.Shown
	ctx = mapping.Filling(ctx, func(ctx context.Context, text []byte) (out []byte, err error) {
		err = r.db.View(ctx, func(tx *store.Tx) error {
			out, shown, err = r.tokens.Reveal(ctx, tx, text, classes)
			return err
		})
		if err != nil { // of what was altered the lane is parked: whoever looks for it must be told before
			err = errors.Join(err, r.tokens.Tell(ctx, r.db))
		}
		return out, err
	})
	doc, err := r.rules.Apply(ctx, name, m, refs)
	if len(shown) == 0 {
		return doc, err
	}
	shown = shown.Cuts(doc.Body)
	for _, p := range doc.Params {
		shown = shown.Cuts([]byte(p))
	}
	doc.Secret = shown
	if problem.KindOf(err) == problem.Unavailable {
		return doc, err
	}
	return doc, cleaned(err, shown)
}

// cleaned is a mapping's error without the values. One that says what the message waits for stays what it is.
func cleaned(err error, shown token.Shown) error {
	if _, waits := err.(*mapping.Waiting); waits { //nolint:errorlint // a wrapped one would lose its words
		return err
	}
	return message.ScrubError(err, shown)
}

// withoutValues takes out of what an ERP says later of messages, by a receipt, a refusal, the status of an IDoc or a kind of its own, the values that
// it was told with them. What names the messages stays. It is inbox.Clean.
func (f *floors) withoutValues(ctx context.Context, tx *store.Tx, link, kind string, text []byte) ([]byte, error) {
	classes := f.cfg.Links[link].Reveal
	if len(classes) == 0 || !f.tokens.On() {
		return text, nil
	}
	ids, own, err := answered(ctx, tx, link, kind, text)
	if problem.KindOf(err) == problem.NotFound {
		return text, nil
	} else if err != nil {
		return nil, err
	}
	var shown token.Shown
	for _, id := range ids {
		s, err := f.shown(ctx, tx, link, id, classes)
		if err != nil {
			return nil, err
		}
		shown = append(shown, s...)
	}
	var fields map[string]json.RawMessage
	if len(shown) == 0 || json.Unmarshal(text, &fields) != nil {
		return text, nil // whoever reads the answer tells of what is no object
	}
	shown = shown.Cuts(text)
	if own {
		return shown.ScrubBut(text, ids...), nil
	}
	for name, value := range fields {
		if !slices.Contains([]string{"message", "number", "state", "at"}, strings.ToLower(name)) {
			fields[name] = shown.ScrubBody(value)
		}
	}
	return json.Marshal(fields)
}

// mostNamed bounds the messages that are looked for in one event of a kind of the ERP's own.
const mostNamed = 20

// answered are the messages that an ERP speaks of, none if it speaks of none. In a kind of the ERP's own, which only its mapping could read, that is
// whatever has the form of a message's ID.
func answered(ctx context.Context, tx *store.Tx, link, kind string, text []byte) (ids []string, own bool, err error) {
	var of struct{ Message, Number string }
	known := json.Unmarshal(text, &of) == nil
	switch kind {
	case outbox.ReceiptKind, outbox.RefusalKind:
		if known && of.Message != "" {
			ids = []string{of.Message}
		}
	case idoc.StatusKind:
		if known {
			sent, err := docnum.Message(ctx, tx, link, of.Number)
			return []string{sent.Message}, false, err
		}
	default:
		ids, own = messageID.FindAllString(string(text), mostNamed), true
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	return ids, own, nil
}

var messageID = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)

// shown are the values that an ERP was told with a message; none if it is no message of the link.
func (f *floors) shown(ctx context.Context, tx *store.Tx, link, id string, classes []string) (token.Shown, error) {
	m, err := f.outbox.Message(ctx, tx, id)
	if problem.KindOf(err) == problem.NotFound || err == nil && m.Link != link {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	const most = 8 << 20 // that a mapping reads
	body, err := m.Read(ctx, most)
	if err != nil {
		return nil, nil //nolint:nilerr // of what is larger nothing was filled in; what was shredded has no values
	}
	_, shown, err := f.tokens.Reveal(ctx, tx, body, classes)
	return shown, err
}
