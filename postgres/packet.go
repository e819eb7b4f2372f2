package postgres

import (
	"encoding/binary"
	"errors"

	"github.com/sojourn-go/sojourn"
)

// A packet says what one transaction did. It is a message, or ended sessions
// as the function pack of the schema writes them; none is no bytes.
const (
	recordEnded   = 'e'
	recordMessage = 'm'
)

var errPacket = errors.New("malformed packet")

// ended is a session that ended, as a packet has it.
type ended struct {
	session sojourn.StoredSession
	reason  sojourn.EndReason
	left    int
}

func messagePacket(message []byte) []byte {
	return append([]byte{recordMessage}, message...)
}

// unpack reads the changes of a packet.
func unpack(packet []byte) ([]sojourn.Change, error) {
	if len(packet) > 0 && packet[0] == recordMessage {
		return []sojourn.Change{{Message: packet[1:]}}, nil
	}
	all, err := unpackEnded(packet)
	if err != nil {
		return nil, err
	}
	changes := make([]sojourn.Change, len(all))
	for i := range all {
		changes[i] = sojourn.Change{Ended: &all[i].session, Reason: all[i].reason, Left: all[i].left}
	}
	return changes, nil
}

// unpackEnded reads a packet of ended sessions.
func unpackEnded(packet []byte) (all []ended, err error) {
	r := packetReader{rest: packet}
	for len(r.rest) > 0 && !r.bad {
		var e ended
		r.bad = r.next(1)[0] != recordEnded
		s := &e.session
		copy(s.Key[:], r.next(len(s.Key)))
		copy(s.Browser[:], r.next(len(s.Browser)))
		s.OpenedAt = timeOf(r.int64())
		s.LastSeen = timeOf(r.int64())
		s.ExpiresAt = timeOfDeadline(r.int64())
		s.Deadline = timeOfDeadline(r.int64())
		e.left = int(r.int32())
		e.reason = sojourn.EndReason(r.bytes())
		s.ID = sojourn.SessionID(r.bytes())
		s.User = sojourn.UserID(r.bytes())
		s.UserAgent = string(r.bytes())
		if err := s.RemoteAddr.UnmarshalBinary(r.bytes()); err != nil {
			r.bad = true
		}
		all = append(all, e)
	}
	if r.bad {
		return nil, errPacket
	}
	return all, nil
}

// sessionsOf are the sessions of a packet.
func sessionsOf(packet []byte) (sessions []sojourn.StoredSession, left int, err error) {
	all, err := unpackEnded(packet)
	for i := range all {
		sessions = append(sessions, all[i].session)
		left = all[i].left
	}
	return sessions, left, err
}

// packetReader reads from a packet; bad is set when it is too short.
type packetReader struct {
	rest []byte
	bad  bool
}

// next is the next n bytes; of a packet that is too short, zeros.
func (r *packetReader) next(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return make([]byte, min(max(n, 0), 64))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *packetReader) int64() int64 { return int64(binary.BigEndian.Uint64(r.next(8))) }
func (r *packetReader) int32() int32 { return int32(binary.BigEndian.Uint32(r.next(4))) }

// bytes is a field that says its length.
func (r *packetReader) bytes() []byte { return r.next(int(r.int32())) }
