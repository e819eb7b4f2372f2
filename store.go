package sojourn

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"time"
)

// Store keeps what must outlive the process: sessions, browsers that hold
// state, and the values of persistent references. Config.Store is nil for
// memory only; packages sqlite, postgres and redis have durable ones.
//
// This is the whole contract: storetest.Run tests its sentences. Every method
// may be called from any goroutine at any time until Close. A context that is
// done before an operation took effect makes it return the context's error;
// what took effect is reported as done. Times are kept to the millisecond,
// strings and data to the byte, whatever the bytes. Data belongs to the caller.
//
// A session exists from CreateSession until one of CreateSession (eviction),
// EndSession, EndUser or Expire returned it as ended: each session is returned
// as ended exactly once, and nothing but CreateSession makes one.
type Store interface {
	// CreateSession adds a session under a key that was never used before. If
	// its user then has more than limit sessions, the least recently seen
	// others end, until limit are left; limit 0 means no limit. Both happen at
	// once: whoever calls in parallel, no more than limit sessions remain.
	// When it returns nil the session survives a crash (durable stores).
	CreateSession(ctx context.Context, s StoredSession, limit int) (evicted []StoredSession, err error)

	// Session returns the session of key, or ErrNotFound.
	Session(ctx context.Context, key Key) (StoredSession, error)

	// Sessions returns the sessions of user, the last opened first.
	Sessions(ctx context.Context, user UserID) ([]StoredSession, error)

	// EndSession ends the session of key and removes its values and those of
	// its tabs. It returns the session if this call ended it, and how many
	// sessions its user has left; ending a session that does not exist is a
	// no-op and returns no session and no error. When it returns nil the end
	// survives a crash.
	EndSession(ctx context.Context, key Key, reason EndReason) (ended []StoredSession, left int, err error)

	// EndUser ends all sessions of user except those of keep, at once, as
	// EndSession does. The user's own values stay.
	EndUser(ctx context.Context, user UserID, reason EndReason, keep ...Key) (ended []StoredSession, err error)

	// CreateBrowser adds a browser, or does nothing if there is one of its
	// key. If more than limit browsers then come from its Subnet, the least
	// recently seen others are removed, with their values, and returned;
	// limit 0 means no limit.
	CreateBrowser(ctx context.Context, b StoredBrowser, limit int) (evicted []Key, err error)

	// Browser returns the browser of key, or ErrNotFound.
	Browser(ctx context.Context, key Key) (StoredBrowser, error)

	// EndBrowsers removes browsers with their values and those of their tabs.
	// Keys that are not there are passed over.
	EndBrowsers(ctx context.Context, keys ...Key) error

	// Value returns the value at key; one that is absent has Version 0.
	Value(ctx context.Context, key ValueKey) (StoredValue, error)

	// SetValue writes one value, if the write's conditions hold at the moment
	// it takes effect, and returns the new version: 0 for a removal. A version
	// is positive and never comes twice for one key, also after removals. It
	// returns ErrNotFound, and writes nothing, when the owner is a session or
	// browser that does not exist or when w.Session names one that does not
	// exist; otherwise ErrConflict when the version is not w.Version.
	SetValue(ctx context.Context, key ValueKey, w Write) (version int64, err error)

	// DropValues removes all values of an owner's tab; tab "" stands for the
	// owner itself, whose tabs keep theirs. If session is not zero and does
	// not exist, it removes nothing and returns ErrNotFound.
	DropValues(ctx context.Context, owner Owner, tab string, session Key) error

	// Tabs returns the tabs of which owner has values, the one whose Deadline
	// comes first first. A tab's deadline is the latest that a Write or Touch
	// gave it.
	Tabs(ctx context.Context, owner Owner) ([]StoredTab, error)

	// Touch moves LastSeen and Deadline of sessions, browsers and tabs. What
	// does not exist is passed over and never made; nothing moves backwards.
	// Touches need not survive a crash.
	Touch(ctx context.Context, touches []Touch) error

	// Expire ends sessions whose Deadline is not after now, with EndExpired,
	// and removes browsers and tabs' values whose deadline is not after now;
	// max of each at the most. It returns the sessions it ended; more reports
	// that some are left.
	Expire(ctx context.Context, now time.Time, max int) (ended []StoredSession, more bool, err error)

	// Count returns how much the store holds.
	Count(ctx context.Context) (Counts, error)

	// Publish sends a message to every other server of the site: it comes out
	// of their Changes. On a store of one process it does nothing.
	Publish(ctx context.Context, message []byte) error

	// Changes calls f for what other servers do: every session they end or
	// that ends there, and every message they publish, one at a time. It calls
	// f with the zero Change first, as soon as from then on nothing is missed,
	// and returns an error as soon as something may be. It returns when ctx is
	// done, with its error. On a store of one process f is never called.
	Changes(ctx context.Context, f func(Change)) error

	// Fresh is how long an answer of Session may be used again without
	// asking: Forever when only this process changes the store; 0 when every
	// request has to ask; a bound in between when Changes arrive for certain
	// within that time. It may change from call to call, but not to Forever or
	// from it.
	Fresh() time.Duration

	// Close releases what Open took. Methods called later return an error.
	Close() error
}

