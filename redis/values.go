package redis

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/redis/rueidis"
	"github.com/sojourn-go/sojourn"
)

// Value implements sojourn.Store. It is one HGET.
func (s *Store) Value(ctx context.Context, key sojourn.ValueKey) (v sojourn.StoredValue, err error) {
	hash := s.bases[part(key.Owner.Shard())] + "v" + ownerName(key.Owner)
	err = s.read(ctx, "reading a value", func(ctx context.Context) error {
		text, err := s.do(ctx, s.client.B().Hget().Key(hash).Field(fieldStart(key.Tab)+key.Name).Build()).AsBytes()
		switch {
		case rueidis.IsRedisNil(err):
			return nil
		case err != nil:
			return err
		case len(text) < 8:
			return errRecord
		}
		v.Version = int64(binary.BigEndian.Uint64(text))
		v.Data = text[8:]
		return nil
	})
	return v, err
}

// SetValue implements sojourn.Store. On a cluster, w.Session may be on another
// node than a browser's or the site's value: then the write may still take
// effect a moment after the session ended, if it had begun before.
func (s *Store) SetValue(ctx context.Context, key sojourn.ValueKey, w sojourn.Write) (version int64, err error) {
	p := part(key.Owner.Shard())
	base, owner := s.bases[p], ownerName(key.Owner)
	own := ""
	if key.Owner.Kind == sojourn.OwnerUser && w.Session != (sojourn.Key{}) {
		own = string(w.Session[:])
	}
	expected, what := "any", "write"
	if w.Version != sojourn.AnyVersion {
		expected = string(binary.BigEndian.AppendUint64(nil, uint64(w.Version)))
	}
	if w.Data == nil {
		what = "remove"
	}
	err = s.guarded(ctx, "writing a value", w.Session, p, func(ctx context.Context, guard string) error {
		version, err = s.exec(ctx, setValue, guarding([]string{base + "v" + owner, base + "d", base + "c"}, guard),
			base, owner, key.Tab, key.Name, expected, string(w.Data), number(due(w.Deadline)), what, guard, own).AsInt64()
		switch {
		case err != nil:
			return err
		case version == -1:
			return sojourn.ErrNotFound
		case version == -2:
			return sojourn.ErrConflict
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// DropValues implements sojourn.Store. On a cluster, what SetValue says of
// sessions on another node is true of it as well.
func (s *Store) DropValues(ctx context.Context, owner sojourn.Owner, tab string, session sojourn.Key) error {
	p := part(owner.Shard())
	base, name := s.bases[p], ownerName(owner)
	return s.guarded(ctx, "removing values", session, p, func(ctx context.Context, guard string) error {
		n, err := s.exec(ctx, dropValues, guarding([]string{base + "v" + name, base + "d", base + "c"}, guard),
			base, name, tab, guard).AsInt64()
		if err == nil && n == -1 {
			err = sojourn.ErrNotFound
		}
		return err
	})
}

// guarded is write for what may be done in the part only if a session exists.
// guard is its key, for the script to look; if the script cannot, since the
// session is on another node, it is looked for before.
func (s *Store) guarded(ctx context.Context, doing string, session sojourn.Key, part int, f func(ctx context.Context, guard string) error) error {
	guard := ""
	if session != (sojourn.Key{}) {
		guard = s.bases[partOfKey(session)] + "s" + string(session[:])
	}
	return s.write(ctx, doing, func(ctx context.Context) error {
		if guard != "" && s.cluster && partOfKey(session) != part {
			n, err := s.do(ctx, s.client.B().Exists().Key(guard).Build()).AsInt64()
			if err != nil {
				return err
			}
			if n == 0 {
				return sojourn.ErrNotFound
			}
			guard = ""
		}
		return f(ctx, guard)
	})
}

func guarding(keys []string, guard string) []string {
	if guard != "" {
		keys = append(keys, guard)
	}
	return keys
}

// Tabs implements sojourn.Store.
func (s *Store) Tabs(ctx context.Context, owner sojourn.Owner) (tabs []sojourn.StoredTab, err error) {
	key := s.bases[part(owner.Shard())] + "t" + ownerName(owner)
	err = s.read(ctx, "listing tabs", func(ctx context.Context) error {
		scores, err := s.do(ctx, s.client.B().Zrange().Key(key).Min("0").Max("-1").Withscores().Build()).AsZScores()
		if rueidis.IsRedisNil(err) {
			return nil
		}
		tabs = slices.Grow(tabs, len(scores))
		for _, z := range scores {
			tabs = append(tabs, sojourn.StoredTab{ID: z.Member, Deadline: comes(int64(z.Score))})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return tabs, nil
}
