package seal

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

func unsignedCounter() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "holdfast", Name: "keys_unsigned_total", Help: "How often a message was not signed for want of a key that counts. It is kept, and does not leave unsigned.",
	})
}

func lateCounter() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "holdfast", Name: "keys_signed_late_total", Help: "Messages that were committed without a signature and signed before they left.",
	})
}

// measure registers for how long the node can sign without its keyring, and what it could not sign at once.
func (r *Ring) measure(to prometheus.Registerer) {
	if to == nil {
		return
	}
	to.MustRegister(r.unsigned, r.late, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "holdfast", Name: "keys_signing_left_seconds", Help: "How long this node can sign if its keyring gives no new certificate.",
	}, func() float64 { return r.State().Left.Seconds() }))
	flag := func(name, help string, is func(State) bool) {
		to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "holdfast", Name: name, Help: help}, func() float64 {
			if is(r.State()) {
				return 1
			}
			return 0
		}))
	}
	flag("keys_outage_half", "1 once more than half of the time is gone for which the keyring may be away: an alert.", func(s State) bool { return s.Half })
	flag("keys_cold_start", "1 while the node signs with a key from a start without its keyring: an alarm.", func(s State) bool { return s.Cold })
}

// measure registers how it is with the epochs of what is sealed at rest.
func (r *Rest) measure(to prometheus.Registerer) {
	if to == nil {
		return
	}
	gauge := func(name, help string, of func() float64) {
		to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "holdfast", Name: name, Help: help}, of))
	}
	gauge("keys_rest_ready", "Epochs of what is sealed at rest that lie ready for when the keyring is away.", func() float64 { return float64(r.ready.Load()) })
	gauge("keys_rest_wrapped_earlier", "Epochs whose seed is still wrapped by an earlier version of the key than others: a rewrap that is under way has so many to go.", func() float64 { return float64(r.earlier.Load()) })
	gauge("keys_rest_refused", "Epochs whose seed the keyring refuses, so that nothing sealed by them can be read: an alarm.", func() float64 {
		r.mu.RLock()
		defer r.mu.RUnlock()
		return float64(len(r.closed))
	})
	flag := func(name, help string, is *atomic.Bool) {
		gauge(name, help, func() float64 {
			if is.Load() {
				return 1
			}
			return 0
		})
	}
	flag("keys_rest_out", "1 while the last epoch goes on beyond its time, since none lies ready: an alarm.", &r.seedsOut)
	flag("keys_plain_doubted", "1 once somebody has reset in the database whether what is owed may be unsealed, which is not believed: an alarm.", &r.doubted)
}
