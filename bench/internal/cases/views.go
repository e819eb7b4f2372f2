package cases

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
)

// Views is what anonymous page views left behind.
type Views struct {
	Views   int
	Growth  int64 // bytes of heap, after collections
	Rows    int64 // in the store
	Cookies int64 // Set-Cookie headers sent
	Routine int   // goroutines
}

// AnonymousViews serves n page views of nobody, from ever new addresses and
// without a cookie, on a guarded page that reads a volatile and a persistent
// reference. It says what that left behind. s is closed.
func AnonymousViews(s *Sojourn, n int) (Views, error) {
	defer s.Close()
	v := Views{Views: n}
	w := newWriter()
	view := func(i int) error {
		w.reset()
		s.Handler.ServeHTTP(w, newRequest(i, pathPeek))
		if w.status != http.StatusOK {
			return fmt.Errorf("%s: an anonymous view answered %d", s.Name, w.status)
		}
		v.Cookies += int64(len(w.header["Set-Cookie"]))
		return nil
	}
	warm := min(n, 10_000) // pools and tables reach their size
	for i := range warm {
		if err := view(i); err != nil {
			return v, err
		}
	}
	v.Cookies = 0
	before, routines := heap(), runtime.NumGoroutine()
	for i := range n {
		if err := view(warm + i); err != nil {
			return v, err
		}
	}
	v.Growth = int64(heap()) - int64(before)
	v.Routine = runtime.NumGoroutine() - routines
	if s.Store != nil {
		counts, err := s.Store.Count(context.Background())
		if err != nil {
			return v, err
		}
		v.Rows = counts.Sessions + counts.Browsers + counts.Values
	}
	return v, nil
}
