package seal

import "github.com/prometheus/client_golang/prometheus"

// measure registers for how long the node can sign without its keyring.
func (r *Ring) measure(to prometheus.Registerer) {
	if to == nil {
		return
	}
	to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "holdfast", Name: "keys_signing_left_seconds", Help: "How long this node can sign if its keyring gives no new certificate.",
	}, func() float64 { return r.State().Left.Seconds() }))
}
