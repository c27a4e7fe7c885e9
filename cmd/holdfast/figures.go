package main

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/inbox"
	"holdfast/internal/store"
)

// inboxFigures tells, at each scrape, how the inbox is.
type inboxFigures struct {
	db *store.DB
	in *inbox.Inbox
}

// buildInfo is 1, with the version that runs.
func buildInfo() prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "holdfast", Name: "build_info", Help: "1, with the version that runs.", ConstLabels: prometheus.Labels{"version": version()},
	})
	g.Set(1)
	return g
}

// figures are the gauges of the inbox, by name.
func figures() map[string]string {
	return map[string]string{
		"waiting": "Messages whose turn has not come.", "quarantined": "Messages that wait for a person.",
		"held": "Lanes that wait for a message in quarantine.", "gaps": "Lanes in which a number is missing.",
		"gaps_alerted": "Of these, those that have lasted too long.", "rejected": "Messages that could not be believed.",
	}
}

func figure(name string) *prometheus.Desc {
	return prometheus.NewDesc("holdfast_inbox_"+name, figures()[name], nil, nil)
}

// troubled is 1 for a feed whose last poll has failed.
func troubled() *prometheus.Desc {
	return prometheus.NewDesc("holdfast_inbox_feed_trouble", "1 while the polls of a feed fail: nothing new comes in over its link.", []string{"link", "feed"}, nil)
}

// Describe implements prometheus.Collector.
func (f *inboxFigures) Describe(to chan<- *prometheus.Desc) {
	for name := range figures() {
		to <- figure(name)
	}
	to <- troubled()
}

// Collect implements prometheus.Collector. Without the database it tells nothing, and the figures are missing from the scrape.
func (f *inboxFigures) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var s inbox.Status
	err := f.db.View(ctx, func(tx *store.Tx) (err error) {
		s, err = f.in.Status(ctx, tx)
		return err
	})
	if err != nil {
		return
	}
	for name, n := range map[string]int64{
		"waiting": s.Waiting, "quarantined": s.Quarantined, "held": s.Held, "gaps": s.Gaps, "gaps_alerted": s.Alerted, "rejected": s.Rejected,
	} {
		to <- prometheus.MustNewConstMetric(figure(name), prometheus.GaugeValue, float64(n))
	}
	for _, feed := range s.Feeds {
		n := 0.0
		if feed.Trouble != "" {
			n = 1
		}
		link, _, _ := strings.Cut(feed.Name, "/")
		to <- prometheus.MustNewConstMetric(troubled(), prometheus.GaugeValue, n, link, feed.Name)
	}
}
