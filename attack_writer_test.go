package sojourn_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
)

// http.TimeoutHandler answers beside a handler that goes on: what that still
// does changes no header that is being sent. (The race detector sees to it.)
func TestHandlerThatIsTimedOutLeavesTheHeaderAlone(t *testing.T) {
	t.Parallel()
	site, err := sojourn.New(sojourn.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = site.Close() })
	done := make(chan error, 1)
	slow := site.OptConnected(func(_ http.ResponseWriter, r *http.Request, _ sojourn.UserID) error {
		ctx := context.WithoutCancel(r.Context())
		var err error
		for n := 0; n < 10_000 && err == nil; n++ {
			err = site.Connect(ctx, "1")
		}
		done <- err
		return err
	})
	server := httptest.NewServer(site.Middleware(http.TimeoutHandler(slow, time.Millisecond, "too late")))
	defer server.Close()
	for range 20 {
		resp, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if err := <-done; err != nil && !errors.Is(err, sojourn.ErrHeadersSent) {
			t.Fatal(err)
		}
	}
}

// A response that nobody wrote to has been sent when the handler returned.
func TestConnectAfterTheHandlerReturnedIsTooLate(t *testing.T) {
	t.Parallel()
	a := newAttacked(t, sojourn.Config{})
	b := a.browser()
	var late context.Context
	a.bare(b, func(ctx context.Context) { late = ctx })
	if err := a.Connect(context.WithoutCancel(late), "1"); !errors.Is(err, sojourn.ErrHeadersSent) {
		t.Errorf("Connect: %v, want ErrHeadersSent", err)
	}
	if list, err := a.Sessions(t.Context(), "1"); err != nil || len(list) != 0 {
		t.Errorf("%d sessions, error %v", len(list), err)
	}
}

// What copies its own header over ours, as http.TimeoutHandler does, does not
// take our cookies with it.
func TestCookiesSurviveAHeaderThatIsReplaced(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	b := a.browser()
	a.handle(b, http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "own", Value: "x"})
		a.must(a.site.Connect(r.Context(), "anna"))
	}), time.Minute, ""))
	if b.Cookie("own") == nil {
		t.Error("the handler's own cookie is lost")
	}
	a.is(b, "anna")
}

// Who rewrites the cookies of a response gets what was rewritten, and only that.
func TestCookiesThatAHandlerRewritesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	a := newApp(t, memoryKind)
	w := httptest.NewRecorder()
	a.site.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.must(a.site.Connect(r.Context(), "anna"))
		lines := w.Header()["Set-Cookie"]
		for i := range lines {
			lines[i] += "; Partitioned"
		}
		w.WriteHeader(http.StatusOK)
	})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	for name, n := range map[string]int{sessionCookie: 1, browserCookie: 1} {
		for _, line := range w.Header()["Set-Cookie"] {
			if strings.HasPrefix(line, name+"=") && strings.HasSuffix(line, "; Partitioned") {
				n--
			}
		}
		if n != 0 {
			t.Errorf("%s: the response's cookies are %q", name, w.Header()["Set-Cookie"])
		}
	}
	if n := len(w.Header()["Set-Cookie"]); n != 2 {
		t.Errorf("the response has %d cookies, want 2", n)
	}
}

// An error is answered whole, whatever header the handler had set for what it
// was about to answer.
func TestErrorIsAnsweredWholeWhateverTheHandlerAnnounced(t *testing.T) {
	t.Parallel()
	for _, accept := range []string{"text/html", "application/json"} {
		a := newApp(t, memoryKind)
		r := httptest.NewRequest(http.MethodGet, a.put(a.site.OptConnected(func(w http.ResponseWriter, _ *http.Request, _ sojourn.UserID) error {
			w.Header().Set("Content-Length", "3")
			return sojourn.ErrPermissionDenied
		})), nil)
		r.Header.Set("Accept", accept)
		resp := a.browser().Do(r)
		status(t, resp, http.StatusForbidden)
		if len(resp.Text()) < 5 {
			t.Errorf("%s: the body is %q", accept, resp.Text())
		}
	}
}
