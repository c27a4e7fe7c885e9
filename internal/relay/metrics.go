package relay

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
)

// metrics are the relay's instruments. Every label is a link or one of a few fixed words, so that their number stays small.
type metrics struct {
	outcomes *prometheus.CounterVec   // link, verdict
	took     *prometheus.HistogramVec // link: one request
	late     *prometheus.HistogramVec // link: from append to delivery
	fenced   *prometheus.CounterVec   // link: settlements that came too late
	inHand   *prometheus.GaugeVec     // link
	open     *prometheus.GaugeVec     // link: 1 while the breaker is not closed
	rate     *prometheus.GaugeVec     // link: present cap, 0 is none
	owed     *prometheus.GaugeVec     // link
	oldest   *prometheus.GaugeVec     // link
	parked   *prometheus.GaugeVec     // link
	doubtful *prometheus.GaugeVec     // link
	doubtAge *prometheus.GaugeVec     // link
}

func newMetrics(to prometheus.Registerer) *metrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "holdfast", Name: name, Help: help}, []string{"link"})
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "holdfast", Name: name, Help: help, Buckets: buckets}, []string{"link"})
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "holdfast", Name: name, Help: help}, labels)
	}
	m := &metrics{
		outcomes: counter("relay_outcomes_total", "Answers of an ERP by what they mean.", "link", "verdict"),
		took:     histogram("relay_request_seconds", "Time of one request to an ERP.", prometheus.DefBuckets),
		late:     histogram("relay_delivery_seconds", "Time from the commit of a message to its delivery.", prometheus.ExponentialBuckets(.005, 4, 12)),
		fenced:   counter("relay_fenced_total", "Settlements that came after the lease was lost.", "link"),
		inHand:   gauge("relay_lanes_in_hand", "Lanes that this node holds."),
		open:     gauge("relay_breaker_open", "1 while the link is taken to be down."),
		rate:     gauge("relay_rate", "Requests a second that the link may have now, 0 without a cap."),
		owed:     gauge("outbox_owed", "Messages that are owed."),
		oldest:   gauge("outbox_oldest_seconds", "Age of the oldest message that is owed."),
		parked:   gauge("outbox_lanes_parked", "Lanes that wait for a person."),
		doubtful: gauge("outbox_in_doubt", "Messages that may have been sent, and to which there was no answer."),
		doubtAge: gauge("outbox_in_doubt_seconds", "How long the oldest message in doubt has been so, 0 if there is none."),
	}
	if to != nil {
		to.MustRegister(m.outcomes, m.took, m.late, m.fenced, m.inHand, m.open, m.rate, m.owed, m.oldest, m.parked, m.doubtful, m.doubtAge)
	}
	return m
}

func (m *metrics) answer(link string, o message.Outcome) {
	v := o.Verdict
	if v == "" {
		v = message.Unsure
	}
	m.outcomes.WithLabelValues(link, string(v)).Inc()
}

func (m *metrics) status(l outbox.Link, now time.Time) {
	m.owed.WithLabelValues(l.Name).Set(float64(l.Owed))
	m.oldest.WithLabelValues(l.Name).Set(age(now, l.OldestAt))
	m.parked.WithLabelValues(l.Name).Set(float64(l.Parked))
	m.doubtful.WithLabelValues(l.Name).Set(float64(l.Doubtful))
	m.doubtAge.WithLabelValues(l.Name).Set(age(now, l.DoubtAt))
}

// age is how many seconds ago something was; 0 if it never was.
func age(now, then time.Time) float64 {
	if then.IsZero() {
		return 0
	}
	return max(0, now.Sub(then).Seconds())
}

func (m *metrics) pace(link string, inHand int, p *pace, b breaker) {
	_, rate := p.now()
	m.rate.WithLabelValues(link).Set(rate)
	m.inHand.WithLabelValues(link).Set(float64(inHand))
	open := 0.0
	if b.probing() {
		open = 1
	}
	m.open.WithLabelValues(link).Set(open)
}
