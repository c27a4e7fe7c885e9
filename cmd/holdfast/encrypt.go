package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
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
	if l.Kind != "rest" && l.Kind != "amqp" {
		k.wrong(at+".decrypt_with", "only what comes by the API or from a queue for links of kind rest and amqp is decrypted", "leave it out; the line is by TLS")
	}
	checkReference(k, at+".decrypt_with", l.DecryptWith)
}

// encrypt has a link encrypt what it sends, if it shall.
func (l LinkConfig) encrypt(to link) error {
	by, ok := to.(encrypting)
	if l.EncryptTo == "" || !ok {
		return nil
	}
	receiver, err := l.receiver(time.Now)
	if err == nil {
		by.EncryptBy(receiver)
	}
	return err
}

// receiver is whom the link encrypts to.
func (l LinkConfig) receiver(now func() time.Time) (*seal.Receiver, error) {
	text, err := os.ReadFile(l.EncryptTo)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Invalid, What: "read the key of a receiver", Why: why(err), Hint: "put the receiver's public key there"}
	}
	return seal.ParseReceiver(text, now)
}

// opener reads what is encrypted to the plant over a link.
func (c Config) opener(ctx context.Context, name string) (*seal.Opener, error) {
	text, err := c.secret(ctx, c.Links[name].DecryptWith)
	var o *seal.Opener
	if err == nil {
		o, err = seal.ParseOpener([]byte(text))
	}
	if err != nil {
		return nil, fmt.Errorf("links.%s.decrypt_with: %w", name, err)
	}
	return o, nil
}

// encryptLinks has a plant that runs read the keys of its links again and again: what takes their place is used without a restart. Only it needs
// the plant's private keys.
func (p *process) encryptLinks(ctx context.Context) error {
	p.openers = map[string]message.Decrypter{}
	for name, l := range p.links {
		c := p.cfg.Links[name]
		if by, ok := l.(encrypting); ok && c.EncryptTo != "" {
			k, err := p.renew(ctx, c.EncryptTo, func(context.Context) (any, error) { return c.receiver(p.db.Now) })
			if err != nil {
				return err
			}
			by.EncryptBy(k)
		}
		if c.DecryptWith == "" {
			continue
		}
		k, err := p.renew(ctx, "links."+name+".decrypt_with", func(ctx context.Context) (any, error) { return p.cfg.opener(ctx, name) })
		if err != nil {
			return err
		}
		p.openers[name] = k
		if by, ok := l.(decrypting); ok {
			by.DecryptBy(k)
		}
	}
	return nil
}

// renewed is a key that is read again while the plant runs. The last that could be read is used.
type renewed struct {
	name string
	read func(ctx context.Context) (any, error) // gives a message.Encrypter or a message.Decrypter
	log  *slog.Logger
	key  atomic.Value
}

func (p *process) renew(ctx context.Context, name string, read func(ctx context.Context) (any, error)) (*renewed, error) {
	k := &renewed{name: name, read: read, log: p.log.With("part", "keys", "key", name)}
	first, err := read(ctx)
	if err != nil {
		return nil, err
	}
	k.key.Store(first)
	p.keys = append(p.keys, part{"a key of encryption", k.Run})
	return k, nil
}

// Run reads the key every two seconds until ctx ends.
func (k *renewed) Run(ctx context.Context) error {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := k.read(ctx)
		if err == nil {
			k.key.Store(now)
			told = ""
			continue
		}
		if ctx.Err() == nil && told != err.Error() {
			told = err.Error()
			k.log.WarnContext(ctx, "a key cannot be read: the last one is used", "err", err)
		}
	}
}

// Encrypt implements message.Encrypter.
func (k *renewed) Encrypt(body []byte, media, event string) ([]byte, error) {
	return k.key.Load().(message.Encrypter).Encrypt(body, media, event)
}

// Decrypt implements message.Decrypter.
func (k *renewed) Decrypt(text []byte, event string) (body []byte, media string, err error) {
	return k.key.Load().(message.Decrypter).Decrypt(text, event)
}
