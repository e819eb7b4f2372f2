package sojourn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/protocol"
)

// Site is a web application's sessions: who is connected, from which browser
// and tab, and their state. Make one with New, put its Middleware outermost,
// and Close it in the end. Its methods may be called from any goroutine. It
// stands for ~sitedata of Os_session.
type Site struct {
	cfg      Config
	store    Store
	shared   bool // other servers use the store too
	log      *slog.Logger
	timeouts millis
	limits   Limits
	names    cookieNames
	path     string
	crossing *http.CrossOriginProtection

	actions   actions
	endpoints http.Handler
	sessions  sessionTable
	browsers  browserTable
	users     userTable
	tabs      tabIssuer
	strays    strays
	opening   onceTable
	endings   endings
	values    values        // of SiteScope
	doubt     atomic.Uint32 // counts store writes of unknown outcome; entries of an earlier count ask the store again
	touches   toucher
	refs      refNames
	hub       hub
	deaf      atomic.Bool // the other servers cannot be heard
	rpcs      rpcTable

	began   time.Time       // for clock
	ctx     context.Context // until Close
	stop    context.CancelFunc
	stopped sync.WaitGroup
	closed  sync.Once
	err     error // of Close
}

// millis are the Timeouts in milliseconds; never is 0.
type millis struct{ idle, absolute, tab, browser, touch, touchBrowser int64 }

// New makes a Site, and starts the goroutines that it needs until Close. It
// returns an error for a Config that cannot be meant: a cookie name or path
// that browsers would refuse, a malformed origin, a negative limit or timeout
// where that means nothing. Then Config.Store stays open.
func New(cfg Config) (*Site, error) {
	s := &Site{began: time.Now(), cfg: cfg, store: cfg.Store, log: cfg.Logger, limits: cfg.Limits, path: cfg.Path}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.path == "" {
		s.path = protocol.DefaultPath
	}
	if !validPath(s.path) {
		return nil, fmt.Errorf("sojourn: Config.Path is %q: it must be names of letters, digits, - and _, each between slashes", s.path)
	}
	var err error
	if s.names, err = newCookieNames(&s.cfg.Cookie); err != nil {
		return nil, err
	}
	if s.cfg.Cookie.Insecure {
		s.log.Warn("sojourn: CookieConfig.Insecure is set: cookies travel over plain HTTP; for development only")
	}
	s.crossing = http.NewCrossOriginProtection()
	for _, origin := range cfg.TrustedOrigins {
		if err := s.crossing.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("sojourn: Config.TrustedOrigins: %w", err)
		}
	}
	if s.timeouts, err = newMillis(cfg.Timeouts); err != nil {
		return nil, err
	}
	setDefault(&s.limits.SessionsPerUser, 50)
	s.limits.SessionsPerUser = max(s.limits.SessionsPerUser, 0) // a Store's 0 is no limit
	setDefault(&s.limits.TabsPerBrowser, 50)
	setDefault(&s.limits.AnonymousPerSubnet, 10_000)
	setDefault(&s.limits.RPCBody, 1<<20)
	if min(s.limits.TabsPerBrowser, s.limits.AnonymousPerSubnet, s.limits.RPCBody) < 0 {
		return nil, errors.New("sojourn: Config.Limits: only SessionsPerUser can be negative")
	}
	if s.store == nil {
		s.store = newMemoryStore()
	}
	s.shared = s.store.Fresh() != Forever
	s.tabs.init()
	s.touches.init()
	s.users.init()
	s.hub.init()
	s.endpoints = s.newEndpoints()
	s.ctx, s.stop = context.WithCancel(context.Background())
	for _, keep := range []func(context.Context){s.keepTouched, s.keepSwept, s.keepUsers, s.keepInformed, s.keepLive} {
		s.stopped.Go(func() { keep(s.ctx) })
	}
	return s, nil
}

// clock is a time in milliseconds that nobody sets, unlike that of the day: how
// old the store's answers are is not to depend on it.
func (s *Site) clock() int64 { return time.Since(s.began).Milliseconds() }

// Close stops every goroutine that New started, writes what is still to be
// written, and closes the store. Open tabs are told to connect again. Requests
// still running fail. It returns the error of the last writing or of the
// store's Close; called again, the same.
func (s *Site) Close() error {
	s.closed.Do(func() {
		s.hub.closeAll()
		s.awaitTabs(time.Second)
		s.stop()
		s.hub.reading.Wait()
		s.stopped.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.err = errors.Join(s.flush(ctx, true), s.store.Close())
	})
	return s.err
}

// awaitTabs gives open tabs a moment to hear that the server is going down.
func (s *Site) awaitTabs(most time.Duration) {
	gone := make(chan struct{})
	go func() { s.hub.reading.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-time.After(most):
	}
}

func newMillis(t Timeouts) (millis, error) {
	setDefault(&t.Idle, 14*24*time.Hour)
	setDefault(&t.Absolute, 90*24*time.Hour)
	setDefault(&t.Tab, 10*time.Minute)
	setDefault(&t.Browser, 400*24*time.Hour)
	if t.Tab < 0 || t.Browser < 0 {
		return millis{}, errors.New("sojourn: Config.Timeouts: Tab and Browser cannot be negative")
	}
	for _, d := range []time.Duration{t.Idle, t.Absolute, t.Tab, t.Browser} {
		if d > 0 && d < time.Millisecond {
			return millis{}, fmt.Errorf("sojourn: Config.Timeouts: %v is less than a millisecond", d)
		}
	}
	m := millis{
		idle:     max(t.Idle.Milliseconds(), 0),
		absolute: max(t.Absolute.Milliseconds(), 0),
		tab:      t.Tab.Milliseconds(),
		browser:  t.Browser.Milliseconds(),
	}
	// With the wait for the next flush a use is known within a minute.
	m.touch, m.touchBrowser = (50 * time.Second).Milliseconds(), time.Hour.Milliseconds()
	if m.idle > 0 {
		m.touch = min(m.touch, m.idle/20)
	}
	m.touchBrowser = min(m.touchBrowser, m.browser/20)
	return m, nil
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return name != "" && len(name) <= 64
}
