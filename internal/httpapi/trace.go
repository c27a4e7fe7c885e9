package httpapi

import (
	"context"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"holdfast/openapi/contract"
)

// traced has a span for each request, in the caller's trace if it began one. The trace goes on with the message even where nobody
// records spans here.
func traced(next http.Handler) http.Handler {
	return otelhttp.NewHandler(next, "api", otelhttp.WithPropagators(propagation.TraceContext{}))
}

// nameSpan calls the request's span by the operation's template: names must not grow with the number of orders.
func nameSpan(ctx context.Context, op *contract.Operation) {
	span := trace.SpanFromContext(ctx)
	span.SetName(op.Method + " " + op.Path)
	span.SetAttributes(attribute.String("http.route", op.Path), attribute.String("holdfast.request", requestID(ctx)))
}

// Traceparent is the present span in the words of W3C Trace Context, "" if there is none: what a message made in ctx carries, so that
// the trace of a call on the shop floor ends with the ERP's answer.
func Traceparent(ctx context.Context) string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c.Get("traceparent")
}
