package sojourn

import (
	"hash/maphash"
	"math/bits"
)

// memTable is a hash table whose chains run through its elements: it costs
// about nine bytes an element. It grows and shrinks by one bucket at a time
// (linear hashing), so that no insertion ever waits for a whole table to be
// moved. Elements that hash alike keep their order, the last added first. The
// zero memTable is empty.
type memTable[E any, L memLinks[E]] struct {
	buckets []*E
	count   int
}

// memLinks says how the elements of a memTable are hashed and where each keeps
// the link of its chain.
type memLinks[E any] interface {
	hash(*E) uint64
	next(*E) **E
}

// memSeed makes it impossible to choose user ids that all hash alike.
var memSeed = maphash.MakeSeed()

func memHashKey(k *Key) uint64 { return maphash.Bytes(memSeed, k[:]) }

// first is the head of the chain in which elements of this hash are.
func (t *memTable[E, L]) first(hash uint64) *E {
	if len(t.buckets) == 0 {
		return nil
	}
	return t.buckets[t.bucket(hash)]
}

// add puts an element that is not there in front of its chain.
func (t *memTable[E, L]) add(e *E) {
	var l L
	t.count++
	if t.count > len(t.buckets) {
		t.split()
	}
	b := &t.buckets[t.bucket(l.hash(e))]
	*l.next(e) = *b
	*b = e
}

// remove takes out an element that is there.
func (t *memTable[E, L]) remove(e *E) {
	var l L
	p := &t.buckets[t.bucket(l.hash(e))]
	for *p != e {
		p = l.next(*p)
	}
	*p = *l.next(e)
	*l.next(e) = nil
	t.count--
	if t.count == 0 {
		t.buckets = nil
		return
	}
	for len(t.buckets) > 2*t.count {
		t.merge()
	}
	if cap(t.buckets) > 2*len(t.buckets)+8 {
		t.buckets = append(make([]*E, 0, len(t.buckets)+4), t.buckets...)
	}
}

// bucket is the place of a hash: its lowest bits, one bit less where the
// bucket of all bits is not there yet.
func (t *memTable[E, L]) bucket(hash uint64) int {
	last := uint64(len(t.buckets) - 1)
	mask := uint64(1)<<bits.Len64(last) - 1
	if i := hash & mask; i <= last {
		return int(i)
	}
	return int(hash & (mask >> 1))
}

// split adds a bucket and moves there what belongs there now.
func (t *memTable[E, L]) split() {
	var l L
	n := len(t.buckets)
	if n == cap(t.buckets) { // append would leave a quarter unused, or half
		t.buckets = append(make([]*E, 0, n+n/8+4), t.buckets...)
	}
	t.buckets = append(t.buckets, nil)
	if n == 0 {
		return
	}
	from, to := &t.buckets[memBuddy(n)], &t.buckets[n]
	for e := *from; e != nil; {
		next := *l.next(e)
		if t.bucket(l.hash(e)) == n {
			*from = next
			*to, to = e, l.next(e)
		} else {
			from = l.next(e)
		}
		e = next
	}
	*to = nil
}

// merge removes the last of several buckets and gives back what is in it.
func (t *memTable[E, L]) merge() {
	var l L
	n := len(t.buckets) - 1
	p := &t.buckets[memBuddy(n)]
	for *p != nil {
		p = l.next(*p)
	}
	*p = t.buckets[n]
	t.buckets[n] = nil
	t.buckets = t.buckets[:n]
}

// memBuddy is the bucket that held the elements of bucket n before n was: n
// without its highest bit.
func memBuddy(n int) int { return n &^ (1 << (bits.Len(uint(n)) - 1)) }
