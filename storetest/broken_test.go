package storetest

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
)

// brokenVariable, in the environment of the test binary, is how the store is
// broken that TestBroken runs on.
const brokenVariable = "SOJOURN_STORETEST_BROKEN"

// Every way to break the contract, with a part of the sentence that the
// failure has to quote.
var waysToBreak = map[string]string{
	"a touch revives":                      "never made",
	"a touch moves back":                   "nothing moves backwards",
	"a touch of a tab touches its owner":   "Touch moves LastSeen and Deadline",
	"the most recently seen is evicted":    "the least recently seen others end",
	"one too many is evicted":              "until limit are left",
	"the new session is evicted":           "the least recently seen others end",
	"a session is evicted twice":           "returned as ended exactly once",
	"ended sessions keep their values":     "removes its values and those of its tabs",
	"ended sessions stay":                  "EndSession ends the session of key",
	"ended users lose their values":        "The user's own values stay.",
	"keep is ignored":                      "except those of keep",
	"unknown sessions cannot be ended":     "is a no-op and returns no session and no error",
	"left counts the ended one":            "how many sessions its user has left",
	"sessions are listed oldest first":     "the last opened first",
	"a browser is made anew":               "does nothing if there is one of its key",
	"evicted browsers are not returned":    "and returned",
	"removed browsers keep their values":   "EndBrowsers removes browsers with their values",
	"versions begin again":                 "never comes twice for one key",
	"an empty value is none":               "Version 0 and nil Data",
	"values of unknown owners":             "the owner is a session or browser that does not exist",
	"the session of a write is ignored":    "when w.Session names one that does not exist",
	"any session writes a user's values":   "one of the user's",
	"conflicts are overwritten":            "ErrConflict when the version is not w.Version",
	"conflicts are found too early":        "if the write's conditions hold at the moment it takes effect",
	"dropping takes all tabs":              "tab \"\" stands for the owner itself, whose tabs keep theirs",
	"the session of a drop is ignored":     "it removes nothing and returns ErrNotFound",
	"tabs have no order":                   "the one whose Deadline comes first first",
	"expiry waits a millisecond":           "whose Deadline is not after now",
	"expiry knows no max":                  "max of each at the most",
	"expiry says there is no more":         "more reports that some are left",
	"expiry says there is always more":     "more reports that some are left",
	"what has expired is hidden":           "A session exists from CreateSession until",
	"contexts are ignored":                 "makes it return the context's error",
	"what was done is reported as not":     "what took effect is reported as done",
	"closed stores go on":                  "Methods called later return an error.",
	"changes of this process are reported": "f is never called",
	"changes never end":                    "It returns when ctx is done",
	"seconds only":                         "Times are kept to the millisecond,",
	"user ids end at NUL":                  "Session returns the session of key",
	"counts forget browsers":               "Count returns how much the store holds.",
}

// TestBroken is not for itself: TestABrokenStoreFails runs it.
func TestBroken(t *testing.T) {
	how := os.Getenv(brokenVariable)
	if how == "" {
		t.Skip("run by TestABrokenStoreFails")
	}
	if _, ok := waysToBreakShared[how]; ok {
		patience = 2 * time.Second
		RunShared(t, func(t *testing.T) (a, b sojourn.Store) { return newServers(how) })
		return
	}
	Run(t, func(t *testing.T) sojourn.Store { return &broken{plainStore: newPlainStore(), how: how} })
}

func TestABrokenStoreFails(t *testing.T) {
	t.Parallel()
	ways := maps.Clone(waysToBreak)
	maps.Copy(ways, waysToBreakShared)
	for how, quoted := range ways {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestBroken$",
				"-rapid.nofailfile", "-rapid.shrinktime=0s", "-rapid.checks=20")
			child.Env = append(os.Environ(), brokenVariable+"="+how)
			out, err := child.CombinedOutput()
			if err == nil {
				t.Fatal("Run passes a store that is broken")
			}
			if !strings.Contains(strings.ReplaceAll(string(out), `\"`, `"`), quoted) {
				t.Errorf("no failure quotes %q:\n%.4000s", quoted, out)
			}
		})
	}
}

// broken is a plain store that breaks the contract in one way.
type broken struct {
	*plainStore
	how string
}

