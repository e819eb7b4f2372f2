//go:build unix

package serverstest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// What clients do is recorded user by user. The history of one user has to be
// that of one machine which does one thing at a time: it knows the user's
// sessions and one value, and each step happens at one moment between its
// request and its answer.

type verb string

const (
	connects verb = "connect"
	ends     verb = "end"
	endsAll  verb = "end-all"
	asks     verb = "whoami"
	sets     verb = "set"
	gets     verb = "get"
	modifies verb = "modify"
)

var verbs = []verb{connects, ends, endsAll, asks, sets, gets, modifies}

// did is one step of a history.
type did struct {
	verb    verb
	session int // with whose cookie; of connect: the new one's
	value   int // to be written
	client  int
	server  int
	call    int64 // when, since the history began
	ret     int64
	unknown bool // whether it took effect
	refused bool // nobody is connected
	old     int  // what was read
}

func (d did) String() string {
	s := fmt.Sprintf("%10.3f–%10.3f ms  client %2d, server %d: %s", float64(d.call)/1e6, float64(d.ret)/1e6, d.client, d.server, d.verb)
	if d.verb != endsAll && d.verb != gets {
		s += fmt.Sprintf(" session %d", d.session)
	}
	if d.verb == sets || d.verb == modifies {
		s += fmt.Sprintf(" to %d", d.value)
	}
	switch {
	case d.unknown:
		return s + ": unknown"
	case d.refused:
		return s + ": refused"
	case d.verb == gets || d.verb == modifies:
		return s + fmt.Sprintf(": was %d", d.old)
	}
	return s + ": done"
}

// machine is what a history has to look as if it came from.
type machine struct {
	alive uint64 // sessions
	value int
}

var model = porcupine.Model{
	Init: func() any { return machine{} },
	Step: func(state, input, _ any) (bool, any) {
		ok, next := state.(machine).step(input.(did))
		return ok, next
	},
}

// step does a step, and reports whether it could have had this outcome.
//
// A step of unknown outcome takes effect: if it never did, it is as good as
// one that took effect when all others were over.
func (m machine) step(d did) (bool, machine) {
	is := m.alive&(1<<d.session) != 0
	switch d.verb {
	case connects:
		m.alive |= 1 << d.session
	case ends:
		m.alive &^= 1 << d.session
	case endsAll:
		m.alive = 0
	case asks:
		return is != d.refused, m
	case gets:
		return d.old == m.value, m
	case sets, modifies:
		switch {
		case !d.unknown && is == d.refused:
			return false, m
		case is && d.verb == modifies && !d.unknown && d.old != m.value:
			return false, m
		case is:
			m.value = d.value
		}
	}
	return true, m
}

// life is the history of one user.
type life struct {
	user string

	mu       sync.Mutex
	steps    []did
	sessions []*cookies // by number
	endings  []bool     // by session: somebody has asked to end it
	// overtaken are those who connected while somebody ended all sessions.
	overtaken []did
	unknown   int
	last      int // value
}

// What one life may have: the checker's work grows with them.
const (
	mostSteps    = 240
	mostSessions = 60
	mostUnknown  = 6
)

func (l *life) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.steps) >= mostSteps || len(l.sessions) >= mostSessions || l.unknown >= mostUnknown
}

func (l *life) add(d did) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, d)
	if d.unknown {
		l.unknown++
	}
}

// pick is a session: more often one that nobody has ended.
func (l *life) pick() (number int, c cookies, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sessions) == 0 {
		return 0, c, false
	}
	first := max(0, len(l.sessions)-8)
	number = first + rand.IntN(len(l.sessions)-first)
	for range 2 {
		if l.endings[number] {
			number = first + rand.IntN(len(l.sessions)-first)
		}
	}
	return number, *l.sessions[number], true
}

// live is how many sessions nobody has asked to end.
func (l *life) live() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ending := range l.endings {
		if !ending {
			n++
		}
	}
	return n
}

// history is what clients did on the servers of a site.
type history struct {
	t       testing.TB
	servers []*server
	began   time.Time
	next    atomic.Int64 // number of a life

	mu    sync.Mutex
	lives []*life
	odd   map[string]int // answers that are neither right nor known to be wrong
}

// group is clients who use the sessions of one user.
type group struct {
	h  *history
	mu sync.Mutex
	l  *life
}

