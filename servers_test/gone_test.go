//go:build unix

package serverstest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// An end goes on when its client has gone away, but not for ever: when the
// engine does not answer either, it fails as soon as the store's timeout is over.
func TestAnEndWhoseClientHasGoneDoesNotWaitForAnEngineThatHas(t *testing.T) {
	onEngines(t, func(t *testing.T, e *engine) {
		ends := map[string]func(ctx context.Context, s *sojourn.Site, own sojourn.SessionID) error{
			"Disconnect":    func(ctx context.Context, s *sojourn.Site, _ sojourn.SessionID) error { return s.Disconnect(ctx) },
			"DisconnectAll": func(ctx context.Context, s *sojourn.Site, _ sojourn.SessionID) error { return s.DisconnectAll(ctx) },
			"DisconnectAll of another": func(ctx context.Context, s *sojourn.Site, _ sojourn.SessionID) error {
				return s.DisconnectAll(ctx, sojourn.OfUser("bob"))
			},
			"EndSession": func(ctx context.Context, s *sojourn.Site, own sojourn.SessionID) error {
				return s.EndSession(ctx, "ada", own)
			},
		}
		for name, end := range ends {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				proxy := testserver.NewProxy(t, e.host(t), nil)
				store, err := siteConfig{Engine: e.through(t, proxy), Name: newName(), Timeout: 2 * time.Second}.open(t.Context())
				must(t, err)
				site, err := sojourn.New(sojourn.Config{Store: store})
				must(t, err)
				t.Cleanup(func() {
					proxy.Release()
					proxy.Cut()
					site.Close() // it may not be able to write what it has
				})
				var answers, ended error
				pages := map[string]http.HandlerFunc{
					"/connect": func(_ http.ResponseWriter, r *http.Request) { answers = site.Connect(r.Context(), "ada") },
					"/end": func(_ http.ResponseWriter, r *http.Request) {
						var list []sojourn.SessionInfo
						if list, answers = site.Sessions(r.Context(), "ada"); answers != nil {
							return
						}
						own := list[slices.IndexFunc(list, func(in sojourn.SessionInfo) bool { return in.Current })].ID
						proxy.Hold()
						gone, cancel := context.WithCancel(r.Context())
						cancel()
						ended = end(gone, site, own)
					},
				}
				b := sojourntest.NewBrowser(t, site.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					pages[r.URL.Path](w, r)
				})))
				answered := func(path string) func() bool {
					return func() bool {
						b.Get(path)
						return answers == nil
					}
				}
				await(t, "the engine", answered("/connect"))
				over := make(chan struct{})
				go func() {
					defer close(over)
					await(t, "the engine", answered("/end"))
				}()
				select {
				case <-over:
				case <-time.After(patience):
					proxy.Cut()
					<-over
					t.Fatal("it waits for ever")
				}
				if !errors.Is(ended, sojourn.ErrUnavailable) {
					t.Errorf("the end failed with %v, want %v", ended, sojourn.ErrUnavailable)
				}
			})
		}
	})
}
