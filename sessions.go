package sojourn

import (
	"context"
	"net/netip"
	"time"
)

// SessionID is a public handle of a session: 22 characters of base64url, safe
// to show, useless as a cookie, independent of it.
type SessionID string

// SessionInfo describes one of a user's sessions. Os_session has no such list.
type SessionInfo struct {
	ID         SessionID
	User       UserID
	OpenedAt   time.Time  // when Connect was called, to the millisecond
	LastSeen   time.Time  // may lag by the smaller of a minute and a tenth of Timeouts.Idle
	ExpiresAt  time.Time  // when it ends whatever happens; zero: never
	UserAgent  string     // at Connect, at most 512 bytes
	RemoteAddr netip.Addr // at Connect; see Config.TrustedProxies
	Current    bool       // the session of the request asking
	Tabs       int        // open live connections to this server
}

// EndReason says why a session ended.
type EndReason string

// Why a session ended.
const (
	EndDisconnect    EndReason = "disconnect"     // Disconnect in one of its own requests
	EndDisconnectAll EndReason = "disconnect-all" // DisconnectAll
	EndRevoked       EndReason = "revoked"        // EndSession from elsewhere
	EndExpired       EndReason = "expired"        // Timeouts.Idle or Timeouts.Absolute
	EndEvicted       EndReason = "evicted"        // Limits.SessionsPerUser
	EndReplaced      EndReason = "replaced"       // Connect in the same browser
	EndUserGone      EndReason = "user-gone"      // Config.Users says there is no such user
)

// Sessions lists the user's sessions, the last opened first; none is no error.
// In a request, Current marks the request's own; ctx may be any other context
// too. It returns the store's error. It is ours: Os_session has no list.
func (s *Site) Sessions(ctx context.Context, user UserID) ([]SessionInfo, error) {
	stored, err := s.store.Sessions(ctx, user)
	if err != nil {
		return nil, wrap("listing the user's sessions", err)
	}
	var own *session
	if q, err := s.request(ctx); err == nil {
		if own, err = q.identify(ctx); err != nil {
			return nil, err
		}
	}
	now := time.Now().UnixMilli()
	list := make([]SessionInfo, 0, len(stored))
	for i := range stored {
		st := &stored[i]
		e := s.known(st)
		if !s.alive(e, now) {
			continue
		}
		in := info(st)
		if seen := fromMillis(e.seen.Load()); seen.After(in.LastSeen) {
			in.LastSeen = seen
		}
		in.Current = own != nil && own.key == st.Key
		in.Tabs = s.hub.open(st.Key)
		list = append(list, in)
	}
	return list, nil
}

// known is what this server knows of a stored session, and not less than the
// store does.
func (s *Site) known(st *StoredSession) *session {
	e, _ := s.sessions.get(&st.Key)
	if e == nil {
		return newSession(st)
	}
	see(&e.seen, st.LastSeen.UnixMilli()) // by another server
	return e
}

// EndSession ends one of the user's sessions, in a request or outside: its tabs
// are told that it was revoked, OnSessionEnd runs, no action at closing does.
// If it is the session of this request, EndSession is Disconnect, with its
// actions and errors. When it returned nil no later request, on any server, is
// of that session; a context that is done does not stop it. It returns
// ErrNoSuchSession if the user has no session of that id, and the store's
// error. It is ours: Os_session ends this session or all.
func (s *Site) EndSession(ctx context.Context, user UserID, id SessionID) error {
	ctx = context.WithoutCancel(ctx) // an end goes on when the client has gone away
	stored, err := s.store.Sessions(ctx, user)
	if err != nil {
		return wrap("looking for the session", err)
	}
	for i := range stored {
		st := &stored[i]
		if st.ID != id {
			continue
		}
		if q, err := s.request(ctx); err == nil {
			own, err := q.identify(ctx)
			if err != nil {
				return err
			}
			if own != nil && own.key == st.Key {
				return s.Disconnect(ctx)
			}
		}
		ended, err := s.endSession(ctx, st.Key, user, EndRevoked)
		if err != nil {
			return err
		}
		if len(ended) == 0 {
			return ErrNoSuchSession
		}
		s.announce(ctx, ended, EndRevoked)
		return nil
	}
	return ErrNoSuchSession
}

// info is what may be shown of a stored session.
func info(st *StoredSession) SessionInfo {
	return SessionInfo{
		ID: st.ID, User: st.User,
		OpenedAt: st.OpenedAt, LastSeen: st.LastSeen, ExpiresAt: st.ExpiresAt,
		UserAgent: st.UserAgent, RemoteAddr: st.RemoteAddr,
	}
}