func (g *group) life() *life {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.l == nil || g.l.full() {
		g.l = &life{user: "user" + strconv.FormatInt(g.h.next.Add(1), 10)}
		g.h.mu.Lock()
		g.h.lives = append(g.h.lives, g.l)
		g.h.mu.Unlock()
	}
	return g.l
}

// record lets clients do what they like until f returns.
func record(t testing.TB, servers []*server, f func(h *history)) *history {
	h := &history{t: t, servers: servers, began: time.Now(), odd: map[string]int{}}
	const groups, clients = 3, 4
	var wg sync.WaitGroup
	over := make(chan struct{})
	for i := range groups {
		g := &group{h: h}
		for j := range clients {
			wg.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
						h.step(g.life(), i*clients+j)
						time.Sleep(rand.N(6 * time.Millisecond))
					}
				}
			})
		}
	}
	func() {
		defer wg.Wait()
		defer close(over)
		f(h)
	}()
	return h
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

// step does something and records it.
func (h *history) step(l *life, client int) {
	d := did{client: client, server: rand.IntN(len(h.servers))}
	switch n := rand.IntN(100); {
	case n < 12 || l.live() < 2:
		d.verb = connects
	case n < 20:
		d.verb = ends
	case n < 23:
		d.verb = endsAll
	case n < 55:
		d.verb = asks
	case n < 68:
		d.verb = sets
	case n < 84:
		d.verb = gets
	default:
		d.verb = modifies
	}
	var c cookies
	if d.verb != connects && d.verb != endsAll {
		var ok bool
		if d.session, c, ok = l.pick(); !ok {
			return
		}
	}
	form := url.Values{}
	l.mu.Lock()
	switch d.verb {
	case connects, endsAll:
		form.Set("user", l.user)
	case sets, modifies:
		l.last++
		d.value = l.last
		form.Set("value", strconv.Itoa(d.value))
	}
	switch d.verb {
	case ends:
		l.endings[d.session] = true
	case endsAll:
		for i := range l.endings {
			l.endings[i] = true
		}
	}
	l.mu.Unlock()
	method := http.MethodPost
	var with *cookies
	switch d.verb {
	case asks, gets:
		method = http.MethodGet
		with = &c
	case connects, ends, sets, modifies:
		with = &c
	}
	d.call = h.now()
	a, err := h.servers[d.server].send(method, "/"+string(d.verb), form, with)
	d.ret = h.now()
	h.answered(l, d, c, a, err)
}

// answered records the answer of a step.
func (h *history) answered(l *life, d did, c cookies, a answer, err error) {
	switch {
	case err == nil && a.status == http.StatusOK:
		d.old, _ = strconv.Atoi(a.body) // of those that answer a number
	case err == nil && a.status == http.StatusUnauthorized:
		d.refused = true
	default:
		if err == nil && (a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "") {
			h.strange(fmt.Sprintf("%s was answered with %d: %s", d.verb, a.status, strings.TrimSpace(a.body)))
		}
		d.unknown = true
	}
	switch d.verb {
	case connects:
		if d.refused { // it was opened and ended at once
			l.mu.Lock()
			l.overtaken = append(l.overtaken, d)
			l.mu.Unlock()
			return
		}
		if d.unknown {
			return // nobody has its cookie
		}
		if c.session == "" {
			h.strange("connect gave no session")
			return
		}
		l.mu.Lock()
		d.session = len(l.sessions)
		if d.session < 64 {
			l.sessions = append(l.sessions, &c)
			l.endings = append(l.endings, false)
		}
		l.mu.Unlock()
		if d.session >= 64 {
			return
		}
	case asks:
		if d.unknown {
			return // it changed nothing
		}
		if !d.refused && a.body != l.user {
			h.strange("a session of " + l.user + " was answered as that of " + a.body)
		}
	case gets:
		if d.unknown {
			return
		}
		// It asks two things, one after the other.
		first := d
		first.verb = asks
		l.add(first)
		if d.refused {
			return
		}
	}
	l.add(d)
}

func (h *history) strange(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.odd[what]++
}

// never is later than everything.
const never = int64(1) << 62

