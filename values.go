package sojourn

import (
	"slices"
	"sync"
	"sync/atomic"
)

// values is one state on this server: what volatile references hold there,
// and what is known of persistent ones. The zero value is an empty state.
type values struct {
	mu    sync.Mutex
	dead  bool  // the state has gone; nothing may be written to it any more
	drops int32 // how many removals of every persistent value are under way
	seq   int64 // the last version that was given here
	slots map[int32]*slot
}

// lastVersion is that of the volatile value that was set last. A version never
// comes twice, so Modify does not take a state for the one it read that ended
// meanwhile and came again.
var lastVersion atomic.Int64

// slot is one reference in one state.
type slot struct {
	v       any      // volatile: a T; persistent: a T that cannot be shared by pointers, else its JSON
	version int64    // 0: the reference has its initial value
	by      *session // volatile, of a user: whose request wrote it; nil: it was none's
	epoch   int64    // persistent: counts what could make a read of the store old
	writes  int32    // persistent: how many are under way
	stored  bool     // it is a persistent reference's
	known   bool     // persistent: v and version are what the store has
}

// get is the volatile value of reference i. An ended place has none.
func (v *values) get(i int32) (x any, version int64) {
	v.mu.Lock()
	if s := v.slots[i]; s != nil {
		x, version = s.v, s.version
	}
	v.mu.Unlock()
	return x, version
}

// set replaces the volatile value of reference i, or removes it when x is nil
// (a nil T arrives here inside an interface, as a box). It does so only if the
// version is still the one given; AnyVersion stands for whatever it is. It
// reports ErrSessionEnded when the place is no more and ErrConflict.
func (v *values) set(i int32, x any, remove bool, version int64, p *place) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.dead || p.ended() {
		return ErrSessionEnded
	}
	s := v.slots[i]
	if version != AnyVersion && version != s.versionOr0() {
		return ErrConflict
	}
	if remove {
		delete(v.slots, i)
		return nil
	}
	if s == nil {
		s = v.slot(i)
	}
	v.seq = lastVersion.Add(1)
	s.v, s.version = x, v.seq
	if p.group != nil {
		s.by = p.sess
	}
	return nil
}

func (s *slot) versionOr0() int64 {
	if s == nil {
		return 0
	}
	return s.version
}

// slot is the slot of reference i, made if need be; v.mu is held.
func (v *values) slot(i int32) *slot {
	s := v.slots[i]
	if s == nil {
		if v.slots == nil {
			v.slots = make(map[int32]*slot)
		}
		s = &slot{}
		v.slots[i] = s
	}
	return s
}

// known is what is known of persistent reference i without asking the store.
// If it is not known, epoch is for learn.
func (v *values) known(i int32) (x any, version int64, known bool, epoch int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.slot(i)
	s.stored = true
	return s.v, s.version, s.known, s.epoch
}

// learn notes what a read of the store found that began at epoch, unless it
// may be old by now: while a write is under way, another read may have found
// the newer value already.
func (v *values) learn(i int32, epoch int64, x any, version int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.slot(i)
	if s.epoch == epoch && s.writes == 0 && v.drops == 0 && !v.dead {
		s.v, s.version, s.known = x, version, true
	}
}

// doubt forgets what is known of a persistent reference: reads under way may
// be old.
func (s *slot) doubt() {
	s.stored = true
	s.epoch++
	s.v, s.version, s.known = nil, 0, false
}

// doubt forgets what is known of persistent reference i.
func (v *values) doubt(i int32) {
	v.mu.Lock()
	v.slot(i).doubt()
	v.mu.Unlock()
}

// writing notes that a write to persistent reference i is about to begin;
// written must follow.
func (v *values) writing(i int32) (epoch int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.slot(i)
	s.doubt()
	s.writes++
	return s.epoch
}

// written notes that the write has ended, well or not. Only if nothing else
// was written meanwhile is its outcome what the store has.
func (v *values) written(i int32, epoch int64, x any, version int64, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.slot(i)
	current := s.epoch == epoch && v.drops == 0
	s.doubt()
	s.writes--
	if ok && current && !v.dead {
		s.v, s.version, s.known = x, version, true
	}
}

// dropping resets every reference of the state, of which the persistent ones
// are about to be removed from the store; dropped must follow.
func (v *values) dropping() {
	v.mu.Lock()
	v.drops++
	v.clear()
	v.mu.Unlock()
}

// dropped notes that the removal has ended, well or not.
func (v *values) dropped() {
	v.mu.Lock()
	v.clear()
	v.drops--
	v.mu.Unlock()
}

// reset resets every reference of the state.
func (v *values) reset() {
	v.mu.Lock()
	v.clear()
	v.mu.Unlock()
}

func (v *values) clear() {
	for i, s := range v.slots {
		if s.stored {
			s.doubt()
		} else {
			delete(v.slots, i)
		}
	}
}

// kill ends the state for good.
func (v *values) kill() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dead, v.slots = true, nil
}

// killEmpty ends the state if no volatile value is held, and reports whether.
func (v *values) killEmpty() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.slots {
		if !s.stored {
			return false
		}
	}
	v.dead, v.slots = true, nil
	return true
}

// dropOld resets the volatile references that were set up to before, or by a
// session whose state has one of bits. If none is left it ends the state, and
// reports so.
func (v *values) dropOld(before int64, bits uint32) (ended bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	left := false
	for i, s := range v.slots {
		switch {
		case s.stored:
		case s.version <= before || s.by != nil && s.by.state.Load()&bits != 0:
			delete(v.slots, i)
		default:
			left = true
		}
	}
	if !left {
		v.dead, v.slots = true, nil
	}
	return !left
}

// writers are the sessions that set the volatile references, and what mark is
// for dropOld.
func (v *values) writers() (list []*session, mark int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.slots {
		if s.by != nil && !slices.Contains(list, s.by) {
			list = append(list, s.by)
		}
	}
	return list, v.seq
}
