package sojourn

import (
	"encoding/base64"
	"hash/maphash"
	"math"
	"net/netip"
	"strings"
	"time"
	"unique"
)

// memSession is a StoredSession in 160 bytes, which is a size class of the
// allocator, and 16 more for the user's id. Everything but lastSeen and
// deadline stays as it was made.
type memSession struct {
	key, browser Key
	id, addr     [16]byte
	openedAt     memTime
	lastSeen     memTime
	expiresAt    memTime
	deadline     memTime
	user         UserID
	rest         unique.Handle[memRest]
	nextByKey    *memSession
	nextByUser   *memSession
}

// memRest is what many sessions have in common, or hardly any has.
type memRest struct {
	userAgent string
	oddID     string // the id when it is not in memSession.id
	zone      string // of the address
	flags     memFlags
}

type memFlags uint8

const (
	memOddID memFlags = 1 << iota
	memIPv4
	memIPv6
)

type (
	memByKey  struct{}
	memByUser struct{}
)

func (memByKey) hash(s *memSession) uint64       { return memHashKey(&s.key) }
func (memByKey) next(s *memSession) **memSession { return &s.nextByKey }

func (memByUser) hash(s *memSession) uint64       { return memHashUser(s.user) }
func (memByUser) next(s *memSession) **memSession { return &s.nextByUser }

func memHashUser(u UserID) uint64 { return maphash.String(memSeed, string(u)) }

// newMemSession packs s. It keeps no string of s but user, which the caller
// has to make its own.
func newMemSession(s *StoredSession) *memSession {
	m := &memSession{
		key:       s.Key,
		browser:   s.Browser,
		openedAt:  memTimeOf(s.OpenedAt),
		lastSeen:  memTimeOf(s.LastSeen),
		expiresAt: memTimeOf(s.ExpiresAt),
		deadline:  memTimeOf(s.Deadline),
		user:      s.User,
	}
	rest := memRest{userAgent: s.UserAgent}
	var ok bool
	if m.id, ok = memPackID(s.ID); !ok {
		rest.oddID = string(s.ID)
		rest.flags |= memOddID
	}
	if s.RemoteAddr.IsValid() {
		m.addr = s.RemoteAddr.As16()
		rest.zone = s.RemoteAddr.Zone()
		if s.RemoteAddr.Is4() {
			rest.flags |= memIPv4
		} else {
			rest.flags |= memIPv6
		}
	}
	m.rest = unique.Make(rest)
	return m
}

// stored is the inverse of newMemSession.
func (m *memSession) stored() StoredSession {
	rest := m.rest.Value()
	s := StoredSession{
		Key:       m.key,
		User:      m.user,
		Browser:   m.browser,
		OpenedAt:  m.openedAt.time(),
		LastSeen:  m.lastSeen.time(),
		ExpiresAt: m.expiresAt.time(),
		Deadline:  m.deadline.time(),
		UserAgent: rest.userAgent,
	}
	if rest.flags&memOddID != 0 {
		s.ID = SessionID(rest.oddID)
	} else {
		s.ID = memUnpackID(m.id)
	}
	switch {
	case rest.flags&memIPv4 != 0:
		s.RemoteAddr = netip.AddrFrom16(m.addr).Unmap()
	case rest.flags&memIPv6 != 0:
		s.RemoteAddr = netip.AddrFrom16(m.addr).WithZone(rest.zone)
	}
	return s
}

// memPackID takes 22 characters of base64url, as the site makes them, to the
// 16 bytes they stand for; ok is false for every other id.
func memPackID(id SessionID) (b [16]byte, ok bool) {
	if len(id) != 22 {
		return b, false
	}
	var text [22]byte
	copy(text[:], id)
	if n, err := base64.RawURLEncoding.Decode(b[:], text[:]); err != nil || n != len(b) {
		return [16]byte{}, false
	}
	// The last character has four bits too many, which a decoder drops.
	var again [22]byte
	base64.RawURLEncoding.Encode(again[:], b[:])
	return b, again == text
}

func memUnpackID(b [16]byte) SessionID {
	var text [22]byte
	base64.RawURLEncoding.Encode(text[:], b[:])
	return SessionID(text[:])
}

// touch moves the session's times, never back.
func (m *memSession) touch(lastSeen, deadline memTime) {
	if lastSeen.ms() > m.lastSeen.ms() {
		m.lastSeen = lastSeen
	}
	m.deadline = m.deadline.later(deadline)
}

// memTime is a time to the millisecond, from the year 1500 to 10419; times
// outside are taken for the nearest inside. The zero memTime is the zero time.
type memTime [6]byte

// memTimeBase is what a memTime of 1 counts from, in Unix milliseconds.
var memTimeBase = time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

func memTimeOf(t time.Time) memTime {
	if t.IsZero() {
		return memTime{}
	}
	ms := uint64(min(max(t.UnixMilli()-memTimeBase, 0)+1, 1<<48-1))
	return memTime{byte(ms), byte(ms >> 8), byte(ms >> 16), byte(ms >> 24), byte(ms >> 32), byte(ms >> 40)}
}

// memNever is when what has no deadline is due.
const memNever = math.MaxUint64

// ms orders times; the zero time comes first.
func (t memTime) ms() uint64 {
	return uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 | uint64(t[4])<<32 | uint64(t[5])<<40
}

// due orders deadlines: the zero time, which is never, comes last.
func (t memTime) due() uint64 {
	if t == (memTime{}) {
		return memNever
	}
	return t.ms()
}

// later is the later of two deadlines.
func (t memTime) later(u memTime) memTime {
	if u.due() > t.due() {
		return u
	}
	return t
}

func (t memTime) time() time.Time {
	if t == (memTime{}) {
		return time.Time{}
	}
	return time.UnixMilli(int64(t.ms()) - 1 + memTimeBase).UTC()
}

// memCloneUser is the id without what it may be cut from, such as the body of
// a request.
func memCloneUser(u UserID) UserID { return UserID(strings.Clone(string(u))) }