// Forever is what Store.Fresh answers when only this process changes the store.
const Forever = time.Duration(1<<63 - 1)

// Errors of a Store.
var (
	// ErrNotFound: the store has no such session or browser.
	ErrNotFound = errors.New("sojourn: not in the store")
	// ErrUnavailable: the store cannot be asked at the moment: it cannot be
	// reached, or does not answer in time. Requests that need it fail with 503
	// and Retry-After. Stores wrap it around the cause.
	ErrUnavailable = errors.New("sojourn: the store is unavailable")
	// ErrConflict: the value has another version than the write was based on.
	ErrConflict = errors.New("sojourn: the value was changed in between")
)

// Key names a session or a browser in a store: two bytes that choose the
// shard, the same for everything of one user, and 30 bytes of the SHA-256 of
// the token in the cookie. The token cannot be had from it. Zero: none.
type Key [32]byte

// StoredSession is a session as a store keeps it.
type StoredSession struct {
	Key        Key
	ID         SessionID // the public handle, 22 characters of base64url
	User       UserID
	Browser    Key // of the browser's user-independent cookie
	OpenedAt   time.Time
	LastSeen   time.Time
	ExpiresAt  time.Time // when it ends whatever happens; zero: never
	Deadline   time.Time // when it ends unless it is touched before; zero: never
	UserAgent  string
	RemoteAddr netip.Addr
}

// StoredBrowser is a browser that holds state, or may: one cookie of one
// hierarchy.
type StoredBrowser struct {
	Key       Key
	Hierarchy string // "" for anonymous sessions of Default, "browser" for UserIndependent, or NewHierarchy's name
	Subnet    netip.Prefix
	LastSeen  time.Time
	Deadline  time.Time // when it is removed unless it is touched before; zero: never
}

// OwnerKind says what owns a value.
type OwnerKind uint8

// The kinds of Owner.
const (
	OwnerSite    OwnerKind = 'w' // the site; neither Key nor User
	OwnerUser    OwnerKind = 'u' // User; its values stay when sessions end
	OwnerSession OwnerKind = 's' // Key of a session
	OwnerBrowser OwnerKind = 'b' // Key of a browser
)

// Owner is whose value it is.
type Owner struct {
	Kind OwnerKind
	Key  Key    // of a session or browser
	User UserID // of a user
}

// ShardOf is the shard of everything of one user: of the user's values and of
// every session's Key. A store of one shard ignores it.
func ShardOf(user UserID) [2]byte {
	sum := sha256.Sum256([]byte(user))
	return [2]byte(sum[:2])
}

// Shard is the shard of what the owner owns.
func (o Owner) Shard() [2]byte {
	switch o.Kind {
	case OwnerUser:
		return ShardOf(o.User)
	case OwnerSession, OwnerBrowser:
		return [2]byte(o.Key[:2])
	default:
		return [2]byte{}
	}
}

// ValueKey names one value: of an owner, or of one of the tabs of an owner.
type ValueKey struct {
	Owner Owner
	Tab   string // a tab's id; "" for the owner's own values
	Name  string
}

// StoredValue is a value with its version; Version 0 and nil Data: there is none.
type StoredValue struct {
	Data    []byte
	Version int64
}

// StoredTab is a tab that has values.
type StoredTab struct {
	ID       string
	Deadline time.Time // when its values are removed unless it is touched before; zero: never
}

// AnyVersion in a Write sets the value whatever is there.
const AnyVersion int64 = -1

// Write is what SetValue is to write, and when.
type Write struct {
	Data     []byte    // nil removes the value
	Version  int64     // the version it must have now; 0: there must be none; AnyVersion: whatever
	Session  Key       // if not zero, this session must exist; for a user's values, one of the user's
	Deadline time.Time // of a tab's values: when they are removed unless touched; it moves the tab's deadline forward, never back; a removal has none
}

// Touch says that something was in use.
type Touch struct {
	Owner    Owner  // a session or a browser
	Tab      string // one of its tabs; "" for the owner itself
	LastSeen time.Time
	Deadline time.Time // zero: never
}

// Counts is what a store holds.
type Counts struct {
	Sessions, Browsers, Values int64
}

// Change is something another server did: a session that ended, or a message.
// The zero Change says that Changes hears everything from now on.
type Change struct {
	Ended   *StoredSession // nil for a message
	Reason  EndReason      // why it ended
	Left    int            // how many sessions its user has left
	Message []byte         // what Publish was given
}
