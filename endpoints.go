package sojourn

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/sojourn-go/sojourn/clientjs"
	"github.com/sojourn-go/sojourn/protocol"
)

// newEndpoints serves what is under Config.Path: functions that the client
// calls, as guarded as any other.
func (s *Site) newEndpoints() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(s.path+"disconnect", endpoint(s, func(r *http.Request, _ struct{}) error {
		return s.Disconnect(r.Context())
	}))
	mux.Handle(s.path+"disconnect-all", endpoint(s, func(r *http.Request, in struct {
		KeepUserIndependent bool `json:"keepUserIndependent"`
	},
	) error {
		if in.KeepUserIndependent {
			return s.DisconnectAll(r.Context(), KeepUserIndependent())
		}
		return s.DisconnectAll(r.Context())
	}))
	mux.HandleFunc(s.path+"rpc/{name}", s.serveRPC)
	mux.HandleFunc(s.path+protocol.LivePath, s.serveLive)
	mux.HandleFunc(s.path+"client.js", serveScript("client.js", "text/javascript; charset=utf-8", clientjs.Script))
	mux.HandleFunc(s.path+"client.d.ts", serveScript("client.d.ts", "text/plain; charset=utf-8", clientjs.Types))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, errNoEndpoint) })
	return mux
}

// endpoint is a function that takes JSON and answers nothing: 204.
func endpoint[In any](s *Site, f func(r *http.Request, in In) error) http.Handler {
	return s.OptConnected(func(w http.ResponseWriter, r *http.Request, _ UserID) error {
		var in In
		if err := s.readJSON(w, r, &in); err != nil {
			return err
		}
		if err := f(r, in); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// readJSON reads the body of a POST request, which is one JSON value.
func (s *Site) readJSON(w http.ResponseWriter, r *http.Request, in any) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &protocol.Error{Code: protocol.CodeMethod, Message: "sojourn: call this with POST"}
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &protocol.Error{Code: protocol.CodeContentType, Message: "sojourn: the body has to be application/json"}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, int64(s.limits.RPCBody)))
	err := d.Decode(in)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		err = errors.Join(errors.New("more than one value"), err)
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &protocol.Error{Code: protocol.CodeTooLarge, Message: "sojourn: the body is too large"}
	}
	return &protocol.Error{Code: protocol.CodeMalformed, Message: "sojourn: the body is not the JSON that was expected"}
}
