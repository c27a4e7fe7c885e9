package message_test

import (
	"bytes"
	"testing"
)

func BenchmarkDigest(b *testing.B) {
	m := signedSample()
	m.Body = bytes.Repeat([]byte("x"), 1024)
	for b.Loop() {
		m.Digest()
	}
}

func BenchmarkProof(b *testing.B) {
	m := signedSample()
	m.Body = bytes.Repeat([]byte("x"), 1024)
	m = m.Summed() // as the relay has it, which has compared its digest before
	digest := m.Digest()
	for b.Loop() {
		m.Proof(digest)
	}
}
