package cases

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// A loop that does not look at what happened measures error pages.
func TestPageThatDoesNotSeeItsUserIsAnError(t *testing.T) {
	t.Parallel()
	memory, err := OpenSojourn("memory", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*App{
		&memory.App, &OpenSCS(false).App, &OpenGorilla().App, &OpenSessionup().App,
	} {
		t.Run(a.Name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() { a.Close() })
			callers, err := a.populate(Population{2, 1})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.page("", pathGuard, callers, nil).Run(&Once{4}); err != nil {
				t.Errorf("with its cookie: %v", err)
			}
			callers[1].cookie = "" // the second request of every two
			if err := a.page("", pathGuard, callers, nil).Run(&Once{4}); err == nil {
				t.Error("without its cookie the page was counted as served to its user")
			}
			callers[1].cookie = callers[0].cookie
			if err := a.page("", pathGuard, callers, nil).Run(&Once{4}); err == nil {
				t.Error("with another user's cookie the page was counted as served to its user")
			}
		})
	}
}

func TestTabThatIsNotRunningIsAnError(t *testing.T) {
	t.Parallel()
	s, err := OpenSojourn("memory", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	callers, err := s.populate(Population{1, 1})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.guardInTabs("", pathGuard, callers)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(&Once{3}); err != nil {
		t.Errorf("a running tab: %v", err)
	}
	if err := s.endUser(t.Context(), callers[0].user); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(&Once{3}); err == nil {
		t.Error("a tab whose session ended was counted as running")
	}
}

func TestEndThatEndsNothingIsAnError(t *testing.T) {
	t.Parallel()
	s := OpenSCS(false)
	if _, err := s.populate(Population{2, perUser}); err != nil {
		t.Fatal(err)
	}
	if err := ending(&s.App, s, 2).Run(&Once{3}); err != nil {
		t.Errorf("ending all sessions: %v", err)
	}
	if err := again(t.Context(), &s.App, s, 0); err == nil {
		t.Error("a user whose sessions are all there was counted as ended")
	}
}

func TestServedPageOfAnotherIsAnError(t *testing.T) {
	t.Parallel()
	served, set, err := Loopback(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	for _, s := range served {
		t.Cleanup(func() { s.Close() })
		if err := s.Case().Run(&Once{3}); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		s.body = []byte("connected: somebody-else\n")
		if err := s.Case().Run(&Once{3}); err == nil {
			t.Errorf("%s: the page of another user was counted", s.Name)
		}
	}
}

func TestFunctionThatAnswersSomethingElseIsAnError(t *testing.T) {
	t.Parallel()
	served, set, err := RPC()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	if len(served) != 2 || len(set.Cases) != 2 {
		t.Fatalf("%d ways served, %d to measure, want 2", len(served), len(set.Cases))
	}
	for i, s := range served {
		t.Cleanup(func() { s.Close() })
		if err := set.Cases[i].Run(&Once{3}); err != nil || set.Cases[i].Name != s.Name {
			t.Errorf("%s: %v", set.Cases[i].Name, err)
		}
		request := s.request
		s.request = bytes.Replace(request, []byte(`"room":"general"`), []byte(`"room":"another"`), 1)
		if err := s.Case().Run(&Once{3}); err == nil {
			t.Errorf("%s: an answer about another room was counted", s.Name)
		}
		s.request = bytes.Replace(request, []byte("\r\nCookie: "), []byte("\r\nBiscuit: "), 1)
		if err := s.Case().Run(&Once{3}); err == nil || !strings.Contains(err.Error(), "401") {
			t.Errorf("%s: the call of nobody: %v", s.Name, err)
		}
		s.request = bytes.Replace(request, []byte("\r\nSojourn-Tab: "), []byte("\r\nSojourn-Cat: "), 1)
		if err := s.knowsTab(); err == nil {
			t.Errorf("%s: a call that starts a tab was counted as a running tab's", s.Name)
		}
		s.request = request
		if err := s.knowsTab(); err != nil {
			t.Error(err)
		}
	}
}

func TestUserAgentsAreManyAndReal(t *testing.T) {
	t.Parallel()
	different := map[string]bool{}
	for i := range 10_000 {
		different[UserAgent(i)] = true
	}
	if n := len(different); n < 100 || n > 1000 {
		t.Errorf("%d different user agents among 10,000 browsers", n)
	}
}

func TestCookiesOfAResponse(t *testing.T) {
	t.Parallel()
	w := newWriter()
	http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Path: "/"})
	http.SetCookie(w, &http.Cookie{Name: "b", Value: "2", HttpOnly: true})
	if got := w.cookies(); got != "a=1; b=2" {
		t.Errorf("the browser would send %q", got)
	}
}
