package sojourn

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sojourn-go/sojourn/protocol"
)

// keepLive sends heartbeats, and looks after the sessions of open tabs: beside,
// since the store may take its time.
func (s *Site) keepLive(ctx context.Context) {
	const (
		every     = 250 * time.Millisecond
		heartbeat = int(protocol.HeartbeatSeconds * time.Second / every)
		backstop  = int(time.Minute / every)
	)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.hub.some:
		}
		t := time.NewTicker(every)
		var checking atomic.Bool
		checked, last := s.doubt.Load(), 0 // of the check that is running
		for tick := 1; s.hub.size() > 0; tick++ {
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
			}
			s.hub.heartbeat(tick, heartbeat)
			if checking.Swap(true) {
				continue
			}
			s.stopped.Go(func() {
				defer checking.Store(false)
				doubt, all := s.doubt.Load(), s.deaf.Load() || tick >= last+backstop
				if s.checkLive(ctx, all || doubt != checked) {
					checked = doubt
				}
				if all {
					last = tick
				}
			})
		}
		t.Stop()
	}
}

// checkLive ends the sessions of open tabs whose time has come. With all it
// also finds those that were ended where we did not hear of it, or by a write
// of unknown outcome. It reports whether the store could be asked.
func (s *Site) checkLive(ctx context.Context, all bool) (asked bool) {
	asked = true
	now := nowMillis()
	var ended []Key
	for _, key := range s.hub.sessions() {
		if e, _ := s.sessions.get(&key); !all && e != nil && s.alive(e, now) {
			continue
		}
		if all && s.shared {
			s.sessions.suspect(&key)
		}
		alive, err := s.liveAlive(ctx, key)
		switch {
		case err != nil:
			asked = false
		case !alive:
			ended = append(ended, key)
		}
	}
	s.tellEnded(ctx, ended)
	return asked
}

// tellEnded tells the tabs of sessions that were found to have ended. Whoever
// ended them here is about to do so, and says why, and to whom not.
func (s *Site) tellEnded(ctx context.Context, sessions []Key) {
	if len(sessions) == 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(liveGrace):
		for _, key := range sessions {
			s.hub.tell(liveNotice{keys: []Key{key}, reason: protocol.ReasonChanged})
		}
	}
}

// liveAlive reports whether the session of a tab has not ended; nobody's has
// nothing to end. It is asked where no server catches the panic of an action
// at the end that is found.
func (s *Site) liveAlive(ctx context.Context, session Key) (alive bool, err error) {
	if session == (Key{}) {
		return true, nil
	}
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "sojourn: an OnSessionEnd action panicked", "panic", p)
			err = errActionPanicked
		}
	}()
	e, err := s.load(ctx, session, nowMillis())
	return e != nil, err
}
