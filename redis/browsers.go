package redis

import (
	"context"
	"slices"

	"github.com/redis/rueidis"
	"github.com/sojourn-go/sojourn"
)

// CreateBrowser implements sojourn.Store. The list of a subnet's browsers is
// elsewhere than they are: a limit is kept in steps. While servers add browsers
// there may be more than limit, by as many as are being added; afterwards
// there are limit. A server that dies in between leaves one more, until its
// deadline.
func (s *Store) CreateBrowser(ctx context.Context, b sojourn.StoredBrowser, limit int) (evicted []sojourn.Key, err error) {
	p, key := partOfKey(b.Key), string(b.Key[:])
	base := s.bases[p]
	added := false
	err = s.write(ctx, "creating a browser", func(ctx context.Context) error {
		n, err := s.exec(ctx, createBrowser, []string{base + "b" + key, base + "d", base + "c"},
			base, key, rueidis.BinaryString(encodeBrowser(b))).AsInt64()
		added = n == 1
		return err
	})
	if err != nil || !added {
		return nil, err
	}
	subnet := subnetName(b.Subnet)
	var over []string
	err = s.write(context.WithoutCancel(ctx), "counting a subnet's browsers", func(ctx context.Context) (err error) {
		over, err = s.exec(ctx, joinSubnet, []string{s.subnetKey(subnet)},
			key, number(b.LastSeen.UnixMilli()), number(due(b.Deadline)), number(limit)).AsStrSlice()
		return err
	})
	if err != nil || len(over) == 0 {
		return nil, err
	}
	keys := make([]sojourn.Key, len(over))
	for i, text := range over {
		keys[i] = keyOf(text)
	}
	err = s.write(context.WithoutCancel(ctx), "removing browsers", func(ctx context.Context) error {
		gone, err := s.removeBrowsers(ctx, keys)
		for _, g := range gone {
			evicted = append(evicted, g.key)
		}
		return err
	})
	return evicted, err
}

// Browser implements sojourn.Store.
func (s *Store) Browser(ctx context.Context, key sojourn.Key) (b sojourn.StoredBrowser, err error) {
	err = s.read(ctx, "reading a browser", func(ctx context.Context) error {
		record, err := s.get(ctx, partOfKey(key), "b"+string(key[:]))
		if err == nil {
			b, err = decodeBrowser(key, record)
		}
		return err
	})
	return b, err
}

// EndBrowsers implements sojourn.Store. The keys are removed one part of the
// store after another.
func (s *Store) EndBrowsers(ctx context.Context, keys ...sojourn.Key) error {
	return s.write(ctx, "removing browsers", func(ctx context.Context) error {
		gone, err := s.removeBrowsers(ctx, keys)
		if err != nil {
			return err
		}
		return s.leaveSubnets(ctx, gone)
	})
}

// goneBrowser is a browser that was removed.
type goneBrowser struct {
	key    sojourn.Key
	subnet string
}

// removeBrowsers removes browsers with their values, and returns those that
// there were.
func (s *Store) removeBrowsers(ctx context.Context, keys []sojourn.Key) (gone []goneBrowser, err error) {
	var runs []run
	at := map[int]int{} // the run of a part
	for _, key := range keys {
		p, k := partOfKey(key), string(key[:])
		i, ok := at[p]
		if !ok {
			i, at[p] = len(runs), len(runs)
			runs = append(runs, run{args: []string{s.bases[p]}})
		}
		runs[i].keys = append(runs[i].keys, s.bases[p]+"b"+k)
		runs[i].args = append(runs[i].args, k)
	}
	for _, result := range s.execAll(ctx, endBrowsers, runs) {
		answer, e := result.AsStrSlice()
		if e != nil {
			err = e
			continue
		}
		gone = append(gone, readGone(answer)...)
	}
	return gone, err
}

func readGone(answer []string) (gone []goneBrowser) {
	for pair := range slices.Chunk(answer, 2) {
		gone = append(gone, goneBrowser{keyOf(pair[0]), pair[1]})
	}
	return gone
}

// leaveSubnets takes browsers that were removed off their subnets' lists.
func (s *Store) leaveSubnets(ctx context.Context, gone []goneBrowser) error {
	batch := s.newBatch()
	for _, g := range gone {
		batch.add(partOfSubnet(g.subnet), s.subnetKey(g.subnet), string(g.key[:]))
	}
	return s.all(ctx, leaveSubnet, batch)
}

func (s *Store) subnetKey(subnet string) string {
	return s.bases[partOfSubnet(subnet)] + "n" + subnet
}

// batch collects runs of a script that does the same with each key: on one node
// few runs, on a cluster one for each part at least.
type batch struct {
	runs  []run
	at    map[int]int // the run of a part that is not full
	split bool
}

func (s *Store) newBatch() *batch { return &batch{at: map[int]int{}, split: s.cluster} }

// batchKeys is how many keys a run may have: an engine does nothing else
// meanwhile.
const batchKeys = 128

func (b *batch) add(part int, key string, args ...string) {
	if !b.split {
		part = 0
	}
	i, ok := b.at[part]
	if !ok || len(b.runs[i].keys) >= batchKeys {
		i = len(b.runs)
		b.at[part] = i
		b.runs = append(b.runs, run{})
	}
	b.runs[i].keys = append(b.runs[i].keys, key)
	b.runs[i].args = append(b.runs[i].args, args...)
}

// all executes a batch whose answers say nothing.
func (s *Store) all(ctx context.Context, sc *script, b *batch) (err error) {
	for _, result := range s.execAll(ctx, sc, b.runs) {
		if e := result.Error(); e != nil && !rueidis.IsRedisNil(e) {
			err = e
		}
	}
	return err
}
