package main

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"holdfast/internal/seal"
)

// VerifyConfig says what is believed of what comes over a link. Without senders a message is believed by its link alone.
type VerifyConfig struct {
	Audience  string         `yaml:"audience"`  // the name that senders have for this link, inside their signatures; in no other plant
	Authority string         `yaml:"authority"` // the host that senders call, inside their signatures; of no other plant
	MaxAge    time.Duration  `yaml:"max_age"`   // of the proof of a request or an answer; default 5 min
	Receipts  string         `yaml:"receipts"`  // keys by which the ERP signs its receipts: a file, or an https address
	Senders   []SenderConfig `yaml:"senders"`
}

// SenderConfig is somebody who may send over a link, and how that is proved.
type SenderConfig struct {
	Name     string   `yaml:"name"`
	Form     string   `yaml:"form"`      // http-signature, standard-webhooks, jws or holdfast
	Keys     string   `yaml:"keys"`      // a file, or an https address
	Secret   string   `yaml:"secret"`    // reference to a shared secret, in base64, instead
	SecretID string   `yaml:"secret_id"` // the sender's name for it
	Sources  []string `yaml:"sources"`   // as which it may speak, and nobody else
	Kinds    []string `yaml:"kinds"`     // that it may send
}

// isAddress tells whether keys are to be asked for by HTTP.
func isAddress(keys string) bool {
	return strings.HasPrefix(keys, "https://") || strings.HasPrefix(keys, "http://")
}

// anchored makes the paths of files absolute.
func (v VerifyConfig) anchored(c Config) VerifyConfig {
	place := func(keys string) string {
		if isAddress(keys) {
			return keys
		}
		return c.beside(keys)
	}
	v.Receipts, v.Senders = place(v.Receipts), slices.Clone(v.Senders)
	for i := range v.Senders {
		v.Senders[i].Keys = place(v.Senders[i].Keys)
	}
	return v
}

// checkProofs tells what is wrong with how a link proves and what it asks to be proved.
func (l LinkConfig) checkProofs(k *checker, at string) {
	if l.Proof != "" {
		k.among(at+".proof", l.Proof, string(seal.ByHop), string(seal.ByWebhook))
		if l.Kind == "amqp" {
			k.wrong(at+".proof", "a broker is no ERP: the event itself is signed, and the connection is by TLS", "leave it out")
		}
	}
	if l.ProofSecret != "" {
		checkReference(k, at+".proof_secret", l.ProofSecret)
	}
	if (l.ProofSecret == "") != (l.ProofKey == "") || l.ProofSecret != "" && l.Proof == "" {
		k.wrong(at+".proof_secret", "proof, proof_secret and proof_key go together", "give all three, or proof alone to sign with the node's key")
	}
	if l.Verify.MaxAge < 0 {
		k.wrong(at+".verify.max_age", "it is negative", "leave it out for 5m")
	}
	checkKeysAt(k, at+".verify.receipts", l.Verify.Receipts)
	if l.Kind != "rest" && l.Verify.Receipts != "" {
		k.wrong(at+".verify.receipts", "only links of kind rest read signed receipts", "leave it out")
	}
	names := map[string]bool{}
	for i, s := range l.Verify.Senders {
		here := fmt.Sprintf("%s.verify.senders[%d]", at, i)
		if s.Name == "" || names[s.Name] {
			k.wrong(here+".name", "it is missing or used twice", "name the sender for logs and alerts")
		}
		names[s.Name] = true
		s.check(k, here, l.Kind)
	}
	l.checkAddressee(k, at)
}

// checkAddressee demands what ties a signature to one plant and to one request: without it what an ERP has signed for another plant would be
// believed here, by the name of the link or by the host that whoever sends it writes, and an answer would serve another request.
func (l LinkConfig) checkAddressee(k *checker, at string) {
	hops := slices.ContainsFunc(l.Verify.Senders, func(s SenderConfig) bool { return s.Form == string(seal.ByHop) })
	switch {
	case l.Kind == "amqp" && len(l.Verify.Senders) > 0 && l.Verify.Audience == "":
		k.wrong(at+".verify.audience", "it is missing, and a message that was signed for another plant would be believed",
			"write the name that senders sign as link, which no other plant has, such as to-plant-1000")
	case l.Kind == "rest" && hops && l.Verify.Authority == "":
		k.wrong(at+".verify.authority", "it is missing, and a request that was signed for another plant would be believed",
			"write the host that senders call for this plant, such as plant-1000.example")
	}
	if l.Kind == "rest" && hops && l.Proof != string(seal.ByHop) {
		k.wrong(at+".proof", "answers that are signed by http-signature would serve other requests, since these are not signed so", "write proof: http-signature")
	}
}

