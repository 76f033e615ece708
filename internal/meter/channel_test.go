package meter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// Names of channels are labels while that is asked for, and bounded in number.
//
// Checklist: configuration 133
func TestChannelNames(t *testing.T) {
	r := meter.NewRegistry("h")
	v := r.ChannelCounters("a_total", "Counts.", "app_id")
	v.WithLabelValues("room", "x", "public").Inc()
	r.NameChannels(true)
	for i := range meter.MaxChannelNames + 5 {
		v.WithLabelValues(fmt.Sprint("room-", i), "x", "public").Inc()
		v.WithLabelValues("room-0", "x", "public").Inc()
	}
	if have := gathered(t, r, ""); fmt.Sprint(have) != "map[a_total app_id=x channel_type=public hub=h:1]" {
		t.Errorf("without names: %v", have)
	}
	registry := prometheus.NewPedanticRegistry()
	if err := r.RegisterNamed(registry, ""); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	named, others, first := 0, 0.0, 0.0
	for _, m := range families[0].GetMetric() {
		for _, l := range m.GetLabel() {
			switch {
			case l.GetName() != "channel_name":
			case l.GetValue() == "other":
				others = m.GetCounter().GetValue()
			case l.GetValue() == "room-0":
				first = m.GetCounter().GetValue()
				fallthrough
			case strings.HasPrefix(l.GetValue(), "room-"):
				named++
			}
		}
	}
	if named != meter.MaxChannelNames || others != 5 || first != meter.MaxChannelNames+6 {
		t.Errorf("%d channels are named, others have %v, and the first has %v", named, others, first)
	}
	if infos := r.Infos(); len(infos) != 1 {
		t.Errorf("the metric is described %d times", len(infos))
	}
}
