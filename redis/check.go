package redis

import "context"

func (s *Store) check(ctx context.Context, o *options) error { return nil }
