package sockudo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/eventstream"
)

// exporters are the running TCP exporters, by address.
var exporters = caddy.NewUsagePool() // of *exporter

// kindExporter is the word for the exporter, under which a tenure has its lease.
const kindExporter = "tcp_exporter"

// exporterSpec is what a definition says about its TCP exporter.
type exporterSpec struct {
	address string // host and port
	prefix  string // of the names of metrics
	buffer  int
}

// exporterClaim is who has named an address first in a configuration, and how.
type exporterClaim struct {
	hub    string
	buffer int
}

// exporter is a running TCP exporter in the pool.
type exporter struct{ *eventstream.Server }

// Destruct ends the exporter, its port and its readers.
func (e *exporter) Destruct() error { return e.Close() }

// exporterSection is the section of the TCP exporter, made if it is not there.
func exporterSection(c *HubConfig) *TCPExporterConfig {
	return section(&section(&c.Metrics).TCPExporter)
}

// parseArgs reads HOST:PORT, if that stands behind the word. It switches the exporter on.
func (c *TCPExporterConfig) parseArgs(d *caddyfile.Dispenser) (known bool, err error) {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return false, nil
	}
	if _, err := parseSwitch(args[0]); err == nil && len(args) == 1 {
		c.Enabled = Switch(args[0])
		return true, noBlock(d, kindExporter)
	}
	host, port, err := net.SplitHostPort(args[0])
	if err != nil || len(args) > 1 || host == "" {
		return true, d.Errf("%s takes on, off or HOST:PORT such as 127.0.0.1:5000, not %q", kindExporter, strings.Join(args, " "))
	}
	if _, err := openBlock(d, func() error { return parseBody(d, c) }); err != nil {
		return true, err
	}
	if c.Host != "" || c.Port != "" {
		return true, d.Errf("%s: HOST:PORT and host or port in its block mean the same: write one of them", kindExporter)
	}
	if f := fieldsOf(exporterType)["port"]; !hasPlaceholder(port) {
		if err := f.rule.check(port, f.kind); err != nil {
			return true, d.Errf("%s: port: %w", kindExporter, err)
		}
	}
	if c.Enabled == "" {
		c.Enabled = "on"
	}
	c.Host, c.Port = host, Number(port)
	return true, nil
}

// resolveExporter reads the section of the TCP exporter.
func (d *definition) resolveExporter(c *TCPExporterConfig) error {
	switch {
	case c == nil:
		return nil
	case !c.Enabled.or(false):
		if c.Enabled == "" {
			d.warnings = append(d.warnings, "metrics.tcp_exporter is off, although it has settings: enabled on switches it on")
		}
		return nil
	case !d.metrics:
		return errors.New("needs the metrics, which are off: metrics { enabled on }")
	}
	host := strings.TrimSuffix(strings.TrimPrefix(c.Host, "["), "]")
	if host == "" {
		host = "127.0.0.1"
	}
	if strings.ContainsAny(host, " /[]") || strings.Contains(host, ":") && !isAddress(host) {
		return fmt.Errorf("host: %q is not an address to listen at", c.Host)
	}
	d.exporter = &exporterSpec{address: net.JoinHostPort(host, strconv.Itoa(c.Port.or(5000))), buffer: c.BufferSize.or(eventstream.DefaultBufferSize)}
	if !isLoopback(host) {
		d.warnings = append(d.warnings, "metrics.tcp_exporter listens at "+d.exporter.address+", where others than this machine may read the metrics: it has neither TLS nor authentication")
	}
	return nil
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// claimExporter makes sure that hubs that share an exporter agree about it.
func (a *App) claimExporter(t *tenure, d *definition) error {
	spec := d.exporter
	if spec == nil {
		return nil
	}
	spec.prefix = d.prefix
	if first, ok := a.exporters[spec.address]; ok && first.buffer != spec.buffer {
		return fmt.Errorf("metrics.tcp_exporter: hub %s shares %s with a buffer_size of %d, not %d: write both alike, or another port", first.hub, spec.address, first.buffer, spec.buffer)
	}
	a.exporters[spec.address] = exporterClaim{t.hub.Name(), spec.buffer}
	t.exporterSpec = spec
	return nil
}

// openExporter takes a lease of the exporter, which begins to listen if nobody has it.
// That is when the configuration starts and not before, so that one can be checked while
// another one runs.
func (t *tenure) openExporter(a *App) error {
	spec := t.exporterSpec
	if spec == nil {
		return nil
	}
	l := &lease{pool: exporters, key: spec.address}
	t.leases[kindExporter] = l
	value, err := l.take(func() (caddy.Destructor, error) {
		// Not one of Caddy's listeners: those share their port with other processes.
		listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", spec.address)
		if err != nil {
			return nil, err
		}
		return &exporter{eventstream.Serve(listener, eventstream.Options{BufferSize: spec.buffer})}, nil
	})
	if err != nil {
		return at("metrics.tcp_exporter", whoListens(spec.address, err))
	}
	e := value.(*exporter)
	t.exporter = e
	t.tunes = append(t.tunes, func() error {
		e.SetLog(t.log)
		e.SetBufferSize(spec.buffer)
		return nil
	})
	return at("metrics.tcp_exporter", e.register(a.ctx.GetMetricsRegistry(), spec.address))
}

// whoListens says what to do about a port that another exporter of this process has.
func whoListens(address string, err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	_, port, _ := net.SplitHostPort(address)
	exporters.Range(func(key, _ any) bool {
		if _, other, _ := net.SplitHostPort(key.(string)); other == port && key != address {
			err = fmt.Errorf("%w: by the exporter at %v, that of another hub or of the configuration that still runs: write the same address, another port, or load a configuration without it first", err, key)
		}
		return true
	})
	return err
}

// feed is what a hub sends to its exporter. A hub has that of its current configuration.
type feed struct {
	to     *exporter // nil for none
	prefix string
	*eventstream.Feed
}

// stream lets the hub send its metrics to the exporter of a configuration, nil for none.
// The caller holds mu.
func (h *hub) stream(t *tenure) {
	next := feed{}
	if t != nil && t.exporter != nil {
		next.to, next.prefix = t.exporter, t.exporterSpec.prefix
	}
	if next.to == h.feed.to && next.prefix == h.feed.prefix {
		if next.to != nil {
			h.feed.Refresh()
		}
		return
	}
	if h.feed.to != nil {
		h.feed.Detach()
	}
	if next.to != nil {
		next.Feed = next.to.Attach(h.Metrics(), next.prefix)
		t.log.Info("metrics are sent to the readers of a TCP address", zap.String("hub", h.Name()), zap.Stringer("address", next.to.Addr()))
	}
	h.feed = next
}
