package seal

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"time"

	"holdfast/internal/problem"
)

// DrillReport is what a rehearsal has shown.
type DrillReport struct {
	Key      KeyID         // made for it; nothing of the plant was signed with it
	Life     time.Duration // of the certificate that the keyring gives
	Budget   time.Duration // for how long the keyring may be away, from the moment that the key would be replaced
	Signed   int           // signatures made without the keyring, each checked with public keys alone
	Asked    int           // attempts at a new key that nobody answered
	Refused  time.Time     // from when on the node did refuse to sign: the end of the certificate, not earlier
	Returned time.Duration // how long the keyring took for a new key when it was back
}

// drillStep is how far the clock of a drill goes at a time.
const drillStep = time.Hour

// Drill rehearses that the keyring is away for as long as it may be. It has the keyring certify a key, as a node does, takes the keyring
// away and lets the clock of this rehearsal run to the end of the certificate: each hour the key signs, the signature is checked with what
// was known before, and from the age renew on a new key is asked for in vain. Past the end nothing may be signed; then the keyring is back
// and gives a new key. Neither the node's own key nor the database is touched: a node that runs beside it does not notice. The error is of
// kind Integrity where something did not hold, else that of the keyring.
func Drill(ctx context.Context, from Keyring, node string, renew time.Duration) (DrillReport, error) {
	now := time.Now()
	r := &Ring{from: from, node: node, cfg: RingConfig{Renew: renew, Now: func() time.Time { return now }}, unsigned: unsignedCounter(), late: lateCounter()}
	k, err := r.make(ctx)
	if err != nil {
		return DrillReport{}, err
	}
	r.key.Store(k)
	roots, lists, err := from.Roots(ctx)
	if err != nil {
		return DrillReport{}, err
	}
	trust := NewTrust(roots, lists, []Certificate{{Key: k.id, Node: node, Chain: k.chain, Made: now}})
	report := DrillReport{Key: k.id, Life: k.to().Sub(k.made).Round(time.Minute), Budget: k.to().Sub(r.due(k)).Round(time.Minute)}
	r.from = away{}
	for ; !now.After(k.to()); now = now.Add(drillStep) {
		if err := r.rehearse(ctx, trust, &report); err != nil {
			return report, err
		}
	}
	report.Refused = k.to()
	if _, err := r.Sign(ForDrill, nil); problem.KindOf(err) != problem.Unavailable {
		return report, drillFailed(now, "it still signs although its certificate has ended")
	}
	r.from, r.cfg.Now = from, time.Now // the keyring's clock was not moved
	begun := time.Now()
	if _, err := r.make(ctx); err != nil {
		return report, fmt.Errorf("the keyring is back, and gives no key: %w", err)
	}
	report.Returned = time.Since(begun)
	return report, nil
}

// ForDrill is the purpose of what is signed in a drill, so that it serves for nothing.
const ForDrill Purpose = "holdfast/drill/1"

// rehearse is one hour of a drill.
func (r *Ring) rehearse(ctx context.Context, trust *Trust, report *DrillReport) error {
	now := r.cfg.Now()
	if !now.Before(r.due(r.key.Load())) {
		if _, err := r.make(ctx); problem.KindOf(err) != problem.Unavailable {
			return drillFailed(now, "a keyring that is away gave a key")
		}
		report.Asked++
	}
	digest := sha256.Sum256(fmt.Append(nil, now))
	s, err := r.Sign(ForDrill, digest[:])
	if err != nil {
		return drillFailed(now, "the node does not sign: "+err.Error())
	}
	if _, err := trust.Verify(ForDrill, digest[:], s); err != nil {
		return drillFailed(now, "its signature is not good: "+err.Error())
	}
	report.Signed++
	return nil
}

func drillFailed(at time.Time, why string) error {
	return &problem.Error{
		Kind: problem.Integrity, What: "rehearse that the keyring is away, at " + at.UTC().Format(time.RFC3339), Why: why,
		Hint: "see how long the keyring's certificates last, and the clocks of node and keyring",
	}
}

// away is a keyring that does not answer.
type away struct{}

func errAway() error {
	return &problem.Error{Kind: problem.Unavailable, What: "ask the keyring", Why: "it is away, for a rehearsal", Hint: "wait for the end of the rehearsal"}
}

// Certify does not answer.
func (away) Certify(context.Context, *x509.CertificateRequest) ([]*x509.Certificate, error) {
	return nil, errAway()
}

// Revoke does not answer.
func (away) Revoke(context.Context, *x509.Certificate) error { return errAway() }

// Roots does not answer.
func (away) Roots(context.Context) ([]*x509.Certificate, []*x509.RevocationList, error) {
	return nil, nil, errAway()
}
