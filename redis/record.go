package redis

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/sojourn-go/sojourn"
)

// A session's record is one string, so that a plain GET reads it:
//
//	version 1, last seen 8, deadline 8, length 4 and user,
//	opened 8, expires 8, browser 32, id 1 + …, address 1 + …, user agent
//
// and a browser's
//
//	version 1, last seen 8, deadline 8, length 4 and subnet, hierarchy
//
// Numbers are big-endian. The scripts know the parts up to the user or subnet.
const recordVersion = 1

var errRecord = errors.New("redis: a record in the store cannot be read: it is damaged, or of a newer version of the program")

// never is the deadline that never comes: the greatest integer that the
// scripts' numbers and the scores of sorted sets have exactly.
const never = 1<<53 - 1

func encodeSession(s sojourn.StoredSession) ([]byte, error) {
	addr, err := s.RemoteAddr.MarshalBinary()
	if err != nil || len(addr) > 255 {
		return nil, errors.New("redis: the session's address is too long")
	}
	p := make([]byte, 0, 100+len(s.User)+len(s.UserAgent)+len(addr))
	p = appendHead(p, s.LastSeen, s.Deadline, string(s.User))
	p = binary.BigEndian.AppendUint64(p, uint64(s.OpenedAt.UnixMilli()))
	p = binary.BigEndian.AppendUint64(p, uint64(due(s.ExpiresAt)))
	p = append(p, s.Browser[:]...)
	if p, err = appendID(p, string(s.ID)); err != nil {
		return nil, err
	}
	p = append(p, byte(len(addr)))
	p = append(p, addr...)
	return packUserAgent(p, s.UserAgent), nil
}

func decodeSession(key sojourn.Key, text string) (s sojourn.StoredSession, err error) {
	r := reader{rest: text}
	s.Key = key
	var user string
	s.LastSeen, s.Deadline, user = r.head()
	s.User = sojourn.UserID(user)
	s.OpenedAt = moment(r.millis())
	s.ExpiresAt = comes(r.millis())
	copy(s.Browser[:], r.next(len(s.Browser)))
	s.ID = sojourn.SessionID(r.id())
	addr := r.next(r.byte())
	agent, ok := unpackUserAgent(r.rest)
	s.UserAgent = agent
	if r.bad || !ok || s.RemoteAddr.UnmarshalBinary([]byte(addr)) != nil {
		return sojourn.StoredSession{}, errRecord
	}
	return s, nil
}

func encodeBrowser(b sojourn.StoredBrowser) []byte {
	return append(appendHead(nil, b.LastSeen, b.Deadline, subnetName(b.Subnet)), b.Hierarchy...)
}

func decodeBrowser(key sojourn.Key, text string) (b sojourn.StoredBrowser, err error) {
	r := reader{rest: text}
	b.Key = key
	var subnet string
	b.LastSeen, b.Deadline, subnet = r.head()
	b.Hierarchy = r.rest
	if r.bad || b.Subnet.UnmarshalText([]byte(subnet)) != nil {
		return sojourn.StoredBrowser{}, errRecord
	}
	return b, nil
}

func appendHead(p []byte, lastSeen, deadline time.Time, name string) []byte {
	p = append(p, recordVersion)
	p = binary.BigEndian.AppendUint64(p, uint64(lastSeen.UnixMilli()))
	p = binary.BigEndian.AppendUint64(p, uint64(due(deadline)))
	p = binary.BigEndian.AppendUint32(p, uint32(len(name)))
	return append(p, name...)
}

// appendID appends an id: its 16 bytes if it is one in base64url, or else a
// byte more than 16 than it is long, and itself.
func appendID(p []byte, id string) ([]byte, error) {
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(id); err == nil && len(raw) == 16 {
		return append(append(p, 16), raw...), nil
	}
	if len(id) > 255-17 {
		return nil, errors.New("redis: the session's id is too long")
	}
	return append(append(p, byte(17+len(id))), id...), nil
}

// reader reads a record. Reading past its end makes it bad.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) next(n int) string {
	if n > len(r.rest) {
		r.rest, r.bad = "", true
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) byte() int {
	if s := r.next(1); s != "" {
		return int(s[0])
	}
	return 0
}

func (r *reader) int() int64 {
	var n int64
	for _, b := range []byte(r.next(8)) {
		n = n<<8 | int64(b)
	}
	return n
}

// millis is an int that scripts know exactly.
func (r *reader) millis() int64 {
	n := r.int()
	r.bad = r.bad || n > never || n < -never
	return n
}

func (r *reader) short() int {
	n := 0
	for _, b := range []byte(r.next(4)) {
		n = n<<8 | int(b)
	}
	return n
}

func (r *reader) head() (lastSeen, deadline time.Time, name string) {
	r.bad = r.byte() != recordVersion
	lastSeen = moment(r.millis())
	deadline = comes(r.millis())
	return lastSeen, deadline, r.next(r.short())
}

func (r *reader) id() string {
	n := r.byte()
	if n == 16 {
		return base64.RawURLEncoding.EncodeToString([]byte(r.next(16)))
	}
	return r.next(max(n-17, 0))
}

// moment is the time of a number of milliseconds since 1970.
func moment(ms int64) time.Time {
	if ms == zeroMillis {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

var zeroMillis = time.Time{}.UnixMilli()

// due is a deadline as records and sorted sets have it, and comes its inverse.
func due(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return min(t.UnixMilli(), never-1)
}

func comes(ms int64) time.Time {
	if ms == never {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
