package sojourn

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"sync"

	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/rpc"
)

// rpcTable holds the functions that clients can call.
type rpcTable struct {
	mu sync.RWMutex
	m  map[string]rpcEntry
}

type rpcEntry struct {
	serve http.HandlerFunc
	where string
}

// HandleRPC lets clients call a function: POST <Path>rpc/<name>, with In as
// the JSON body, answers Out as JSON. h is usually made by ConnectedRPC,
// OptConnectedRPC or ConnectedWrapper, whose guards and actions then apply; a
// function without a guard is open to everybody. An error is answered with its
// code: errors.Is works on the client for ErrNotConnected, ErrPermissionDenied
// and every protocol.Error; of other errors the client learns nothing. So too
// a body that is larger than Limits.RPCBody (protocol.CodeTooLarge), not JSON
// of an In (CodeMalformed), or sent as something else (CodeContentType,
// CodeMethod). HandleRPC panics, naming both places, if a function of that name
// is there already. It carries over Eliom's server functions (let%rpc).
func HandleRPC[In, Out any](s *Site, f rpc.Func[In, Out], h func(context.Context, In) (Out, error)) {
	_, file, line, _ := runtime.Caller(1)
	s.rpcs.add(f.Name(), fmt.Sprintf("%s:%d", file, line), func(w http.ResponseWriter, r *http.Request) {
		var in In
		err := s.readJSON(w, r, &in)
		if err == nil {
			var out Out
			if out, err = h(r.Context(), in); err == nil {
				err = writeJSON(w, out)
			}
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}

func (t *rpcTable) add(name, where string, serve http.HandlerFunc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if first, ok := t.m[name]; ok {
		panic(fmt.Sprintf("sojourn: the function %q is handled twice: at %s and at %s", name, first.where, where))
	}
	if t.m == nil {
		t.m = make(map[string]rpcEntry)
	}
	t.m[name] = rpcEntry{serve, where}
}

// serveRPC calls the function that the path names.
func (s *Site) serveRPC(w http.ResponseWriter, r *http.Request) {
	s.rpcs.mu.RLock()
	e, ok := s.rpcs.m[r.PathValue("name")]
	s.rpcs.mu.RUnlock()
	if !ok {
		s.fail(w, r, errNoEndpoint)
		return
	}
	e.serve(w, r)
}

// writeJSON answers with one JSON value.
func writeJSON(w http.ResponseWriter, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("sojourn: the answer cannot be JSON: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, err = w.Write(data)
	return err
}

var errNoEndpoint error = &protocol.Error{Code: protocol.CodeNotFound, Message: "sojourn: no such endpoint or function"}