// forms are the ways in which a sender over a link of some kind can prove what it sends.
func forms(kind string) []string {
	if kind == "amqp" {
		return []string{string(seal.ByJWS), string(seal.ByOrigin)}
	}
	return []string{string(seal.ByHop), string(seal.ByWebhook)}
}

func (s SenderConfig) check(k *checker, at, kind string) {
	if kind != "amqp" && kind != "rest" {
		k.wrong(at, "what comes over links of kind "+kind+" is not checked in this version", "leave verify out; the line is by TLS")
		return
	}
	k.among(at+".form", s.Form, forms(kind)...)
	checkKeysAt(k, at+".keys", s.Keys)
	if (s.Keys == "") == (s.Secret == "") || (s.Secret == "") != (s.SecretID == "") {
		k.wrong(at+".keys", "it names neither keys nor a secret with its secret_id, or both", "give keys: with a file or address, or secret and secret_id")
	}
	if s.Secret != "" {
		checkReference(k, at+".secret", s.Secret)
	}
	if s.Form == string(seal.ByOrigin) && (s.Secret != "" || isAddress(s.Keys)) {
		k.wrong(at+".keys", "it is no file of holdfast keys export", "have the other plant export its keys, and name that file")
	}
	if len(s.Sources) == 0 {
		k.wrong(at+".sources", "it is missing", "name the CloudEvents sources as which it may speak, such as [urn:erp]")
	}
	if len(s.Kinds) == 0 {
		k.wrong(at+".kinds", "it is missing", `write kinds: ["*"] for every message, or some of them such as ["order.*"]`)
	}
	for i, pattern := range s.Kinds {
		if _, err := path.Match(pattern, "order.created"); err != nil || pattern == "" {
			k.wrong(fmt.Sprintf("%s.kinds[%d]", at, i), "it is no pattern", "write a kind such as order.released, or order.*")
		}
	}
}

// checkKeysAt refuses an address of keys that is not by TLS, but for this machine.
func checkKeysAt(k *checker, at, keys string) {
	if !isAddress(keys) {
		return
	}
	u, err := url.Parse(keys)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme == "http" && !net.ParseIP(u.Hostname()).IsLoopback() {
		k.wrong(at, "it is no https address without credentials", "write https://erp.example/.well-known/jwks.json, or name a file")
	}
}

// newGuard decides by the configuration what is believed. It opens nothing: files are read when they are needed, addresses are asked by
// those that it gives back.
func (c Config) newGuard(now func() time.Time, log *slog.Logger) (*seal.Guard, []*fetchedKeys) {
	policies, fetches := map[string]seal.Policy{}, []*fetchedKeys(nil)
	keysAt := func(keys string) seal.SenderKeys {
		if isAddress(keys) {
			f := newFetchedKeys(keys, log)
			fetches = append(fetches, f)
			return f
		}
		return keysInFile(keys, log)
	}
	for name, l := range c.Links {
		if len(l.Verify.Senders) == 0 && l.Verify.Receipts == "" {
			continue
		}
		p := seal.Policy{Audience: l.Verify.Audience, Authority: l.Verify.Authority, Age: l.Verify.MaxAge}
		if l.Verify.Receipts != "" {
			p.Receipts = keysAt(l.Verify.Receipts)
		}
		for _, s := range l.Verify.Senders {
			out := seal.Sender{Name: s.Name, Form: seal.Form(s.Form), Sources: s.Sources, Kinds: s.Kinds}
			switch {
			case s.Secret != "":
				out.Keys = c.sharedOf(s, log)
			case out.Form == seal.ByOrigin:
				out.Trust = plantKeys(s.Keys, now, log).with
			default:
				out.Keys = keysAt(s.Keys)
			}
			p.Senders = append(p.Senders, out)
		}
		policies[name] = p
	}
	return seal.NewGuard(policies, now), fetches
}

// sharedSecret reads a secret as it is kept: in base64, with or without the prefix of Standard Webhooks.
func sharedSecret(text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), "whsec_"))
	if err != nil {
		return nil, fmt.Errorf("the secret is not in base64: write one that openssl rand -base64 32 makes")
	}
	return b, nil
}
