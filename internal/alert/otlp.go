package alert

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdk "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"holdfast/internal/audit"
)

// OTLP is the form of a collector that takes OpenTelemetry logs (OTLP 1 over HTTPS, protobuf) instead of syslog.
const OTLP = "otlp"

// otlp hands entries on as OpenTelemetry logs. A batch counts as handed on once the collector has answered that it has taken all of it.
type otlp struct {
	to       Collector
	timeout  time.Duration
	exporter sdk.Exporter // opened with the first batch
	records  *records
	logger   log.Logger
}

// open makes what sends. It connects to nobody yet.
func (o *otlp) open() error {
	transport := &http.Transport{TLSClientConfig: o.to.TLS.Clone(), ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}
	exporter, err := otlploghttp.New(context.Background(),
		otlploghttp.WithEndpointURL("https://"+o.to.Address+cmp.Or(o.to.Path, "/v1/logs")), otlploghttp.WithTimeout(o.timeout), otlploghttp.WithCompression(otlploghttp.GzipCompression),
		otlploghttp.WithHeaders(nil), otlploghttp.WithRetry(otlploghttp.RetryConfig{}), // headers of the environment are for traces; who tries again is the Forwarder
		otlploghttp.WithHTTPClient(&http.Client{
			Transport: answers{transport, o.to.Headers}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}))
	if err != nil {
		return err
	}
	form := o.to.Form
	about := resource.NewSchemaless(semconv.ServiceName("holdfast"), semconv.ServiceVersion(form.Version), semconv.ServiceInstanceID(form.Host), semconv.HostName(form.Host))
	provider := sdk.NewLoggerProvider(sdk.WithResource(about), sdk.WithProcessor(o.records), sdk.WithAttributeCountLimit(-1), sdk.WithAttributeValueLengthLimit(-1))
	o.exporter, o.logger = exporter, provider.Logger("holdfast/audit")
	return nil
}

func (o *otlp) send(ctx context.Context, entries []placed) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if o.exporter == nil {
		if err := o.open(); err != nil {
			return err
		}
	}
	o.records.all = nil
	for _, e := range entries {
		o.logger.Emit(ctx, o.to.Form.record(e.Entry, e.place))
	}
	return o.exporter.Export(ctx, o.records.all)
}

// records keeps what is emitted until it is exported, as one batch of known bounds. The SDK's batching would drop what does not fit its queue.
type records struct{ all []sdk.Record }

// OnEmit implements sdk.Processor.
func (r *records) OnEmit(_ context.Context, rec *sdk.Record) error {
	r.all = append(r.all, rec.Clone())
	return nil
}

// Enabled implements sdk.Processor.
func (*records) Enabled(context.Context, sdk.EnabledParameters) bool { return true }

// Shutdown implements sdk.Processor.
func (*records) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdk.Processor.
func (*records) ForceFlush(context.Context) error { return nil }

// record is an entry in OpenTelemetry's data model for logs. docs/siem.md lists the fields.
func (f Form) record(e audit.Entry, place int64) log.Record {
	var r log.Record
	r.SetTimestamp(e.At)
	r.SetObservedTimestamp(e.At)
	r.SetEventName(e.Action)
	level := map[int]log.Severity{critical: log.SeverityError2, warning: log.SeverityWarn1, notice: log.SeverityInfo2, informed: log.SeverityInfo1}[severity(e)]
	r.SetSeverity(level)
	r.SetSeverityText(level.String())
	r.SetBody(attribute.StringValue(plain(sentenceOf(e))))
	r.AddAttributes(attribute.Int64("holdfast.audit.place", place), attribute.Int64("holdfast.audit.seq", e.Seq))
	for _, p := range []param{
		{"holdfast.plant", f.Plant},
		{"user.name", e.Actor},
		{"client.address", e.From},
		{"holdfast.audit.action", e.Action},
		{"holdfast.audit.object", e.Object},
		{"holdfast.audit.outcome", e.Outcome},
		{"holdfast.audit.reason", e.Reason},
	} {
		if p.value != "" {
			r.AddAttributes(attribute.String(p.name, plain(p.value)))
		}
	}
	return r
}

// refusal is what a collector does not take of what reached it.
type refusal struct{ why string }

func (r refusal) Error() string { return r.why }

// answers adds the headers that show who calls, and judges what is answered: the exporter takes an answer that some records were rejected for one
// that all were taken.
type answers struct {
	by      http.RoundTripper
	headers func(ctx context.Context) (map[string]string, error)
}

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.headers != nil {
		more, err := a.headers(r.Context())
		if err != nil {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, err
		}
		r = r.Clone(r.Context())
		for name, value := range more {
			r.Header.Set(name, value)
		}
	}
	res, err := a.by.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(nil))
	return res, taken(res, body)
}

// taken is nil where all was taken, or where the status alone says that it was not.
func taken(res *http.Response, body []byte) error {
	switch {
	case res.StatusCode == http.StatusBadRequest, res.StatusCode == http.StatusRequestEntityTooLarge:
		return refusal{"it answered " + res.Status}
	case res.StatusCode/100 != 2 || res.Header.Get("Content-Type") != "application/x-protobuf":
		return nil
	}
	var answer logs.ExportLogsServiceResponse
	if err := proto.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("read its answer: %w", err)
	}
	if n := answer.GetPartialSuccess().GetRejectedLogRecords(); n > 0 {
		return refusal{fmt.Sprintf("it rejected %d of them: %s", n, plain(answer.GetPartialSuccess().GetErrorMessage()))}
	}
	return nil
}
