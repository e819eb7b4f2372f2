package postgres

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"math"
	"math/bits"
	"net/netip"
	"time"

	"github.com/sojourn-go/sojourn"
)

// never is the deadline that does not come.
const never = math.MaxInt64

// deadlineOf is a deadline as it is stored.
func deadlineOf(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMilli()
}

func timeOfDeadline(ms int64) time.Time {
	if ms == never {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// timeOf is the time of what is not a deadline: the zero time is kept as such.
func timeOf(ms int64) time.Time {
	if t := time.UnixMilli(ms); !t.IsZero() {
		return t
	}
	return time.Time{}
}

// dueOf rounds a deadline down, to a 32nd of the time until then and to 17
// minutes at the most.
func dueOf(seen, deadline int64) int64 {
	if deadline == never {
		return never
	}
	const coarsest = 20 // bits of milliseconds
	span := uint64(deadline-seen) / 32
	if deadline <= seen || span == 0 {
		return deadline
	}
	return deadline &^ (1<<min(bits.Len64(span)-1, coarsest) - 1)
}

// userHash is by what a user's sessions are found.
func userHash(user sojourn.UserID) int64 {
	sum := sha256.Sum256([]byte(user))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// shortened is b, or if it is too long for an index something that stands for
// it. Longest is the length that nothing else has.
func shortened(b string) []byte {
	const longest = 64
	if len(b) <= longest {
		return []byte(b)
	}
	sum := sha256.Sum256([]byte(b))
	return append([]byte(b[:longest+1-len(sum)]), sum[:]...)
}

// ownerOf is the owner column of an owner's values; ok is false if there is no
// such kind of owner.
func ownerOf(o sojourn.Owner) (owner []byte, ok bool) {
	owner = []byte{byte(o.Kind)}
	switch o.Kind {
	case sojourn.OwnerSite:
		return owner, true
	case sojourn.OwnerUser:
		return append(owner, shortened(string(o.User))...), true
	case sojourn.OwnerSession, sojourn.OwnerBrowser:
		return append(owner, o.Key[:]...), true
	}
	return nil, false
}

// tabOf is a tab's column, and its id if that cannot be had from it.
func tabOf(id string) (tab, whole []byte) {
	tab = shortened(id)
	if string(tab) != id {
		whole = []byte(id)
	}
	return tab, whole
}

func addrBytes(a netip.Addr) []byte {
	b, _ := a.MarshalBinary() // never fails
	return notNil(b)
}

func subnetBytes(p netip.Prefix) []byte {
	if !p.IsValid() {
		return []byte{}
	}
	b, _ := p.MarshalBinary() // never fails
	return b
}

func subnetOf(b []byte) (p netip.Prefix, err error) {
	if len(b) > 0 {
		err = p.UnmarshalBinary(b)
	}
	return p, err
}

// notNil is b as a value, which is not NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// shardLock is the advisory lock of the users of a shard.
func (s *Store) shardLock(shard [2]byte) int64 {
	return s.locks | lockShard | int64(binary.BigEndian.Uint16(shard[:]))
}

// subnetLock is the advisory lock of a subnet's browsers.
func (s *Store) subnetLock(subnet []byte) int64 {
	h := fnv.New32a()
	h.Write(subnet)
	return s.locks | lockSubnet | int64(h.Sum32()>>4)
}

func newOrigin() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
