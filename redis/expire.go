package redis

import (
	"context"
	"slices"
	"time"

	"github.com/redis/rueidis"
	"github.com/sojourn-go/sojourn"
)

// Touch implements sojourn.Store. On one node it is a script call for every
// 128 touches, on a cluster one for each part of the store that they are in.
func (s *Store) Touch(ctx context.Context, touches []sojourn.Touch) error {
	touched := s.newBatch()
	for _, t := range touches {
		p := part(t.Owner.Shard())
		owner := ownerName(t.Owner)
		touched.add(p, s.bases[p]+owner,
			s.bases[p], owner, t.Tab, number(t.LastSeen.UnixMilli()), number(due(t.Deadline)))
	}
	return s.write(ctx, "touching", func(ctx context.Context) (err error) {
		moved := s.newBatch()
		for _, result := range s.execAll(ctx, touch, touched.runs) {
			answer, e := result.ToArray()
			if e != nil {
				err = e
				continue
			}
			for m := range slices.Chunk(answer, 4) {
				args := make([]string, 4)
				for i := range m {
					if args[i], e = text(m[i]); e != nil {
						return e
					}
				}
				moved.add(partOfSubnet(args[1]), s.subnetKey(args[1]), args[0], args[2], args[3])
			}
		}
		if e := s.all(ctx, moveInSubnet, moved); e != nil {
			err = e
		}
		return err
	})
}

// text is a message that is a string or an integer.
func text(m rueidis.RedisMessage) (string, error) {
	if n, err := m.ToInt64(); err == nil {
		return number(n), nil
	}
	return m.ToString()
}

// most is how much of each kind Expire removes, whatever it is asked for.
const most = 10_000

// Expire implements sojourn.Store. It asks every part of the store whether
// something may have expired, in one round trip. If the engine fails when some
// has been removed, that is what it returns.
func (s *Store) Expire(ctx context.Context, now time.Time, max int) (ended []sojourn.StoredSession, more bool, err error) {
	if err := s.ready(ctx); err != nil {
		return nil, false, err
	}
	max = min(max, most)
	runs, more, err := s.expired(ctx, now, max)
	if err != nil {
		return nil, false, err
	}
	ctx = context.WithoutCancel(ctx)
	for some := range slices.Chunk(runs, expireRuns) {
		err = s.write(ctx, "ending what has expired", func(ctx context.Context) error {
			var gone []goneBrowser
			for _, result := range s.execAll(ctx, expire, some) {
				sessions, browsers, e := readExpired(result)
				if e != nil {
					err = e
					continue
				}
				ended, gone = append(ended, sessions...), append(gone, browsers...)
			}
			if e := s.leaveSubnets(ctx, gone); e != nil {
				err = e
			}
			return err
		})
		if err != nil && len(ended) > 0 {
			return ended, true, nil // they have ended, and nobody will say so again
		}
		if err != nil {
			return nil, false, err
		}
	}
	return ended, more, nil
}

// A run of expire has expireMembers at the most, and expireRuns are sent at
// once.
const (
	expireMembers = 100
	expireRuns    = 16
)

// A bucket is one of the lists of what expires.
type bucket struct {
	part int
	name string
}

// mostBuckets is how many of them Expire looks into.
const mostBuckets = 4096

// due are the buckets in which something may have expired.
func (s *Store) due(ctx context.Context, until string) (due []bucket, err error) {
	err = s.read(ctx, "looking for what has expired", func(ctx context.Context) error {
		commands := make(rueidis.Commands, parts)
		for i, base := range s.bases {
			commands[i] = s.client.B().Zrange().Key(base + "d").Min("-inf").Max(until).Byscore().Build()
		}
		for p, result := range s.doAll(ctx, commands) {
			names, err := result.AsStrSlice()
			if err != nil {
				return err
			}
			for _, name := range names {
				due = append(due, bucket{p, name})
			}
		}
		return nil
	})
	return due, err
}

// expired are the runs that remove what has expired, max of each kind at the
// most, and whether there is more.
func (s *Store) expired(ctx context.Context, now time.Time, max int) (runs []run, more bool, err error) {
	until := number(min(now.UnixMilli(), never-1))
	buckets, err := s.due(ctx, until)
	if err != nil || len(buckets) == 0 {
		return nil, false, err
	}
	if len(buckets) > mostBuckets {
		buckets, more = buckets[:mostBuckets], true
	}
	err = s.read(ctx, "looking for what has expired", func(ctx context.Context) error {
		// Three kinds share the lists: of so many, one has more than max.
		limit := int64(3*max + 1)
		commands := make(rueidis.Commands, len(buckets))
		for i, b := range buckets {
			commands[i] = s.client.B().Zrange().Key(s.bases[b.part]+"e"+b.name).Min("-inf").Max(until).Byscore().Limit(0, limit).Build()
		}
		left := map[byte]int{'s': max, 'b': max, 't': max}
		for i, result := range s.doAll(ctx, commands) {
			members, err := result.AsStrSlice()
			if err != nil {
				return err
			}
			more = more || int64(len(members)) == limit
			var due []string
			for _, m := range members {
				if left[m[0]] == 0 {
					more = true
					continue
				}
				left[m[0]]--
				due = append(due, m)
			}
			runs = append(runs, s.expiring(buckets[i], until, due)...)
		}
		return nil
	})
	return runs, more, err
}

// expiring are the runs that remove what is due in a bucket: at least one, for
// the bucket to be due no more.
func (s *Store) expiring(b bucket, until string, due []string) (runs []run) {
	base := s.bases[b.part]
	for {
		n := min(len(due), expireMembers)
		runs = append(runs, run{
			keys: []string{base + "e" + b.name, base + "d", base + "c", base + "q"},
			args: append([]string{base, number(b.part), s.channel, s.origin, until, b.name}, due[:n]...),
		})
		if due = due[n:]; len(due) == 0 {
			return runs
		}
	}
}

func readExpired(result rueidis.RedisResult) (ended []sojourn.StoredSession, gone []goneBrowser, err error) {
	both, err := result.ToArray()
	if err != nil || len(both) != 2 {
		return nil, nil, err
	}
	sessions, err := both[0].ToArray()
	if err != nil {
		return nil, nil, err
	}
	if ended, _, err = readEnded(sessions); err != nil {
		return nil, nil, err
	}
	browsers, err := both[1].AsStrSlice()
	return ended, readGone(browsers), err
}
