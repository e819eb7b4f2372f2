package redis

import (
	"context"
	"time"

	"github.com/sojourn-go/sojourn"
)

const originLength = 8

func (s *Store) Publish(ctx context.Context, message []byte) error {
	return s.ready(ctx)
}

func (s *Store) Changes(ctx context.Context, f func(sojourn.Change)) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *Store) Fresh() time.Duration { return 0 }