// check fails unless every life is one that the machine could have had, and
// returns those that are not.
func (h *history) check() (wrong []*life) {
	h.t.Helper()
	for _, l := range h.lives {
		ops := make([]porcupine.Operation, len(l.steps))
		for i, d := range l.steps {
			ops[i] = porcupine.Operation{ClientId: d.client, Input: d, Call: d.call, Return: d.ret}
			if d.unknown {
				ops[i].Return = never
			}
		}
		switch porcupine.CheckOperationsTimeout(model, ops, patience) {
		case porcupine.Illegal:
			wrong = append(wrong, l)
		case porcupine.Unknown:
			h.t.Errorf("whether the history of %s is right was not found out in %v", l.user, patience)
		}
	}
	return wrong
}

// report fails for what a history has that it should not, and unless enough
// has happened in it.
func (h *history) report(wrong []*life) {
	h.t.Helper()
	for what, n := range h.odd {
		h.t.Errorf("%s (%d times)", what, n)
	}
	for _, l := range wrong[:min(len(wrong), 2)] {
		slices.SortFunc(l.steps, func(a, b did) int { return int(a.call - b.call) })
		var lines strings.Builder
		for _, d := range l.steps {
			fmt.Fprintln(&lines, d)
		}
		h.t.Errorf("the history of %s is not linearizable:\n%s", l.user, lines.String())
	}
	for _, l := range h.lives {
		for _, c := range l.overtaken {
			if !slices.ContainsFunc(l.steps, func(d did) bool {
				return d.verb == endsAll && d.call <= c.ret && (d.unknown || d.ret >= c.call)
			}) {
				h.t.Errorf("nobody ended sessions of %s meanwhile: %v", l.user, c)
			}
		}
	}
	happened := h.tally()
	h.t.Logf("%d users: %v", len(h.lives), happened)
	for _, what := range happened.missing() {
		h.t.Error(what)
	}
}

// tally is how much of what a history has.
type tally struct {
	done             map[verb]int
	refused, unknown int
}

func (n tally) String() string {
	return fmt.Sprintf("%v, %d refused, %d of unknown outcome", n.done, n.refused, n.unknown)
}

// missing is what has to have happened and has not.
func (n tally) missing() (all []string) {
	for _, v := range verbs {
		if n.done[v] == 0 {
			all = append(all, fmt.Sprintf("no %s has succeeded", v))
		}
	}
	if n.refused == 0 {
		all = append(all, "nothing was refused")
	}
	return all
}

// tally counts what has happened so far.
func (h *history) tally() tally {
	n := tally{done: map[verb]int{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lives {
		l.mu.Lock()
		for _, d := range l.steps {
			switch {
			case d.unknown:
				n.unknown++
			case d.refused:
				n.refused++
			default:
				n.done[d.verb]++
			}
		}
		l.mu.Unlock()
	}
	return n
}

// late is how long after the end of its session, as far as anybody could tell,
// the last request began that was answered for it: of all sessions that were
// asked for after they had ended.
func (h *history) late() (lags []time.Duration) {
	for _, l := range h.lives {
		ended := map[int]int64{}
		for _, d := range l.steps {
			if d.unknown || d.refused {
				continue
			}
			switch d.verb {
			case ends:
				if at, ok := ended[d.session]; !ok || d.ret < at {
					ended[d.session] = d.ret
				}
			case endsAll:
				for _, c := range l.steps {
					if c.verb != connects || c.ret > d.call { // else it may have been there
						continue
					}
					if at, ok := ended[c.session]; !ok || d.ret < at {
						ended[c.session] = d.ret
					}
				}
			}
		}
		for session, at := range ended {
			lag, asked := time.Duration(0), false
			for _, d := range l.steps {
				if d.session != session || d.unknown || d.verb != asks || d.call <= at {
					continue
				}
				asked = true
				if !d.refused {
					lag = max(lag, time.Duration(d.call-at))
				}
			}
			if asked {
				lags = append(lags, lag)
			}
		}
	}
	return lags
}

// lost are requests that were refused though nobody had asked to end their
// session before they were answered.
func (h *history) lost() (all []did) {
	for _, l := range h.lives {
		first := map[int]int64{}
		for _, d := range l.steps {
			switch d.verb {
			case ends:
				if at, ok := first[d.session]; !ok || d.call < at {
					first[d.session] = d.call
				}
			case endsAll:
				for i := range l.sessions {
					if at, ok := first[i]; !ok || d.call < at {
						first[i] = d.call
					}
				}
			}
		}
		for _, d := range l.steps {
			if at, ok := first[d.session]; d.refused && d.verb != connects && (!ok || d.ret < at) {
				all = append(all, d)
			}
		}
	}
	return all
}