func (b *broken) CreateSession(ctx context.Context, s sojourn.StoredSession, limit int) (evicted []sojourn.StoredSession, err error) {
	switch b.how {
	case "contexts are ignored":
		ctx = context.WithoutCancel(ctx)
	case "seconds only":
		s.LastSeen = s.LastSeen.Truncate(time.Second)
	case "user ids end at NUL":
		user, _, _ := strings.Cut(string(s.User), "\x00")
		s.User = sojourn.UserID(user)
	case "one too many is evicted":
		if limit > 1 {
			limit--
		}
	case "the most recently seen is evicted", "the new session is evicted":
		err = b.do(ctx, func(m *model) error {
			m.createSession(s, 0)
			list := m.sessionsOf(s.User)
			slices.SortFunc(list, func(a, b sojourn.StoredSession) int { return b.LastSeen.Compare(a.LastSeen) })
			if b.how != "the new session is evicted" {
				list = slices.DeleteFunc(list, func(o sojourn.StoredSession) bool { return o.Key == s.Key })
				list = append(list, s)
			}
			for limit > 0 && len(list) > limit {
				evicted = append(evicted, m.endSession(list[0].Key)...)
				list = list[1:]
			}
			return nil
		})
		return evicted, err
	case "a session is evicted twice":
		if evicted, err = b.plainStore.CreateSession(ctx, s, 0); err != nil || limit == 0 {
			return evicted, err
		}
		list, err := b.plainStore.Sessions(ctx, s.User)
		time.Sleep(time.Microsecond) // lets others in between
		for len(list) > limit {
			evicted = append(evicted, list[len(list)-1])
			b.plainStore.EndSession(ctx, list[len(list)-1].Key, sojourn.EndEvicted)
			list = list[:len(list)-1]
		}
		return evicted, err
	case "what was done is reported as not":
		evicted, err = b.plainStore.CreateSession(ctx, s, limit)
		time.Sleep(time.Millisecond) // as an answer over a network takes
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return evicted, err
	}
	return b.plainStore.CreateSession(ctx, s, limit)
}

func (b *broken) Session(ctx context.Context, key sojourn.Key) (sojourn.StoredSession, error) {
	s, err := b.plainStore.Session(ctx, key)
	if b.how == "what has expired is hidden" && !s.Deadline.IsZero() && s.Deadline.Before(time.Now()) {
		return sojourn.StoredSession{}, sojourn.ErrNotFound
	}
	return s, err
}

func (b *broken) Sessions(ctx context.Context, user sojourn.UserID) ([]sojourn.StoredSession, error) {
	list, err := b.plainStore.Sessions(ctx, user)
	if b.how == "sessions are listed oldest first" {
		slices.Reverse(list)
	}
	return list, err
}

func (b *broken) EndSession(ctx context.Context, key sojourn.Key, reason sojourn.EndReason) (ended []sojourn.StoredSession, left int, err error) {
	switch b.how {
	case "ended sessions stay":
		s, err := b.plainStore.Session(ctx, key)
		if err != nil {
			return nil, 0, nil
		}
		return []sojourn.StoredSession{s}, 0, nil
	case "ended sessions keep their values":
		err = b.do(ctx, func(m *model) error {
			if s, ok := m.sessions[key]; ok {
				delete(m.sessions, key)
				ended, left = append(ended, s), len(m.sessionsOf(s.User))
			}
			return nil
		})
		return ended, left, err
	}
	ended, left, err = b.plainStore.EndSession(ctx, key, reason)
	switch {
	case b.how == "unknown sessions cannot be ended" && len(ended) == 0 && err == nil:
		err = sojourn.ErrNotFound
	case b.how == "left counts the ended one":
		left++
	case b.how == "ended users lose their values" && left == 0 && len(ended) > 0:
		b.DropValues(ctx, sojourn.Owner{Kind: sojourn.OwnerUser, User: ended[0].User}, "", sojourn.Key{})
	}
	return ended, left, err
}

func (b *broken) EndUser(ctx context.Context, user sojourn.UserID, reason sojourn.EndReason, keep ...sojourn.Key) ([]sojourn.StoredSession, error) {
	if b.how == "keep is ignored" {
		keep = nil
	}
	return b.plainStore.EndUser(ctx, user, reason, keep...)
}

func (b *broken) CreateBrowser(ctx context.Context, n sojourn.StoredBrowser, limit int) ([]sojourn.Key, error) {
	if b.how == "a browser is made anew" {
		b.EndBrowsers(ctx, n.Key)
	}
	evicted, err := b.plainStore.CreateBrowser(ctx, n, limit)
	if b.how == "evicted browsers are not returned" {
		evicted = nil
	}
	return evicted, err
}

func (b *broken) EndBrowsers(ctx context.Context, keys ...sojourn.Key) error {
	if b.how == "removed browsers keep their values" {
		return b.do(ctx, func(m *model) error {
			for _, key := range keys {
				delete(m.browsers, key)
			}
			return nil
		})
	}
	return b.plainStore.EndBrowsers(ctx, keys...)
}

