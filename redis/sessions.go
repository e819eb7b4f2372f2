package redis

import (
	"context"
	"errors"
	"slices"

	"github.com/redis/rueidis"
	"github.com/sojourn-go/sojourn"
)

var errForeign = errors.New("redis: the session's key is not in the shard of its user")

// CreateSession implements sojourn.Store.
func (s *Store) CreateSession(ctx context.Context, n sojourn.StoredSession, limit int) (evicted []sojourn.StoredSession, err error) {
	record, err := encodeSession(n)
	if err != nil {
		return nil, err
	}
	p := partOf(n.User)
	if p != partOfKey(n.Key) {
		return nil, errForeign
	}
	base, key := s.bases[p], string(n.Key[:])
	err = s.write(ctx, "creating a session", func(ctx context.Context) error {
		evicted, _, err = sessionsEnded(s.exec(ctx, createSession,
			[]string{base + "s" + key, base + "u" + string(n.User), base + "d", base + "c", base + "q"},
			base, key, rueidis.BinaryString(record), number(limit), number(p), s.channel, s.origin))
		return err
	})
	return evicted, err
}

// Session implements sojourn.Store. It is one GET.
func (s *Store) Session(ctx context.Context, key sojourn.Key) (found sojourn.StoredSession, err error) {
	err = s.read(ctx, "reading a session", func(ctx context.Context) error {
		record, err := s.get(ctx, partOfKey(key), "s"+string(key[:]))
		if err == nil {
			found, err = decodeSession(key, record)
		}
		return err
	})
	return found, err
}

// get reads a record, or returns sojourn.ErrNotFound.
func (s *Store) get(ctx context.Context, part int, name string) (string, error) {
	record, err := s.do(ctx, s.client.B().Get().Key(s.bases[part]+name).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return "", sojourn.ErrNotFound
	}
	return record, err
}

// Sessions implements sojourn.Store.
func (s *Store) Sessions(ctx context.Context, user sojourn.UserID) (list []sojourn.StoredSession, err error) {
	base := s.bases[partOf(user)]
	err = s.read(ctx, "listing a user's sessions", func(ctx context.Context) error {
		answer, err := s.exec(ctx, listSessions, []string{base + "u" + string(user)}, base).AsStrSlice()
		if err != nil {
			return err
		}
		for pair := range slices.Chunk(answer, 2) {
			found, err := decodeSession(keyOf(pair[0]), pair[1])
			if err != nil {
				return err
			}
			list = append(list, found)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b sojourn.StoredSession) int { return b.OpenedAt.Compare(a.OpenedAt) })
	return list, nil
}

// EndSession implements sojourn.Store.
func (s *Store) EndSession(ctx context.Context, key sojourn.Key, reason sojourn.EndReason) (ended []sojourn.StoredSession, left int, err error) {
	p, k := partOfKey(key), string(key[:])
	base := s.bases[p]
	err = s.write(ctx, "ending a session", func(ctx context.Context) error {
		ended, left, err = sessionsEnded(s.exec(ctx, endSession,
			[]string{base + "s" + k, base + "d", base + "c", base + "q"},
			base, k, string(reason), number(p), s.channel, s.origin))
		return err
	})
	return ended, left, err
}

// EndUser implements sojourn.Store. It is one call of a script, however many
// sessions there are.
func (s *Store) EndUser(ctx context.Context, user sojourn.UserID, reason sojourn.EndReason, keep ...sojourn.Key) (ended []sojourn.StoredSession, err error) {
	p := partOf(user)
	base := s.bases[p]
	args := []string{base, string(reason), number(p), s.channel, s.origin}
	for _, key := range keep {
		args = append(args, string(key[:]))
	}
	err = s.write(ctx, "ending a user's sessions", func(ctx context.Context) error {
		ended, _, err = sessionsEnded(s.exec(ctx, endUser,
			[]string{base + "u" + string(user), base + "d", base + "c", base + "q"}, args...))
		return err
	})
	return ended, err
}

// sessionsEnded reads the sessions that a script returns as ended, and how many
// the user of the last one has left.
func sessionsEnded(result rueidis.RedisResult) ([]sojourn.StoredSession, int, error) {
	answer, err := result.ToArray()
	if err != nil {
		return nil, 0, err
	}
	return readEnded(answer)
}

func readEnded(answer []rueidis.RedisMessage) (ended []sojourn.StoredSession, left int, err error) {
	for triple := range slices.Chunk(answer, 3) {
		key, err1 := triple[0].ToString()
		record, err2 := triple[1].ToString()
		n, err3 := triple[2].AsInt64()
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, 0, err
		}
		one, err := decodeSession(keyOf(key), record)
		if err != nil {
			return nil, 0, err
		}
		ended, left = append(ended, one), int(n)
	}
	return ended, left, nil
}

func keyOf(text string) (key sojourn.Key) {
	copy(key[:], text)
	return key
}
