package audit

import (
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/problem"
)

// figures are what a Tree tells of itself.
type figures struct {
	broken *prometheus.GaugeVec
	behind prometheus.Gauge
	size   prometheus.Gauge
	at     prometheus.Gauge
}

func newFigures(to prometheus.Registerer) *figures {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "holdfast", Subsystem: "audit", Name: name, Help: help})
	}
	f := &figures{
		broken: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "holdfast", Subsystem: "audit", Name: "trouble", Help: "1 while checkpoints cannot be made (build), are not written outside the database (copy), or do not continue what is there (altered).",
		}, []string{"what"}),
		behind: gauge("waiting_entries", "How many entries no checkpoint covers yet, up to the number that makes one."),
		size:   gauge("checkpoint_entries", "How many entries the last checkpoint that this node made covers."),
		at:     gauge("checkpoint_timestamp_seconds", "When this node made its last checkpoint."),
	}
	for _, what := range []string{"build", "copy", "altered"} {
		f.broken.WithLabelValues(what).Set(0)
	}
	if to != nil {
		to.MustRegister(f.broken, f.behind, f.size, f.at)
	}
	return f
}

func (f *figures) trouble(what string, err error) {
	is := 0.0
	if err != nil {
		is = 1
	}
	f.broken.WithLabelValues(what).Set(is)
	if problem.KindOf(err) == problem.Integrity {
		f.altered()
	}
}

// altered stands until somebody has looked and starts the program anew.
func (f *figures) altered() { f.broken.WithLabelValues("altered").Set(1) }

func (f *figures) waiting(n int64) { f.behind.Set(float64(n)) }

func (f *figures) sealed(c *Checkpoint) {
	f.size.Set(float64(c.Size))
	f.at.Set(float64(c.At.Unix()))
}
