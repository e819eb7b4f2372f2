package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"
	"github.com/sojourn-go/sojourn"
)

// Servers hear of one another by messages on a channel. Each message of a part
// has a number, and the number of the one before it, both kept in the part: a
// server that has heard the last number of every part has missed nothing,
// whatever happened to connections meanwhile. It asks for the numbers now and
// then, and when one message does not follow on the other.
//
// A message is part 2, number before 8, number 8, origin 8, and "m" with what
// Publish was given, or "e", length 1 and reason, and of each session that
// ended: how many its user has left 4, length 4, key 32 and record.

const (
	originLength = 8
	headLength   = 2 + 8 + 8 + originLength + 1
)

const (
	// heartbeat is how often the numbers are asked for; with MaxStaleness a
	// quarter of that if it is less.
	heartbeat = time.Second
	// patience is how long a message may be on its way that the engine says
	// there was.
	patience = time.Second
	// backlog is how many messages may wait for the site.
	backlog = 4096
)

var (
	errGap       = errors.New("redis: messages of other servers were missed")
	errBacklog   = errors.New("redis: messages of other servers come faster than they are taken")
	errListening = errors.New("redis: Changes is being called already")
)

// Publish implements sojourn.Store.
func (s *Store) Publish(ctx context.Context, message []byte) error {
	const p = 0
	base := s.bases[p]
	return s.write(ctx, "publishing a message", func(ctx context.Context) error {
		err := s.exec(ctx, publish, []string{base + "q"}, base, number(p), s.channel, s.origin, string(message)).Error()
		if rueidis.IsRedisNil(err) {
			err = nil
		}
		return err
	})
}

// Changes implements sojourn.Store. It returns an error when the connection
// that hears of changes breaks, when a message is missing, and when the engine
// has not told in time whether one is. Only one call at a time may be under way.
func (s *Store) Changes(ctx context.Context, f func(sojourn.Change)) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if !s.listening.CompareAndSwap(false, true) {
		return errListening
	}
	defer s.listening.Store(false)
	either, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	err := s.listen(either, f)
	s.certain.Store(0)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errGap), errors.Is(err, errBacklog):
		return err
	}
	return s.explain("hearing of changes", err)
}

// Fresh implements sojourn.Store: MaxStaleness while it is certain that Changes
// has told all that other servers did, otherwise 0.
func (s *Store) Fresh() time.Duration {
	if s.staleness == 0 || int64(time.Since(s.began)) >= s.certain.Load() {
		return 0
	}
	return s.staleness
}

// listen tells f what is heard on a connection, until it fails.
func (s *Store) listen(ctx context.Context, f func(sojourn.Change)) error {
	incoming := make(chan string, backlog)
	overflow := make(chan struct{}, 1)
	connection, release := s.client.Dedicate()
	defer release()
	defer connection.Close()
	subscribed := make(chan struct{}, 1)
	lost := connection.SetPubSubHooks(rueidis.PubSubHooks{
		OnSubscription: func(rueidis.PubSubSubscription) {
			select {
			case subscribed <- struct{}{}:
			default:
			}
		},
		OnMessage: func(m rueidis.PubSubMessage) {
			select {
			case incoming <- m.Message:
			default:
				select {
				case overflow <- struct{}{}:
				default:
				}
			}
		},
	})
	if err := s.subscribe(ctx, connection, subscribed, lost); err != nil {
		return err
	}
	first := s.ask(ctx, new([parts]int64))
	if first.err != nil {
		return first.err
	}
	h := hearing{origin: s.origin, tell: f, first: first.numbers, last: first.numbers}
	f(sojourn.Change{})
	s.heard(first)

	every := heartbeat
	if s.staleness > 0 {
		every = min(every, s.staleness/4)
	}
	next := time.NewTimer(every)
	defer next.Stop()
	answers := make(chan asked, 1)
	var asking sync.WaitGroup
	defer asking.Wait()
	asks, cancel := context.WithCancel(ctx)
	defer cancel()
	var behind *asked // the answer that says of messages that have not come yet
	var late <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-lost:
			return errors.Join(err, errGap)
		case <-overflow:
			return errBacklog
		case m := <-incoming:
			if err := h.take(m); err != nil {
				return err
			}
			if behind == nil || !h.has(behind) {
				continue
			}
			s.heard(*behind)
			behind, late = nil, nil
			next.Reset(every)
		case <-next.C:
			before := h.last
			asking.Go(func() { answers <- s.ask(asks, &before) })
		case a := <-answers:
			switch {
			case a.err != nil:
				return a.err
			case a.lost():
				return errGap
			case h.has(&a):
				s.heard(a)
				next.Reset(every)
			default:
				behind, late = &a, time.After(patience)
			}
		case <-late:
			if len(incoming) == 0 {
				return errGap
			}
			late = time.After(patience)
		}
	}
}

