package postgres

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/sojourn-go/sojourn"
)

// Publish implements sojourn.Store. The message may have 16 MiB.
func (s *Store) Publish(ctx context.Context, message []byte) error {
	if len(message) > mostMessage {
		return fmt.Errorf("postgres: publishing a message: it has %d bytes, more than %d", len(message), mostMessage)
	}
	return s.do(ctx, "publishing a message", writes, func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, s.sql.publish, s.channel, s.origin, messagePacket(message))
		return err
	})
}

const mostMessage = 16 << 20

// heartbeat is how often the connection that hears notifications is tried, at
// the least; with MaxStaleness it is a quarter of that if it is less.
const heartbeat = time.Second

// Changes implements sojourn.Store. It returns an error whenever it may have
// missed a change: call it again, and ask for every session anew.
func (s *Store) Changes(ctx context.Context, f func(sojourn.Change)) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	either, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	err := s.listen(either, f)
	s.heard.Store(0)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.closed.Load():
		err = errClosed
	case pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded):
		err = errNoAnswer
	default:
		err = unavailable(err)
	}
	return fmt.Errorf("postgres: hearing of changes: %w", err)
}

// Fresh implements sojourn.Store: MaxStaleness while it is certain that Changes
// is told of what other servers do, otherwise 0.
func (s *Store) Fresh() time.Duration {
	if s.staleness == 0 || int64(time.Since(s.began)) >= s.heard.Load() {
		return 0
	}
	return s.staleness
}

// listen tells f what is heard on a connection, until it fails.
func (s *Store) listen(ctx context.Context, f func(sojourn.Change)) error {
	every := heartbeat
	if s.staleness > 0 {
		every = min(every, s.staleness/4)
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// The server need not hear of it.
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.Close(ctx)
	}()
	hear := hearing{own: s.origin, tell: f}
	f(sojourn.Change{})
	for {
		// What was done before began is heard before the answer: the server
		// sends what is pending first.
		began := time.Now()
		if err := s.beat(ctx, c); err != nil {
			return err
		}
		if err := hear.received(ctx, c); err != nil {
			return err
		}
		if s.staleness > 0 {
			s.heard.Store(int64(began.Add(2 * every).Sub(s.began)))
		}
		if err := hear.until(ctx, c, began.Add(every)); err != nil {
			return err
		}
	}
}

func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, s.listenConfig())
	if err != nil {
		return nil, err
	}
	if _, err := c.Exec(ctx, `listen "`+s.channel+`"`); err != nil {
		c.Close(ctx)
		return nil, err
	}
	return c, nil
}

// beat is one round trip.
func (s *Store) beat(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return c.Ping(ctx)
}

// hearing puts the parts of packets together.
type hearing struct {
	own    string // origin: what this server did itself is not told
	tell   func(sojourn.Change)
	packet []byte // the first parts of one
	origin string
	part   int
	parts  int
}

var errGap = errors.New("a notification is missing or malformed")

// received tells what has arrived and is not told yet.
func (h *hearing) received(ctx context.Context, c *pgx.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel() // so that WaitForNotification does not wait
	for {
		n, err := c.WaitForNotification(ctx)
		if n == nil {
			if err != nil && c.IsClosed() {
				return err
			}
			return nil
		}
		if err := h.notified(n.Payload); err != nil {
			return err
		}
	}
}

// until tells what arrives until then.
func (h *hearing) until(ctx context.Context, c *pgx.Conn, then time.Time) error {
	waiting, cancel := context.WithDeadline(ctx, then)
	defer cancel()
	for {
		n, err := c.WaitForNotification(waiting)
		switch {
		case n != nil:
			if err := h.notified(n.Payload); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case waiting.Err() != nil && !c.IsClosed():
			return nil
		case err != nil:
			return err
		}
		if waiting.Err() != nil && ctx.Err() == nil {
			return nil // also when notifications come without end
		}
	}
}

// notified takes in a payload: origin, number of the part, number of parts and
// the part in base64, with a space in between.
func (h *hearing) notified(payload string) error {
	origin, rest, _ := strings.Cut(payload, " ")
	if origin == h.own {
		return nil
	}
	first, rest, _ := strings.Cut(rest, " ")
	second, text, _ := strings.Cut(rest, " ")
	part, err1 := strconv.Atoi(first)
	parts, err2 := strconv.Atoi(second)
	data, err3 := base64.StdEncoding.DecodeString(text) // passes over line ends
	switch {
	case err1 != nil || err2 != nil || err3 != nil || part < 1 || part > parts:
		return errGap
	case part == 1:
		h.packet, h.origin, h.part, h.parts = data, origin, 1, parts
	case origin != h.origin || part != h.part+1 || parts != h.parts:
		return errGap
	default:
		h.packet, h.part = append(h.packet, data...), part
	}
	if part < parts {
		return nil
	}
	changes, err := unpack(h.packet)
	h.packet, h.origin, h.part, h.parts = nil, "", 0, 0
	if err != nil {
		return errGap
	}
	for _, c := range changes {
		h.tell(c)
	}
	return nil
}
