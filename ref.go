package sojourn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Ref is a reference: one value of type T in each state of a scope, such as
// each user's or each tab's. Its methods act on the state of the request's
// context, those with In on any state. It carries over Eliom_reference.
//
// A volatile reference holds any Go value in this server's memory. A
// persistent one holds JSON in the store, for every server of the site. A
// value that holds pointers is the caller's to share: a volatile Get answers
// what was set, not a copy.
type Ref[T any] struct {
	ref
	initial func() T
	plain   bool // a T shares nothing with its copy
}

// ref is what does not depend on the type.
type ref struct {
	site  *Site
	scope Scope
	name  string // "": volatile
	index int32
}

// NewRef makes a volatile reference: its values are in this server's memory
// and go with the server. initial gives the value where none was set; nil
// stands for the zero value. It carries over Eliom_reference.eref.
func NewRef[T any](s *Site, scope Scope, initial func() T) *Ref[T] {
	return newRef(s, scope, "", initial)
}

// NewPersistentRef makes a persistent reference, kept in the store as JSON
// under name, which stays the same from run to run. It panics, naming both
// places, if the scope already has a persistent reference of that name; and
// for RequestScope, of which nothing can persist. It carries over
// Eliom_reference.eref with ~persistent.
func NewPersistentRef[T any](s *Site, scope Scope, name string, initial func() T) *Ref[T] {
	if name == "" {
		panic("sojourn: NewPersistentRef: the name is empty")
	}
	if scope.level == requestLevel {
		panic(fmt.Sprintf("sojourn: NewPersistentRef(%q): a reference of RequestScope cannot persist: use NewRef", name))
	}
	return newRef(s, scope, name, initial)
}

func newRef[T any](s *Site, scope Scope, name string, initial func() T) *Ref[T] {
	if scope.level == noLevel {
		panic("sojourn: a reference was given the zero Scope")
	}
	if initial == nil {
		initial = func() (zero T) { return zero }
	}
	_, file, line, _ := runtime.Caller(2)
	index := s.refs.add(scope, name, fmt.Sprintf("%s:%d", file, line))
	return &Ref[T]{ref{s, scope, name, index}, initial, sharesNothing(reflect.TypeFor[T]())}
}

// refNames are the references of a site.
type refNames struct {
	last  atomic.Int32
	mu    sync.Mutex
	where map[refName]string
	own   []string // hierarchies besides the two that every site has
}

type refName struct {
	scope Scope
	name  string
}

func (n *refNames) add(scope Scope, name, where string) (index int32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name != "" {
		key := refName{scope, name}
		if first, ok := n.where[key]; ok {
			panic(fmt.Sprintf("sojourn: the persistent reference %q of scope %v is made twice: at %s and at %s", name, scope, first, where))
		}
		if n.where == nil {
			n.where = make(map[refName]string)
		}
		n.where[key] = where
	}
	if h := scope.hierarchy; h != anonymousHierarchy && h != independentHierarchy && !slices.Contains(n.own, h) {
		n.own = append(n.own, h)
	}
	return n.last.Add(1)
}

// hierarchies are those of the site's own references.
func (n *refNames) hierarchies() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.own)
}

