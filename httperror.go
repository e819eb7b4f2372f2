package sojourn

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/sojourn-go/sojourn/protocol"
)

// fail answers a request with an error: through Config.ErrorHandler, but a
// client of the endpoints as the wire protocol says.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, err error) {
	if s.cfg.ErrorHandler == nil || strings.HasPrefix(r.URL.Path, s.path) {
		s.defaultErrorHandler(w, r, err)
		return
	}
	s.cfg.ErrorHandler(w, r, err)
}

// defaultErrorHandler answers by the error's code: the inner message goes to
// the log, never to the client.
func (s *Site) defaultErrorHandler(w http.ResponseWriter, r *http.Request, err error) {
	e, status := wireError(err)
	q, ok := r.Context().Value(s).(*request)
	late := ok && q.w.started() // too late to say so
	if status >= 500 || late {
		s.log.ErrorContext(r.Context(), "sojourn: request failed", "error", err, "method", r.Method, "path", r.URL.Path)
	}
	if late {
		return
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if strings.HasPrefix(r.URL.Path, s.path) || acceptsJSON(r) {
		writeError(w, status, e)
		return
	}
	http.Error(w, http.StatusText(status), status)
}

// acceptsJSON reports whether the client asked for JSON by name.
func acceptsJSON(r *http.Request) bool {
	for _, line := range r.Header["Accept"] {
		for part := range strings.SplitSeq(line, ",") {
			kind, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(kind), "application/json") {
				return true
			}
		}
	}
	return false
}

// wireError is what a client may know of an error, and its status.
func wireError(err error) (*protocol.Error, int) {
	var e *protocol.Error
	switch {
	case errors.Is(err, ErrNotConnected): // also when permission is denied for it
		errors.As(ErrNotConnected, &e)
	case errors.Is(err, ErrPermissionDenied):
		errors.As(ErrPermissionDenied, &e)
	case errors.Is(err, ErrSessionEnded):
		e = &protocol.Error{Code: protocol.CodeSessionEnded, Message: ErrSessionEnded.Error()}
	case errors.Is(err, ErrUnavailable):
		e = &protocol.Error{Code: protocol.CodeUnavailable, Message: ErrUnavailable.Error()}
	case errors.As(err, &e):
	default:
		e = &protocol.Error{Code: protocol.CodeInternal, Message: "sojourn: internal error"}
	}
	return e, protocol.Status(e.Code)
}

// writeError sends an error as JSON.
func writeError(w http.ResponseWriter, status int, e *protocol.Error) {
	h := w.Header()
	h.Del("Content-Length") // of what the handler was about to answer
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": e.Code, "message": e.Message}})
}
