package redis

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strconv"
	"sync"

	"github.com/sojourn-go/sojourn"
)

// Everything lies in one of so many parts. What belongs together is in one
// part, and a script works in one: its keys all have the part's hash tag, so
// that Redis Cluster keeps them on one node. The number cannot be changed:
// keys made with another would not be found.
const parts = 256

// The keys of a part all begin with its base, "prefix{tag}". After that:
//
//	s key     a session (record.go)
//	b key     a browser (record.go)
//	u user    the user's sessions: a sorted set of keys by last seen
//	v owner   the owner's values: a hash of field to version and data
//	t owner   the owner's tabs that have values: a sorted set by deadline
//	n subnet  the subnet's browsers: a sorted set of keys by last seen
//	e bucket  what expires, by deadline: "s" key, "b" key, "t" owner tab
//	d         the buckets, by when something in them may be due
//	c         counters: s sessions, b browsers, v values, version the last one
//	q         the number of the last message
//
// An owner is its kind and, after it, its key or user.

// part is which one what has this shard is in.
func part(shard [2]byte) int { return int(shard[0]) }

// partOf is which one what belongs to a user is in.
func partOf(user sojourn.UserID) int { return part(sojourn.ShardOf(user)) }

func partOfKey(key sojourn.Key) int { return part([2]byte(key[:2])) }

// partOfSubnet is which one the list of a subnet's browsers is in.
func partOfSubnet(subnet string) int { return int(sha256.Sum256([]byte(subnet))[0]) }

// bases are the beginnings of all keys of each part.
func bases(prefix string) *[parts]string {
	b := new([parts]string)
	for i, tag := range tags() {
		b[i] = prefix + "{" + tag + "}"
	}
	return b
}

// tags are hash tags whose slots are spread evenly over the 16,384 of Redis
// Cluster: a node that has a quarter of the slots has a quarter of the parts.
var tags = sync.OnceValue(func() (tags [parts]string) {
	for n, found := 0, 0; found < parts; n++ {
		tag := strconv.FormatInt(int64(n), 36)
		if at := slot(tag); at%(slots/parts) == slots/parts/2 && tags[at/(slots/parts)] == "" {
			tags[at/(slots/parts)] = tag
			found++
		}
	}
	return tags
})

const slots = 1 << 14

// slot is the slot of Redis Cluster for a hash tag: its CRC-16 (XMODEM).
func slot(tag string) int {
	var crc uint16
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc % slots)
}

// ownerName is an owner as keys have it.
func ownerName(o sojourn.Owner) string {
	switch o.Kind {
	case sojourn.OwnerUser:
		return "u" + string(o.User)
	case sojourn.OwnerSession, sojourn.OwnerBrowser:
		return string(o.Kind) + string(o.Key[:])
	default:
		return string(o.Kind)
	}
}

// fieldStart is how the fields of a tab's values begin; their names follow.
func fieldStart(tab string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(tab)))) + tab
}

// subnetName is a subnet as keys have it.
func subnetName(subnet netip.Prefix) string {
	text, err := subnet.MarshalText()
	if err != nil {
		return subnet.String()
	}
	return string(text)
}
