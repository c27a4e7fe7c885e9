package odata

import "holdfast/adapters/wire"

// ProveBy has every request signed. Answers and receipts are not judged: what a change set answers covers several messages at once. It must
// not be called while anything is delivered or read.
func (l *Link) ProveBy(p wire.Proofs) { l.http.ProveBy(p.Sign, nil) }
