package sockudo

import (
	"context"
	"fmt"
	"io"
	"reflect"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/storage"
)

// withApps is an app manager that takes the apps of the configuration as its own.
type withApps interface {
	WithApps(apps []*storage.App) error
}

// loadSpec makes the recipe of a driver. It opens nothing.
func loadSpec[T io.Closer](ctx caddy.Context, hub string, d *definition, kind string) (storage.Spec[T], error) {
	choice := d.drivers[kind]
	module, err := ctx.LoadModuleByID(choice.module, choice.config)
	if err != nil {
		return nil, at(kind, err)
	}
	spec, ok := module.(storage.Spec[T])
	if !ok {
		return nil, fmt.Errorf("%s: module %s is a %T, not a %v", kind, choice.module, module, reflect.TypeFor[storage.Spec[T]]())
	}
	if s, ok := module.(forHub); ok {
		s.ForHub(hub)
	}
	if s, ok := module.(withApps); ok && kind == kindApps {
		return spec, at(kind, s.WithApps(d.apps))
	}
	return spec, nil
}

// openDriver takes a lease of a running driver, which it opens if nobody has it.
func openDriver[T io.Closer](ctx caddy.Context, t *tenure, d *definition, kind string) (T, error) {
	spec, err := loadSpec[T](ctx, t.hub.Name(), d, kind)
	if err != nil {
		var none T
		return none, err
	}
	return takeDriver(t, d, kind, spec, spec.Key(), func() (T, error) { return openSpec(spec) })
}

// openSpec makes the resource of a recipe, in bounded time.
func openSpec[T any](spec storage.Spec[T]) (T, error) {
	timeout := openTimeout
	if slow, ok := spec.(storage.Slow); ok {
		timeout = slow.OpenTimeout()
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return spec.Open(ctx)
}

// takeDriver takes a lease of the driver with a key, or makes it.
func takeDriver[T io.Closer](t *tenure, d *definition, kind string, spec storage.Spec[T], key string, open func() (T, error)) (T, error) {
	var driver T
	l := &lease{pool: drivers, key: poolKey(kind, spec.Driver(), key)}
	t.leases[kind] = l // before it is taken: Cleanup gives back whatever was
	value, err := l.take(func() (caddy.Destructor, error) {
		driver, err := open()
		if err != nil {
			return nil, err
		}
		return &resource{kind: kind, driver: driver}, nil
	})
	if err != nil {
		return driver, fmt.Errorf("%s: opening %s: %w", kind, spec.Driver(), err)
	}
	driver, ok := value.(*resource).driver.(T)
	if !ok {
		return driver, fmt.Errorf("%s: %s is running as another kind of driver", kind, spec.Driver())
	}
	t.drivers[kind] = d.drivers[kind].driver
	if tuner, ok := any(driver).(storage.Tuner); ok {
		t.tunes = append(t.tunes, func() error { return at(kind, tuner.Tune(spec)) })
	}
	return driver, nil
}
