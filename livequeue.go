package sojourn

import (
	"context"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/sojourn-go/sojourn/protocol"
)

// liveQueue is what is to be written to one connection. A goroutine writes it,
// as long as there is anything.
type liveQueue struct {
	ws      *websocket.Conn
	mu      sync.Mutex
	waiting [][]byte
	bytes   int
	writing bool
	code    websocket.StatusCode // to close with when all is written; 0: stay open
}

const (
	liveQueueBytes  = 256 << 10 // may wait for a slow client
	liveWriteWithin = 10 * time.Second
)

// push queues a message. A client that does not read what it is sent is cut off.
func (q *liveQueue) push(message []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.code != 0 {
		return
	}
	q.bytes += len(message)
	if q.bytes > liveQueueBytes && len(q.waiting) > 0 {
		q.code, q.waiting = protocol.CloseRestart, nil
		go q.ws.CloseNow()
		return
	}
	q.waiting = append(q.waiting, message)
	q.start()
}

// close closes the connection after what is queued.
func (q *liveQueue) close(code websocket.StatusCode) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.code == 0 {
		q.code = code
		q.start()
	}
}

func (q *liveQueue) start() {
	if !q.writing {
		q.writing = true
		go q.write()
	}
}

func (q *liveQueue) write() {
	for {
		q.mu.Lock()
		waiting, code := q.waiting, q.code
		q.waiting, q.bytes = nil, 0
		if len(waiting) == 0 {
			q.writing = false
			q.mu.Unlock()
			if code != 0 {
				q.ws.Close(code, "")
			}
			return
		}
		q.mu.Unlock()
		for _, message := range waiting {
			ctx, cancel := context.WithTimeout(context.Background(), liveWriteWithin)
			err := q.ws.Write(ctx, websocket.MessageText, message)
			cancel()
			if err != nil {
				q.ws.CloseNow()
				q.mu.Lock()
				q.code, q.waiting, q.writing = protocol.CloseRestart, nil, false
				q.mu.Unlock()
				return
			}
		}
	}
}
