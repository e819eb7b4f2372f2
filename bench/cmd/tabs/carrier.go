//go:build unix

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// A carrier is one TCP connection that carries many lanes, for a machine that
// lets a process open fewer files than there are tabs. Nothing holds a side
// back that sends more than the other reads: tabs say little.
//
// On the wire it is frames: what it is, a byte; the lane, four bytes; the
// length of what follows, four bytes; big endian.
type carrier struct {
	conn net.Conn

	writing sync.Mutex
	frame   []byte // the last one

	mu    sync.Mutex
	lanes map[uint32]*lane
	err   error // it carries nothing any more
}

// Frames.
const (
	laneOpen byte = iota + 1
	laneData
	laneClose

	frameHead = 1 + 4 + 4
	frameMax  = 1 << 20
)

func newCarrier(conn net.Conn) *carrier {
	return &carrier{conn: conn, lanes: map[uint32]*lane{}}
}

// open opens a lane; no id may be used twice.
func (c *carrier) open(id uint32) (*lane, error) {
	l, err := c.add(id)
	if err != nil {
		return nil, err
	}
	return l, c.send(laneOpen, id, nil)
}

// carry reads until the connection ends, and gives accept what the other side
// opens; a nil accept lets it open none.
func (c *carrier) carry(accept func(*lane) error) error {
	err := c.read(accept)
	c.conn.Close()
	c.mu.Lock()
	c.err = err
	lanes := c.lanes
	c.lanes = nil
	c.mu.Unlock()
	for _, l := range lanes {
		l.finish(err)
	}
	return err
}

func (c *carrier) read(accept func(*lane) error) error {
	r := bufio.NewReaderSize(c.conn, 64<<10)
	var head [frameHead]byte
	var body []byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return noEOF(err)
		}
		id, n := binary.BigEndian.Uint32(head[1:]), binary.BigEndian.Uint32(head[5:])
		if n > frameMax {
			return fmt.Errorf("a frame of %d bytes", n)
		}
		if uint32(cap(body)) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if _, err := io.ReadFull(r, body); err != nil {
			return noEOF(err)
		}
		switch head[0] {
		case laneOpen:
			if accept == nil {
				return fmt.Errorf("the other side opened lane %d", id)
			}
			l, err := c.add(id)
			if err == nil {
				err = accept(l)
			}
			if err != nil {
				return err
			}
		case laneData: // no lane: closed here, and the other side did not know
			if l := c.lane(id); l != nil {
				l.take(body)
			}
		case laneClose:
			if l := c.forget(id); l != nil {
				l.finish(io.EOF)
			}
		default:
			return fmt.Errorf("a frame of kind %d", head[0])
		}
	}
}

// noEOF is the error of a lane whose carrier ended: nobody closed the lane.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// send writes frames, more than one if they are long.
func (c *carrier) send(kind byte, id uint32, p []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		part := p[:min(len(p), frameMax)]
		p = p[len(part):]
		c.frame = append(c.frame[:0], kind)
		c.frame = binary.BigEndian.AppendUint32(c.frame, id)
		c.frame = binary.BigEndian.AppendUint32(c.frame, uint32(len(part)))
		c.frame = append(c.frame, part...)
		if _, err := c.conn.Write(c.frame); err != nil || len(p) == 0 {
			return err
		}
	}
}

func (c *carrier) add(id uint32) (*lane, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if c.lanes[id] != nil {
		return nil, fmt.Errorf("lane %d is opened twice", id)
	}
	l := newLane(c, id)
	c.lanes[id] = l
	return l, nil
}

func (c *carrier) lane(id uint32) *lane {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lanes[id]
}

// forget answers the lane that it was, nil if none.
func (c *carrier) forget(id uint32) *lane {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lanes[id]
	delete(c.lanes, id)
	return l
}
