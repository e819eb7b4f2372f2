package sojourn

import (
	"context"
	"net/netip"
	"time"
)

// SessionID is a public handle of a session: safe to show, useless as a
// cookie, independent of it.
type SessionID string

// SessionInfo describes one of a user's sessions.
type SessionInfo struct {
	ID         SessionID
	User       UserID
	OpenedAt   time.Time
	LastSeen   time.Time // may lag by the smaller of a minute and a tenth of Timeouts.Idle
	ExpiresAt  time.Time // when it ends whatever happens; zero: never
	UserAgent  string
	RemoteAddr netip.Addr
	Current    bool // the session of the request asking
	Tabs       int  // open live connections
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

func (s *Site) Sessions(ctx context.Context, user UserID) ([]SessionInfo, error) { panic("skeleton") }
func (s *Site) EndSession(ctx context.Context, user UserID, id SessionID) error  { panic("skeleton") }
