package demo

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

// openTabs counts the tabs that are open, of everybody and of each session,
// and tells the tabs when that changes. A server knows its own live
// connections only; so each writes its part on a board in the store.
type openTabs struct {
	site  *sojourn.Site
	log   *slog.Logger
	id    string // of this process on the board
	board *sojourn.Ref[map[string]boardRow]
	alone bool // no other server writes on the board

	mu    sync.Mutex
	here  int                          // live connections of this server
	users map[sojourn.UserID]time.Time // who may have some, and since when
	all   boardRow                     // of every server, when it was last looked at

	changed chan struct{}
	stop    context.CancelFunc
	stopped chan struct{}
}

// boardRow is what one server knows.
type boardRow struct {
	At       time.Time
	Open     int
	Sessions map[sojourn.SessionID]int
}

const (
	tabsSettle = 250 * time.Millisecond // a page that gives way to the next closes and opens one
	tabsAgain  = 8                      // for half a minute, a slow machine's
	boardEvery = 4 * time.Second        // a server renews its row
	boardStale = 10 * time.Second       // one that did not has died
)

func newOpenTabs(a *App) *openTabs {
	ctx, stop := context.WithCancel(context.Background())
	o := &openTabs{
		site: a.site, log: a.log, alone: !a.shared, id: rand.Text(),
		board:   sojourn.NewPersistentRef[map[string]boardRow](a.site, sojourn.SiteScope, "open-tabs", nil),
		users:   make(map[sojourn.UserID]time.Time),
		changed: make(chan struct{}, 1),
		stop:    stop,
		stopped: make(chan struct{}),
	}
	go o.keepCounting(ctx)
	return o
}

// close takes this server's row from the board.
func (o *openTabs) close() {
	o.stop()
	<-o.stopped
}

// open is how many tabs are open.
func (o *openTabs) open() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Open
}

// of is how many tabs of a session are open.
func (o *openTabs) of(session sojourn.SessionID) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Sessions[session]
}

// note says that a user may have open tabs on this server.
func (o *openTabs) note(user sojourn.UserID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.users[user] = time.Now()
}

// watched notices live connections that open and close.
func (o *openTabs) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := w.(http.Hijacker); ok && r.URL.Path == protocol.DefaultPath+"live" {
			w = &liveWriter{w, h, o}
		}
		next.ServeHTTP(w, r)
	})
}

type liveWriter struct {
	http.ResponseWriter
	hijacker http.Hijacker
	tabs     *openTabs
}

// Hijack is how a request becomes a live connection.
func (w *liveWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.hijacker.Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.tabs.count(1)
	return &liveConn{Conn: conn, left: sync.OnceFunc(func() { w.tabs.count(-1) })}, rw, nil
}

type liveConn struct {
	net.Conn
	left func()
}

func (c *liveConn) Close() error {
	c.left()
	return c.Conn.Close()
}

func (o *openTabs) count(n int) {
	o.mu.Lock()
	o.here += n
	o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

func (o *openTabs) keepCounting(ctx context.Context) {
	defer close(o.stopped)
	tick := time.NewTicker(boardEvery)
	defer tick.Stop()
	again := 0 // how often it is said again: a tab that was slow to open has not heard of it
	for {
		told := false
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			o.post(ctx, boardRow{})
			return
		case <-o.changed:
			select {
			case <-ctx.Done():
				continue
			case <-time.After(tabsSettle):
			}
			told, again = true, tabsAgain
		case <-tick.C:
			told, again = again > 0, max(again-1, 0)
		}
		if err := o.look(ctx, told); err != nil && ctx.Err() == nil {
			o.log.LogAttrs(ctx, slog.LevelWarn, "open tabs not counted", slog.Any("error", err))
		}
	}
}

// look counts, and tells the tabs when something has changed, or anyway.
func (o *openTabs) look(ctx context.Context, anyway bool) error {
	o.mu.Lock()
	row := boardRow{Open: o.here, Sessions: make(map[sojourn.SessionID]int)}
	users := maps.Clone(o.users)
	old := o.all
	o.mu.Unlock()

	sessions := make(map[sojourn.UserID][]sojourn.SessionID)
	for user, noted := range users {
		list, err := o.site.Sessions(ctx, user)
		if err != nil {
			return err
		}
		some := false
		for _, s := range list {
			sessions[user] = append(sessions[user], s.ID)
			if s.Tabs > 0 {
				row.Sessions[s.ID] = s.Tabs
				some = true
			}
		}
		if !some && time.Since(noted) > boardStale {
			o.mu.Lock()
			if o.users[user].Equal(noted) {
				delete(o.users, user)
			}
			o.mu.Unlock()
		}
	}
	all, err := o.post(ctx, row)
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.all = all
	o.mu.Unlock()

	if all.Open != old.Open || anyway {
		state, err := o.site.CurrentState(ctx, sojourn.SiteScope)
		if err == nil {
			err = o.site.Notify(ctx, state, "tabs", all.Open)
		}
		if err != nil {
			return err
		}
	}
	for user, ids := range sessions {
		counts := make(map[sojourn.SessionID]int)
		changed := anyway
		for _, id := range ids {
			counts[id] = all.Sessions[id]
			changed = changed || counts[id] != old.Sessions[id]
		}
		if !changed {
			continue
		}
		if err := o.site.Notify(ctx, o.site.UserState(user), "session-tabs", counts); err != nil {
			return err
		}
	}
	return nil
}

// post writes this server's row on the board and returns the sum of all rows.
// A site of one server keeps no board.
func (o *openTabs) post(ctx context.Context, row boardRow) (boardRow, error) {
	if o.alone {
		return row, nil
	}
	now := time.Now()
	row.At = now
	all := boardRow{Sessions: make(map[sojourn.SessionID]int)}
	same := errors.New("nothing to write")
	err := o.board.Modify(ctx, func(old map[string]boardRow) (map[string]boardRow, error) {
		rows := maps.Clone(old)
		if rows == nil {
			rows = make(map[string]boardRow)
		}
		maps.DeleteFunc(rows, func(id string, r boardRow) bool { return id == o.id || now.Sub(r.At) > boardStale })
		if row.Open > 0 {
			rows[o.id] = row
		}
		clear(all.Sessions)
		all.Open = 0
		for _, r := range rows {
			all.Open += r.Open
			for id, n := range r.Sessions {
				all.Sessions[id] += n
			}
		}
		if len(rows) == 0 && len(old) == 0 {
			return nil, same
		}
		return rows, nil
	})
	if errors.Is(err, same) {
		err = nil
	}
	return all, err
}