// sharesNothing reports whether a value of type t and a copy of it have no
// memory in common.
func sharesNothing(t reflect.Type) bool {
	if t == reflect.TypeFor[time.Time]() {
		return true
	}
	switch t.Kind() {
	case reflect.Array:
		return sharesNothing(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !sharesNothing(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.String:
		return true
	default:
		return t.Kind() >= reflect.Bool && t.Kind() <= reflect.Complex128
	}
}

// Get is the value in the state of this request, or the initial one. It stores
// nothing and sets no cookie. It returns ErrNoRequest; for UserScope
// ErrNotConnected; ErrSessionEnded when somebody else ended the session since
// the request began; the store's error, or one if what is stored under the name
// is not a T. It carries over Eliom_reference.get.
func (r *Ref[T]) Get(ctx context.Context) (T, error) {
	v, _, err := r.read(ctx, here)
	return v, err
}

// Set sets the value in the state of this request. A browser that held nothing
// gets a cookie, so it returns ErrHeadersSent when the response has started,
// and what Get returns; for a persistent reference also an error if v cannot be
// JSON. When it returns ErrSessionEnded nothing was written. It carries over
// Eliom_reference.set.
func (r *Ref[T]) Set(ctx context.Context, v T) error { return r.write(ctx, here, v, AnyVersion) }

// Modify replaces the value by what f makes of it. It is atomic, for
// persistent references across servers: f may be called several times, until
// nobody else changed the value meanwhile. An error of f is returned and
// nothing is changed; otherwise errors are those of Get and Set. No lock is
// held while f runs. It carries over Eliom_reference.modify.
func (r *Ref[T]) Modify(ctx context.Context, f func(T) (T, error)) error {
	return r.modify(ctx, here, f)
}

// Unset resets the value to the initial one. Errors are those of Set, without
// ErrHeadersSent. It carries over Eliom_reference.unset.
func (r *Ref[T]) Unset(ctx context.Context) error { return r.remove(ctx, here) }

// GetIn is Get in another state, in a request or outside. It returns
// ErrWrongScope for a state of another scope or site, ErrSessionEnded if the
// state is no more, or the store's error. It carries over
// Eliom_reference.Ext.get.
func (r *Ref[T]) GetIn(ctx context.Context, st State) (T, error) {
	v, _, err := r.read(ctx, st)
	return v, err
}

// SetIn is Set in another state. It returns ErrSessionEnded if the state is no
// more: a session that has ended, a browser or tab whose state has gone, or,
// for volatile references, a user who has no session; ErrWrongScope as GetIn
// does. It carries over Eliom_reference.Ext.set.
func (r *Ref[T]) SetIn(ctx context.Context, st State, v T) error {
	return r.write(ctx, st, v, AnyVersion)
}

// ModifyIn is Modify in another state. Errors are those of f and of SetIn. It
// carries over Eliom_reference.Ext.modify.
func (r *Ref[T]) ModifyIn(ctx context.Context, st State, f func(T) (T, error)) error {
	return r.modify(ctx, st, f)
}

// UnsetIn is Unset in another state. Errors are those of SetIn. It carries over
// Eliom_reference.Ext.unset.
func (r *Ref[T]) UnsetIn(ctx context.Context, st State) error { return r.remove(ctx, st) }

// read is the value and its version.
func (r *Ref[T]) read(ctx context.Context, st State) (v T, version int64, err error) {
	p, err := r.place(ctx, st, false)
	if err != nil {
		return v, 0, err
	}
	if p.ended() {
		return v, 0, ErrSessionEnded
	}
	switch {
	case r.name == "" || p.loose:
		v, version = r.readVolatile(p)
	case p.owner.Kind == 0:
		v = r.initial()
	default:
		v, version, err = r.readStored(ctx, p)
	}
	if err == nil && p.ended() { // meanwhile: what was read may be what an ended state reads as
		var zero T
		return zero, 0, ErrSessionEnded
	}
	return v, version, err
}

// readVolatile is read for what is in memory only.
func (r *Ref[T]) readVolatile(p place) (v T, version int64) {
	if p.vals != nil {
		if x, version := p.vals.get(r.index); version != 0 {
			v, _ = x.(T) // of this reference only; a nil interface stays the zero value
			return v, version
		}
	}
	return r.initial(), 0
}

// readStored is read for what is in the store, or known to be.
func (r *Ref[T]) readStored(ctx context.Context, p place) (v T, version int64, err error) {
	keep := !r.site.shared && p.vals != nil
	var epoch int64
	if keep {
		x, version, known, e := p.vals.known(r.index)
		if known {
			return r.decode(x, version)
		}
		epoch = e
	}
	st, err := r.site.store.Value(ctx, p.key(r.name))
	if err != nil {
		return v, 0, wrap("reading "+r.name, err)
	}
	x, err := r.keepable(st.Data, st.Version)
	if err != nil {
		return v, 0, err
	}
	if keep {
		p.vals.learn(r.index, epoch, x, st.Version)
	}
	return r.decode(x, st.Version)
}

// keepable is the form in which a stored value is kept in memory: itself if
// copies share nothing, else its JSON, so that no two readers share a value.
func (r *Ref[T]) keepable(data []byte, version int64) (any, error) {
	if version == 0 || !r.plain {
		return data, nil
	}
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("sojourn: the stored value of %q is not a %T: %w", r.name, v, err)
	}
	return v, nil
}

func (r *Ref[T]) decode(x any, version int64) (v T, _ int64, err error) {
	if version == 0 {
		return r.initial(), 0, nil
	}
	if r.plain {
		v, _ = x.(T)
		return v, version, nil
	}
	data, _ := x.([]byte)
	if err := json.Unmarshal(data, &v); err != nil {
		return v, 0, fmt.Errorf("sojourn: the stored value of %q is not a %T: %w", r.name, v, err)
	}
	return v, version, nil
}

// write sets the value if the version is as given.
func (r *Ref[T]) write(ctx context.Context, st State, v T, version int64) error {
	for {
		p, err := r.place(ctx, st, true)
		if err != nil {
			return err
		}
		if r.name == "" || p.loose {
			if err := r.site.confirm(ctx, &p); err != nil {
				return err
			}
			err = p.vals.set(r.index, v, false, version, &p)
			if err == ErrSessionEnded && p.retry() {
				continue
			}
			return err
		}
		data, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("sojourn: %q cannot be stored: %w", r.name, err)
		}
		x, err := r.keepable(data, 1)
		if err != nil {
			return err
		}
		return r.store(ctx, p, data, x, version)
	}
}