// subscribe returns when the connection hears what is published.
func (s *Store) subscribe(ctx context.Context, connection rueidis.DedicatedClient, subscribed <-chan struct{}, lost <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := connection.Do(ctx, connection.B().Subscribe().Channel(s.channel).Build()).Error(); err != nil {
		return err
	}
	select {
	case <-subscribed:
		return nil
	case err := <-lost:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// asked is what the engine answered when it was asked for the numbers.
type asked struct {
	at      time.Time // before it was asked
	before  [parts]int64
	numbers [parts]int64
	err     error
}

// ask asks for the last number of every part. before are those heard of.
func (s *Store) ask(ctx context.Context, before *[parts]int64) (a asked) {
	a.at, a.before = time.Now(), *before
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	answers, err := s.askAll(ctx)
	if err != nil {
		a.err = err
		return a
	}
	for i, m := range answers {
		if m.IsNil() {
			continue
		}
		text, err := m.ToString()
		if err == nil {
			a.numbers[i], err = strconv.ParseInt(text, 10, 64)
		}
		if err != nil {
			a.err = err
			return a
		}
	}
	return a
}

// askAll is what each part answers: one command, or on a cluster one for each.
func (s *Store) askAll(ctx context.Context) (answers []rueidis.RedisMessage, err error) {
	if !s.cluster {
		keys := make([]string, parts)
		for i, base := range s.bases {
			keys[i] = base + "q"
		}
		answers, err = s.do(ctx, s.client.B().Mget().Key(keys...).Build()).ToArray()
		if err == nil && len(answers) != parts {
			err = errRecord
		}
		return answers, err
	}
	commands := make(rueidis.Commands, parts)
	for i, base := range s.bases {
		commands[i] = s.client.B().Get().Key(base + "q").Build()
	}
	answers = make([]rueidis.RedisMessage, parts)
	for i, result := range s.doAll(ctx, commands) {
		if answers[i], err = result.ToMessage(); err != nil && !rueidis.IsRedisNil(err) {
			return nil, err
		}
	}
	return answers, nil
}

// lost reports whether the engine has forgotten messages that were heard: it
// has lost what was written last.
func (a *asked) lost() bool {
	for i, n := range a.numbers {
		if n < a.before[i] {
			return true
		}
	}
	return false
}

// heard notes that at the time of an answer everything before it was heard.
func (s *Store) heard(a asked) {
	if s.staleness > 0 {
		s.certain.Store(int64(a.at.Sub(s.began) + s.staleness))
	}
}

// hearing is what was heard.
type hearing struct {
	origin string
	tell   func(sojourn.Change)
	first  [parts]int64 // the last numbers when it began
	last   [parts]int64
}

// has reports whether everything was heard that the answer tells of.
func (h *hearing) has(a *asked) bool {
	for i, n := range a.numbers {
		if h.last[i] < n {
			return false
		}
	}
	return true
}

// take takes in a message.
func (h *hearing) take(message string) error {
	if len(message) < headLength {
		return errGap
	}
	r := reader{rest: message}
	part := r.byte()<<8 | r.byte()
	before, number := r.int(), r.int()
	origin := r.next(originLength)
	switch {
	case part >= parts:
		return errGap
	case number <= h.first[part]:
		return nil // of before
	case before != h.last[part]:
		return errGap
	}
	if origin != h.origin {
		changes, err := readChanges(&r)
		if err != nil {
			return err
		}
		for _, c := range changes {
			h.tell(c)
		}
	}
	h.last[part] = number
	return nil
}

// readChanges reads what a message says after its origin.
func readChanges(r *reader) ([]sojourn.Change, error) {
	switch kind := r.next(1); kind {
	case "m":
		return []sojourn.Change{{Message: append([]byte{}, r.rest...)}}, nil
	case "e":
	default:
		return nil, fmt.Errorf("%w: one of kind %q", errGap, kind)
	}
	reason := sojourn.EndReason(r.next(r.byte()))
	var changes []sojourn.Change
	for r.rest != "" {
		left, length := r.short(), r.short()
		key := keyOf(r.next(len(sojourn.Key{})))
		ended, err := decodeSession(key, r.next(length))
		if err != nil || r.bad {
			return nil, errors.Join(errGap, err)
		}
		changes = append(changes, sojourn.Change{Ended: &ended, Reason: reason, Left: left})
	}
	return changes, nil
}
