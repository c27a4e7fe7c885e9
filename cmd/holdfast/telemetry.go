package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"

	"holdfast/internal/problem"
)

// newLogger is the log of the whole program.
func newLogger(cfg LogConfig, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "log.level " + cfg.Level, Why: "there is no such level", Hint: "use debug, info, warn or error",
		}
	}
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}

// telemetry is where figures and traces of this process go.
type telemetry struct {
	registry *prometheus.Registry
	traces   *trace.TracerProvider
}

// openTelemetry makes the registry, and has traces sent where the configuration or OTEL_EXPORTER_OTLP_ENDPOINT says. Without
// either, a trace that a caller began is passed on all the same (W3C Trace Context).
func openTelemetry(ctx context.Context, cfg TelemetryConfig) (*telemetry, error) {
	t := &telemetry{registry: prometheus.NewRegistry()}
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	opts := []trace.TracerProviderOption{
		trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(float64(cfg.SamplePercent) / 100))),
		trace.WithResource(resource.NewSchemaless(semconv.ServiceName("holdfast"), semconv.ServiceVersion(version()))),
	}
	if cmp.Or(cfg.Endpoint, os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")) != "" {
		var to []otlptracehttp.Option
		if cfg.Endpoint != "" {
			to = append(to, otlptracehttp.WithEndpointURL(cfg.Endpoint))
		}
		exporter, err := otlptracehttp.New(ctx, to...)
		if err != nil {
			return nil, fmt.Errorf("send traces to %s: %w", cfg.Endpoint, err)
		}
		opts = append(opts, trace.WithBatcher(exporter))
	}
	t.traces = trace.NewTracerProvider(opts...)
	otel.SetTracerProvider(t.traces)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return t, nil
}

// Close sends the last traces.
func (t *telemetry) Close(ctx context.Context) error {
	if err := t.traces.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}
