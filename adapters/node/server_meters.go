package node

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// maxScrapes bounds the requests for metrics that are answered at once.
const maxScrapes = 4

// callMeters are a server's.
type callMeters struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec // by method and code
	reads    *prometheus.CounterVec // by what is read and how
	open     *prometheus.GaugeVec   // subscriptions
	sent     prometheus.Counter     // events of reads
}

func newCallMeters() *callMeters {
	m := &callMeters{
		registry: prometheus.NewRegistry(),
		calls:    counters("calls_total", "gRPC calls that have ended, by method and status code.", "method", "code"),
		reads:    counters("reads_total", "Reads and subscriptions that clients began, of a stream or of $all.", "of", "kind"),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: meterPrefix + "subscriptions_open",
			Help: "Subscriptions that clients hold, to a stream or to $all; persistent ones not included."}, []string{"of"}),
		sent: prometheus.NewCounter(prometheus.CounterOpts{Name: meterPrefix + "read_events_total",
			Help: "Events sent to clients by reads and subscriptions."}),
	}
	m.registry.MustRegister(m.calls, m.reads, m.open, m.sent,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	return m
}

func (m *callMeters) handler(logger *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(logger.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
	})
}

func (m *callMeters) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	resp, err := handle(ctx, req)
	m.calls.WithLabelValues(info.FullMethod, status.Code(err).String()).Inc()
	return resp, err
}

func (m *callMeters) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	err := handle(srv, stream)
	m.calls.WithLabelValues(info.FullMethod, status.Code(err).String()).Inc()
	return err
}

// began counts a read, and returns what to call when it ends.
func (m *callMeters) began(stream string, subscription bool) (ended func()) {
	of, kind := "stream", "counted"
	if stream == allStream {
		of = "all"
	}
	if !subscription {
		m.reads.WithLabelValues(of, kind).Inc()
		return func() {}
	}
	m.reads.WithLabelValues(of, "subscription").Inc()
	open := m.open.WithLabelValues(of)
	open.Inc()
	return open.Dec
}