func (b *broken) SetValue(ctx context.Context, key sojourn.ValueKey, w sojourn.Write) (version int64, err error) {
	switch b.how {
	case "an empty value is none":
		if len(w.Data) == 0 {
			w.Data = nil
		}
	case "the session of a write is ignored":
		w.Session = sojourn.Key{}
	case "any session writes a user's values":
		if _, err := b.plainStore.Session(ctx, w.Session); err == nil {
			w.Session = sojourn.Key{}
		}
	case "conflicts are overwritten":
		w.Version = sojourn.AnyVersion
	case "conflicts are found too early":
		old, err := b.Value(ctx, key)
		switch {
		case err != nil:
			return 0, err
		case w.Version != sojourn.AnyVersion && w.Version != old.Version:
			return 0, sojourn.ErrConflict
		}
		time.Sleep(time.Microsecond) // lets others in between
		w.Version = sojourn.AnyVersion
	case "values of unknown owners":
		err = b.do(ctx, func(m *model) error {
			if m.exists(key.Owner) || w.Data == nil {
				b.version++
				version = b.version
				return m.setValue(key, w, version)
			}
			version = 1
			m.values[key] = sojourn.StoredValue{Data: w.Data, Version: version}
			return nil
		})
		return version, err
	case "versions begin again":
		err = b.do(ctx, func(m *model) error {
			version = m.values[key].Version + 1
			return m.setValue(key, w, version)
		})
		return version, err
	}
	return b.plainStore.SetValue(ctx, key, w)
}

func (b *broken) DropValues(ctx context.Context, owner sojourn.Owner, id string, session sojourn.Key) error {
	switch b.how {
	case "dropping takes all tabs":
		return b.do(ctx, func(m *model) error { m.disown(owner); return nil })
	case "the session of a drop is ignored":
		session = sojourn.Key{}
	}
	return b.plainStore.DropValues(ctx, owner, id, session)
}

func (b *broken) Tabs(ctx context.Context, owner sojourn.Owner) ([]sojourn.StoredTab, error) {
	tabs, err := b.plainStore.Tabs(ctx, owner)
	if b.how == "tabs have no order" {
		slices.SortFunc(tabs, func(a, b sojourn.StoredTab) int { return strings.Compare(b.ID, a.ID) })
	}
	return tabs, err
}

func (b *broken) Touch(ctx context.Context, touches []sojourn.Touch) error {
	for _, t := range touches {
		switch b.how {
		case "a touch revives":
			if t.Owner.Kind == sojourn.OwnerSession && t.Tab == "" {
				b.do(ctx, func(m *model) error {
					if !has(m.sessions, t.Owner.Key) {
						m.sessions[t.Owner.Key] = sojourn.StoredSession{Key: t.Owner.Key, LastSeen: t.LastSeen, Deadline: t.Deadline}
					}
					return nil
				})
			}
		case "a touch moves back":
			b.do(ctx, func(m *model) error {
				if s, ok := m.sessions[t.Owner.Key]; ok && t.Tab == "" {
					s.LastSeen = t.LastSeen
					m.sessions[t.Owner.Key] = s
				}
				return nil
			})
		case "a touch of a tab touches its owner":
			b.plainStore.Touch(ctx, []sojourn.Touch{{Owner: t.Owner, LastSeen: t.LastSeen, Deadline: t.Deadline}})
		}
	}
	return b.plainStore.Touch(ctx, touches)
}

func (b *broken) Expire(ctx context.Context, now time.Time, max int) ([]sojourn.StoredSession, bool, error) {
	switch b.how {
	case "expiry waits a millisecond":
		now = now.Add(-time.Millisecond)
	case "expiry knows no max":
		max = 1 << 30
	}
	ended, more, err := b.plainStore.Expire(ctx, now, max)
	switch b.how {
	case "expiry says there is no more":
		more = false
	case "expiry says there is always more":
		more = true
	}
	return ended, more, err
}

func (b *broken) Count(ctx context.Context) (sojourn.Counts, error) {
	n, err := b.plainStore.Count(ctx)
	if b.how == "counts forget browsers" {
		n.Browsers = 0
	}
	return n, err
}

func (b *broken) Changes(ctx context.Context, f func(sojourn.Change)) error {
	switch b.how {
	case "changes of this process are reported":
		f(sojourn.Change{Message: []byte("hello")})
	case "changes never end":
		if err := b.plainStore.Changes(ctx, f); errors.Is(err, context.Canceled) {
			return nil
		}
	}
	return b.plainStore.Changes(ctx, f)
}

func (b *broken) Close() error {
	if b.how == "closed stores go on" {
		return nil
	}
	return b.plainStore.Close()
}