func (r *Ref[T]) remove(ctx context.Context, st State) error {
	p, err := r.place(ctx, st, false)
	if err != nil {
		return err
	}
	if p.ended() {
		return ErrSessionEnded
	}
	if r.name == "" || p.loose {
		if p.vals == nil {
			return nil
		}
		if err := r.site.confirm(ctx, &p); err != nil {
			return err
		}
		err := p.vals.set(r.index, nil, true, AnyVersion, &p)
		if err == ErrSessionEnded && p.retry() {
			return r.remove(ctx, st)
		}
		return err
	}
	if p.owner.Kind == 0 {
		return nil
	}
	return r.store(ctx, p, nil, nil, AnyVersion)
}

// store writes to the store, and keeps what is known of it true.
func (r *ref) store(ctx context.Context, p place, data []byte, x any, version int64) error {
	if p.ended() {
		return ErrSessionEnded
	}
	w := Write{Data: data, Version: version, Session: p.guard}
	if p.tab != "" {
		w.Deadline = fromMillis(time.Now().UnixMilli() + r.site.timeouts.tab)
		if p.tabp != nil && data != nil {
			p.tabp.noteStored(p.owner)
		}
	}
	keep := p.vals != nil
	var epoch int64
	if keep {
		epoch = p.vals.writing(r.index)
	}
	version, err := r.site.store.SetValue(ctx, p.key(r.name), w)
	if keep {
		if data == nil {
			version = 0
		}
		p.vals.written(r.index, epoch, x, version, err == nil && !r.site.shared)
	}
	if v := r.site.successor(&p); v != nil {
		v.doubt(r.index) // what was read there meanwhile may be old
	}
	switch {
	case errors.Is(err, ErrNotFound) && data == nil && p.brow != nil && !p.brow.stored.Load():
		return nil // nothing of the browser was ever stored, as far as is known here
	case errors.Is(err, ErrNotFound):
		r.site.lost(&p)
		return ErrSessionEnded
	case errors.Is(err, ErrConflict):
		return ErrConflict
	}
	return wrap("writing "+r.name, err)
}

// successor is the memory that has taken the place of p's, if any: a user's
// goes with the last session, a browser's when it holds nothing.
func (s *Site) successor(p *place) *values {
	switch {
	case p.tab != "":
	case p.owner.Kind == OwnerUser:
		if g := s.users.get(p.owner.User, false); g != nil && g != p.group {
			return &g.values
		}
	case p.owner.Kind == OwnerBrowser:
		if b, _ := s.browsers.get(p.owner.Key); b != nil && b != p.brow {
			return b.vals.Load()
		}
	}
	return nil
}

// confirm asks whether the session of a volatile write has ended on another
// server; a write to the store need not ask.
func (s *Site) confirm(ctx context.Context, p *place) error {
	if p.sess == nil || !s.shared {
		return nil
	}
	_, err := s.store.Session(ctx, p.sess.key)
	if errors.Is(err, ErrNotFound) {
		s.hasEnded(p.sess)
		return ErrSessionEnded
	}
	return wrap("asking the store for the session", err)
}

// lost notes that the store does not have what a write needed, though this
// server did: another one removed it.
func (s *Site) lost(p *place) {
	if p.sess != nil {
		s.hasEnded(p.sess)
	}
	if p.owner.Kind == OwnerBrowser {
		s.browsers.remove(p.owner.Key, s.tabs.seq.Load(), nowMillis())
	}
}

func (r *Ref[T]) modify(ctx context.Context, st State, f func(T) (T, error)) error {
	for try := 0; ; try++ {
		v, version, err := r.read(ctx, st)
		if err != nil {
			return err
		}
		if v, err = f(v); err != nil {
			return err
		}
		if err := r.write(ctx, st, v, version); !errors.Is(err, ErrConflict) {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

// pause waits a little longer after each lost race.
func pause(ctx context.Context, try int) error {
	if try < 3 {
		return ctx.Err()
	}
	t := time.NewTimer(time.Duration(rand.Int64N(int64(min(try, 50)) * int64(100*time.Microsecond))))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
