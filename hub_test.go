package sojourn_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	live "github.com/coder/websocket"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/sojourntest"
)

// Thousands of tabs come and go while their users connect, disconnect and are
// sent messages, and then the site closes under them. TestMain sees to it that
// no goroutine stays.
func TestTabsComeAndGoByTheThousand(t *testing.T) {
	t.Parallel()
	rounds := 250
	if testing.Short() {
		rounds = 25
	}
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &liveSite{Site: site}
	mux := http.NewServeMux()
	mux.Handle("/login", site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Somebody may end the session while it opens.
		if err := site.Connect(r.Context(), sojourn.UserID(r.FormValue("user"))); err != nil && !errors.Is(err, sojourn.ErrSessionEnded) {
			t.Error(err)
		}
	})))
	mux.Handle("/logout", site.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := site.Disconnect(r.Context()); err != nil && !errors.Is(err, sojourn.ErrSessionEnded) {
			t.Error(err)
		}
	})))
	s.h = site.Middleware(mux)
	users := []string{"ann", "bob", "cleo", "dan"}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			b := sojourntest.NewBrowser(t, s.h)
			for range rounds {
				tab := b.NewTab()
				var open []*sojourntest.Live
				for range 1 + random.IntN(3) {
					open = append(open, tab.Live())
				}
				user := users[random.IntN(len(users))]
				switch random.IntN(6) {
				case 0, 1:
					tab.Post("/login", asUser(user))
				case 2:
					tab.Post("/logout", nil)
				case 3:
					if err := s.DisconnectAll(t.Context(), sojourn.OfUser(sojourn.UserID(user))); err != nil {
						t.Error(err)
					}
				case 4:
					if err := s.Notify(t.Context(), s.UserState(sojourn.UserID(user)), "hello", user); err != nil {
						t.Error(err)
					}
				case 5: // nothing
				}
				for _, l := range open {
					if random.IntN(4) > 0 {
						l.Close()
					}
				}
			}
		})
	}
	wg.Wait()
	if err := site.Close(); err != nil {
		t.Error(err)
	}
}

// What opens while the site closes is closed, too.
func TestTabsOpenWhileTheSiteCloses(t *testing.T) {
	t.Parallel()
	for range 20 {
		site, err := sojourn.New(sojourn.Config{})
		if err != nil {
			t.Fatal(err)
		}
		h := site.Middleware(http.NotFoundHandler())
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 5 {
					l, resp := sojourntest.NewBrowser(t, h).NewTab().OpenLive(nil)
					if l == nil {
						t.Errorf("it is answered %s %s", resp.Status, resp.Text())
						return
					}
					if code := l.Code(); code != protocol.CloseRestart {
						t.Errorf("it closed with %d, want %d", code, protocol.CloseRestart)
					}
				}
			})
		}
		if err := site.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
}

// A client that is welcome hears something at least every 25 seconds.
func TestOpenTabsHearHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newLiveSite(t, sojourn.Config{})
		beats := make(chan time.Time, 100)
		tab := sojourntest.NewBrowser(t, s.h).NewTab()
		l := tab.Live()
		l.OnHeartbeat(func() { beats <- time.Now() })
		wantWelcome(t, l, "")
		start := time.Now()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		close(beats)
		last, n := start, 0
		for at := range beats {
			if gap := at.Sub(last); gap > protocol.HeartbeatSeconds*time.Second {
				t.Errorf("nothing was heard for %v", gap)
			}
			last = at
			n++
		}
		if n < 23 || n > 25 {
			t.Errorf("there were %d heartbeats in ten minutes, want 24", n)
		}
	})
}

// It may be that the network is slow: the connection breaks, and the client may
// try again.
func TestClientThatNeverSaysHelloIsDropped(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: takes ten seconds")
	}
	s := newLiveSite(t, sojourn.Config{})
	w := dial(t, listen(t, s.h), "")
	_, data, err := w.ws.Read(t.Context())
	if err == nil || live.CloseStatus(err) >= 4000 {
		t.Errorf("it hears %s, %v; want nothing, and that the connection breaks", data, err)
	}
}

func FuzzLiveFrames(f *testing.F) {
	for _, seed := range []string{
		`{"type":"hello","tab":"","mark":""}`, `{"type":"hello"}`, `{"type":"hello","mark":"0123456789abcdef"}`,
		`{"type":"hello","tab":"abcdefghijklmnopqrstuvwxyz"}`, `{"type":"hello","tab":null,"mark":null}`,
		`{"type":"welcome"}`, `{}`, `[]`, `null`, ``, `{"type":"hello"}{"type":"hello"}`, "\xff\xfe", `{"TYPE":"hello"}`,
	} {
		f.Add([]byte(seed), []byte(seed), true)
		f.Add([]byte(`{"type":"hello"}`), []byte(seed), false)
	}
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { site.Close() })
	srv := listen(f, site.Middleware(http.NotFoundHandler()))
	f.Fuzz(func(t *testing.T, first, second []byte, text bool) {
		w := dial(t, srv, "")
		kind := live.MessageBinary
		if text {
			kind = live.MessageText
		}
		for _, data := range [][]byte{first, second, []byte("the end")} {
			if w.ws.Write(t.Context(), kind, data) != nil {
				break
			}
		}
		for welcomes := 0; ; welcomes++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, data, err := w.ws.Read(ctx)
			cancel()
			var closed live.CloseError
			if err != nil && errors.As(err, &closed) {
				switch closed.Code {
				case protocol.CloseProtocol, protocol.CloseChanged, live.StatusMessageTooBig:
				default:
					t.Errorf("it closed with %d", closed.Code)
				}
				return
			}
			if err != nil { // a reset: what was sent last was not read any more
				return
			}
			var m struct{ Type string }
			if err := json.Unmarshal(data, &m); err != nil {
				t.Fatal(err)
			}
			if m.Type != protocol.LiveChanged && (m.Type != protocol.LiveWelcome || welcomes >= 2) {
				t.Errorf("it hears %s", data)
			}
		}
	})
}
