package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata"
	"holdfast/adapters/rest"
	"holdfast/adapters/sap"
	"holdfast/internal/port"
)

// mocks are the ERPs of a plant's links, each served from the contract that the link goes by, and the links opened to them.
type mocks struct {
	links map[string]link
	g     *errgroup.Group
	end   context.CancelFunc
}

// mocks starts them. A link without a contract at hand has none.
func (w *workshop) mocks(ctx context.Context) (map[string]link, func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	g, ctx := errgroup.WithContext(ctx)
	m := &mocks{links: map[string]link{}, g: g, end: cancel}
	for _, name := range slices.Sorted(maps.Keys(w.cfg.Links)) {
		if err := m.start(ctx, w.cfg, name); err != nil {
			m.stop()
			return nil, nil, fmt.Errorf("start a mock for link %s: %w", name, err)
		}
	}
	return m.links, m.stop, nil
}

func (m *mocks) stop() {
	for _, l := range m.links {
		l.Close()
	}
	m.end()
	if err := m.g.Wait(); err != nil {
		slog.Default().Error("a mock ended", "part", "mock", "err", err)
	}
}

func (m *mocks) start(ctx context.Context, cfg Config, name string) error {
	c := cfg.Links[name]
	erp, err := mockOf(c)
	if err != nil || erp == nil {
		return err
	}
	ln, err := port.Listen()
	if err != nil {
		return errors.Join(err, erp.Close())
	}
	m.g.Go(func() error { return errors.Join(erpmock.Serve(ctx, ln, erp), erp.Close()) })
	l, err := linkKinds()[c.Kind].open(c.mocked("http://"+ln.Addr().String()), noSecret, slog.New(slog.DiscardHandler))
	if err == nil {
		m.links[name] = l
	}
	return err
}

// mocked is a link to a mock in the place of its ERP: it goes through no proxy, shows no certificate, and gets no token. What a contract wants to be
// given by it has a made-up value.
func (l LinkConfig) mocked(at string) LinkConfig {
	l.REST.BaseURL, l.REST.Proxy, l.REST.TLS = at, "", rest.TLS{}
	for _, c := range []*odata.Config{&l.OData, &l.SAP.Config} {
		c.BaseURL, c.Proxy, c.TLS = at, "", odata.TLS{}
		if c.Auth.OAuth != nil {
			c.Auth = odata.Auth{Bearer: "env:MADE_UP"} //nolint:gosec // it names no secret
		}
	}
	return l
}

// noSecret stands for each secret of a link to a mock: none is read, and no Vault is asked.
func noSecret(context.Context, string) (string, error) { return "made-up", nil }

// mockOf is the mock of a link's ERP; nil where the link names no contract.
func mockOf(c LinkConfig) (mock, error) {
	switch c.Kind {
	case "rest":
		spec := c.REST.Spec
		if spec == rest.Builtin {
			spec = ""
		}
		return openMock(mockFlags{spec: spec, seed: 1})
	case "odata":
		return mockServices(c.OData.Services, nil)
	case "sap":
		full, err := c.SAP.Complete()
		if err != nil {
			return nil, err
		}
		return mockServices(full.Services, sap.Metadata())
	}
	return nil, nil
}

// mockServices serves OData services by the $metadata that the link names or, without one, by what is shipped under the service's name.
func mockServices(services map[string]odata.Service, shipped fs.FS) (mock, error) {
	var sources []edmx.Source
	for _, name := range slices.Sorted(maps.Keys(services)) {
		s := services[name]
		var text []byte
		var err error
		switch {
		case s.Metadata != "":
			text, err = readFile(s.Metadata, "save the service's $metadata there")
		case shipped != nil:
			text, err = fs.ReadFile(shipped, name+".xml")
		}
		if errors.Is(err, fs.ErrNotExist) && s.Metadata == "" || text == nil && err == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		sources = append(sources, edmx.Source{Metadata: text, Root: s.Path})
	}
	if len(sources) == 0 {
		return nil, nil
	}
	return edmx.NewSystem(edmx.Config{Seed: 1}, sources...)
}
