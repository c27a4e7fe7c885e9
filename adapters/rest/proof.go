package rest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// ProveBy has the link prove and ask for proofs. It must not be called while anything is delivered or read.
func (l *Link) ProveBy(p wire.Proofs) {
	l.proofs = p
	l.http.ProveBy(p.Sign, p.Answers)
}

// introduce names the event in the header of a request that is signed, so that the signature is over it too, or encrypted, so that it can be
// read (CloudEvents HTTP protocol binding 1.0.2). It gives the digest of a body that is not in memory.
func (l *Link) introduce(hr *http.Request, d message.Delivery) {
	if l.proofs.Sign == nil && l.seal == nil {
		return
	}
	m := d.Event.Message()
	for name, value := range map[string]string{"Ce-Specversion": "1.0", "Ce-Id": m.ID, "Ce-Source": m.Source, "Ce-Type": m.Kind} {
		if hr.Header.Get(name) == "" {
			hr.Header.Set(name, encoded(value))
		}
	}
	if large := d.Doc.Large; large != nil && l.seal == nil {
		hr.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(large.Digest[:])+":")
	}
}

// encoded writes an attribute for a header (section 3.1.3.2 of the binding).
func encoded(value string) string {
	var b strings.Builder
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c > '~' || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unproven tells why an answer is not known to be the ERP's, nil if it is or none is asked to be.
func (l *Link) unproven(a wire.Answer) error {
	if l.proofs.Answers == nil {
		return nil
	}
	return a.Proof.Err()
}

// unbelieved is an answer that is not known to be the ERP's: the inbox keeps it as rejected, and the poll stays where it is.
func (p *Poll) unbelieved(a wire.Answer) message.Incoming {
	sum := sha256.Sum256(a.Body)
	return message.Incoming{
		Message: message.Message{
			ID: "answer/sha256:" + hex.EncodeToString(sum[:]), Source: p.cfg.Source, Kind: p.cfg.Kind, Version: 1, Time: a.At, Body: a.Body,
			Place: message.Place{Role: message.Event},
		},
		Undated: true, Proof: a.Proof,
	}
}

// signedReceipt is what an answer brings as a signed receipt; nothing of it is believed yet.
func signedReceipt(a wire.Answer) string {
	if s := a.Header.Get(wire.Receipt); len(s) <= wire.MostReceipt {
		return s
	}
	return ""
}

// receipted believes that a message was delivered if the ERP has signed that, where it is asked to. A receipt that is missing, of another
// message or altered leaves open whether the message was taken: the ERP is asked. When it was asked and the receipt is wrong again,
// somebody alters what it says, and a person must look. A receipt that cannot be judged just now is nobody's fault: the link counts as down,
// and the ERP is asked again.
func (l *Link) receipted(ctx context.Context, d message.Delivery, out message.Outcome) message.Outcome {
	if out.Verdict != message.Delivered {
		return out
	}
	signed := out.Receipt.Signed
	out.Receipt.Signed = ""
	if l.proofs.Receipts == nil {
		return out
	}
	m := d.Event.Message()
	of := message.Receipted{ID: m.ID, Digest: d.Digest, Document: out.Receipt.Document}
	if of.Digest == "" {
		of.Digest = m.Digest()
	}
	err := l.proofs.Receipts.VerifyReceipt(ctx, signed, of)
	if problem.KindOf(err) == problem.Unavailable {
		return message.Outcome{Verdict: message.Unsure, LinkDown: true, Receipt: message.Receipt{Status: out.Receipt.Status}, Err: err}
	}
	if err != nil {
		l.log.ErrorContext(ctx, "the receipt of a message is not the ERP's", "part", "rest", "message", m.ID, "err", err)
		return message.Outcome{Verdict: message.Unsure, Receipt: message.Receipt{Status: out.Receipt.Status}, Err: &problem.Error{
			Kind: problem.Integrity, What: "receipt of message " + m.ID, Why: err.Error(),
			Hint: "find out who alters what the ERP answers; then look in the ERP whether it has the message",
		}}
	}
	out.Receipt.Signed = signed
	return out
}
