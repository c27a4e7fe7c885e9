package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// What links offer that can have payloads be read by their receivers alone, whoever carries them.
type (
	encrypting interface{ EncryptBy(e message.Encrypter) }
	decrypting interface{ DecryptBy(d message.Decrypter) }
)

func (l LinkConfig) checkEncryption(k *checker, at string) {
	if l.EncryptTo != "" && l.Kind != "rest" && l.Kind != "amqp" {
		k.wrong(at+".encrypt_to", "an ERP's own protocol has no place for what is encrypted", "leave it out; the line is by TLS")
	}
	if l.DecryptWith == "" {
		return
	}
	if l.Kind != "amqp" {
		k.wrong(at+".decrypt_with", "only what comes over links of kind amqp is decrypted", "leave it out; the line is by TLS")
	}
	checkReference(k, at+".decrypt_with", l.DecryptWith)
}

// encrypt has a link encrypt what it sends, if it shall.
func (l LinkConfig) encrypt(to link) error {
	by, ok := to.(encrypting)
	if l.EncryptTo == "" || !ok {
		return nil
	}
	text, err := os.ReadFile(l.EncryptTo)
	if err != nil {
		return &problem.Error{Kind: problem.Invalid, What: "read the key of a receiver", Why: why(err), Hint: "put the receiver's public key there"}
	}
	receiver, err := seal.ParseReceiver(text, time.Now)
	if err == nil {
		by.EncryptBy(receiver)
	}
	return err
}

// decryptLinks has the links read what is encrypted to the plant. Only a plant that runs needs its private key for that.
func (p *process) decryptLinks(ctx context.Context) error {
	for name, l := range p.links {
		by, ok := l.(decrypting)
		reference := p.cfg.Links[name].DecryptWith
		if reference == "" || !ok {
			continue
		}
		text, err := p.cfg.secret(ctx, reference)
		if err != nil {
			return fmt.Errorf("links.%s.decrypt_with: %w", name, err)
		}
		key, err := seal.ParseOpener([]byte(text))
		if err != nil {
			return fmt.Errorf("links.%s.decrypt_with: %w", name, err)
		}
		by.DecryptBy(key)
	}
	return nil
}
