package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// crossing is a request as it reached the server.
type crossing struct {
	path, origin string
	cookie       bool
	status       int
}

// crossings notes the requests that come from pages of other origins.
type crossings struct {
	mu   sync.Mutex
	list []crossing
}

func (c *crossings) note(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if origin == "" || strings.HasSuffix(origin, r.Host) {
			next.ServeHTTP(w, r)
			return
		}
		answer := &status{ResponseWriter: w}
		next.ServeHTTP(answer, r)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.list = append(c.list, crossing{r.URL.Path, origin, strings.Contains(r.Header.Get("Cookie"), "__Host-sojourn="), answer.code})
	})
}

func (c *crossings) of(path, origin string) []crossing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.list), func(x crossing) bool { return x.path != path || x.origin != origin })
}

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// A page of another port is of the same site: its requests have the cookies,
// and only the Origin tells. A page of another host is of another site.
func TestOtherOriginsAreRefusedInTheBrowser(t *testing.T) {
	t.Parallel()
	s, b := newServer(t), newBrowser(t)
	var seen crossings
	s.handler = seen.note(s.handler)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<form method="post" action="%s/logout"><button id="steal">Win a prize</button></form>`, s.url)
	}))
	t.Cleanup(evil.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(evil.URL, "http://"), ":")

	victim := b.signIn(s, "alice")
	connect := fmt.Sprintf(`new Promise((done) => {
		const ws = new WebSocket("ws://localhost:%s/_sojourn/live", "sojourn.v1");
		ws.onopen = () => done("open");
		ws.onclose = ({ code }) => done("closed " + code);
	})`, s.port)
	if got := value[string](victim, connect); got != "open" {
		t.Fatalf("the site's own page has its connection %s", got)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "evil.test"} {
		origin := "http://" + host + ":" + port
		other := b.open(origin + "/")
		if got := value[string](other, connect); got != "closed 1006" {
			t.Errorf("a live connection from %s: %s", origin, got)
		}
		for _, path := range []string{"/_sojourn/disconnect", "/_sojourn/disconnect-all", "/_sojourn/rpc/whoami", "/logout"} {
			other.do(fmt.Sprintf(`await fetch(%q, { method: "POST", mode: "no-cors", credentials: "include", body: "{}" })`, s.url+path))
			readable := fmt.Sprintf(`fetch(%q, { method: "POST", credentials: "include", headers: { "Content-Type": "application/json" }, body: "{}" }).then(() => true, () => false)`, s.url+path)
			if value[bool](other, readable) {
				t.Errorf("a page of %s can read the answer of %s", origin, path)
			}
			got := seen.of(path, origin)
			if !slices.ContainsFunc(got, func(x crossing) bool { return x.status == http.StatusForbidden }) {
				t.Errorf("%s from %s was answered %v, want 403", path, origin, got)
			}
			for _, x := range got {
				if x.status < 400 {
					t.Errorf("%s from %s was answered %d", path, origin, x.status)
				}
			}
			if host == "localhost" && !slices.ContainsFunc(got, func(x crossing) bool { return x.cookie }) {
				t.Errorf("%s from %s came without the session's cookie: the test tests nothing", path, origin)
			}
		}
		live := seen.of("/_sojourn/live", origin)
		if len(live) != 1 || live[0].status != http.StatusForbidden {
			t.Errorf("the live connection from %s was answered %v, want 403", origin, live)
		}
		if host == "localhost" && !live[0].cookie {
			t.Error("the live connection from another port came without the session's cookie: the test tests nothing")
		}
		// A form, which needs no script at all.
		other.click("steal")
		other.until(fmt.Sprintf(`location.origin === %q`, s.url))
		if got := seen.of("/logout", origin); got[len(got)-1].status != http.StatusForbidden {
			t.Errorf("a form of %s was answered %v, want 403", origin, got)
		}
	}
	if who := value[string](victim, `sojourn.call("whoami")`); who != "alice" {
		t.Errorf("after all that the page is %q's", who)
	}
	if told := noted[string](victim, "live"); told[len(told)-1] != "welcome alice" {
		t.Errorf("the page heard %q", told)
	}
}
