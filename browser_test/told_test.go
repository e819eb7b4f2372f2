package browsertest

import (
	"slices"
	"testing"
)

func TestTabIsToldOfASignOutInAnother(t *testing.T) {
	t.Parallel()
	s, b := newServer(t), newBrowser(t)
	one := b.signIn(s, "alice")
	two := b.open(s.url + "/")
	two.isOf("alice")

	loads := noted[string](one, "loads")
	one.do(`await sojourn.disconnect()`)
	if shown := two.shownMessage(); shown.Text != "Connection has changed" || shown.User != "alice" {
		t.Errorf("%q is shown while the page is %q's, want alice's still", shown.Text, shown.User)
	}
	two.isOf("")
	if told := noted[string](two, "live"); !slices.Equal(told, []string{"welcome alice", "changed disconnect", "welcome "}) {
		t.Errorf("the other tab heard %q", told)
	}
	if got := noted[string](two, "loads"); !slices.Equal(got, []string{"navigate", "reload"}) {
		t.Errorf("the other tab loaded its page so: %q", got)
	}

	one.until(`sojourn.user === "" && window.live === "welcome "`)
	if got := noted[string](one, "loads"); !slices.Equal(got, loads) {
		t.Errorf("the tab that signed out restarted: %q", got)
	}
	if err := value[string](one, `sojourn.call("whoami").catch((e) => e.code + " " + e.status)`); err != "not_connected 401" {
		t.Errorf("a function called after the sign-out throws %q", err)
	}
}

func TestEveryBrowserIsToldOfASignOutEverywhere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	here, there := newBrowser(t), newBrowser(t)
	one := here.signIn(s, "alice")
	two := there.signIn(s, "alice")
	other := newBrowser(t).signIn(s, "bob")

	one.do(`setTimeout(() => sojourn.disconnectAll(), 0)`)
	one.isOf("")
	if told := noted[string](one, "live"); slices.ContainsFunc(told, func(s string) bool { return s == "changed disconnect-all" }) {
		t.Errorf("the tab that signed out heard %q: it restarts by the answer to its call", told)
	}
	two.shownMessage()
	two.isOf("")
	if told := noted[string](two, "live"); !slices.Contains(told, "changed disconnect-all") {
		t.Errorf("the other browser heard %q", told)
	}
	if who := value[string](other, `sojourn.call("whoami")`); who != "bob" {
		t.Errorf("another user is now %q", who)
	}
	if told := noted[string](other, "live"); told[len(told)-1] != "welcome bob" {
		t.Errorf("another user heard %q", told)
	}
}

func TestTabIsToldOfASignInInAnother(t *testing.T) {
	t.Parallel()
	s, b := newServer(t), newBrowser(t)
	one, two := b.open(s.url+"/"), b.open(s.url+"/")
	one.isOf("")
	two.isOf("")

	one.click("login")
	one.isOf("alice")
	two.shownMessage()
	two.isOf("alice")
	if told := noted[string](two, "live"); !slices.Equal(told, []string{"welcome ", "changed connected", "welcome alice"}) {
		t.Errorf("the other tab heard %q", told)
	}
	if got := noted[string](one, "loads"); !slices.Equal(got, []string{"navigate", "navigate"}) {
		t.Errorf("the tab that signed in loaded pages so: %q", got)
	}
}

func TestTabThatSignsInByACallIsNotRestarted(t *testing.T) {
	t.Parallel()
	s, b := newServer(t), newBrowser(t)
	one := b.open(s.url + "/")
	one.isOf("")
	one.do(`await sojourn.fetch("/login", { method: "POST", body: new URLSearchParams({ user: "alice" }) })`)
	one.until(`sojourn.user === "alice" && window.live === "welcome alice"`)
	if who := value[string](one, `sojourn.call("whoami")`); who != "alice" {
		t.Errorf("the functions take the tab for %q's", who)
	}
	if told := noted[string](one, "live"); !slices.Equal(told, []string{"welcome ", "welcome alice"}) {
		t.Errorf("the tab heard %q", told)
	}
}

// The tab is told, but restarting would call off the navigation that it is in.
func TestNavigationThatSignsInIsNotCalledOff(t *testing.T) {
	t.Parallel()
	s, b := newServer(t), newBrowser(t)
	one, two := b.open(s.url+"/"), b.open(s.url+"/")
	one.isOf("")
	two.isOf("")
	two.do(`sojourn.close()`)
	one.click("login-slowly")
	two.until(`localStorage.told !== undefined`)
	if told := value[string](two, `localStorage.told`); told != "and is silent" {
		t.Errorf("a page that is being left is told %s", told)
	}
	s.closing()
	one.isOf("alice")
	if path := value[string](one, "location.pathname"); path != "/other" {
		t.Errorf("the tab is at %s", path)
	}
	if got := noted[string](one, "loads"); !slices.Equal(got, []string{"navigate", "navigate"}) {
		t.Errorf("the tab loaded pages so: %q", got)
	}
}

func TestRevokedSessionsTabsAreTold(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	one := newBrowser(t).signIn(s, "alice")
	two := newBrowser(t).signIn(s, "alice")
	one.until(`sojourn.call("sessions").then((list) => list.length === 2 && list.every((s) => s.Tabs === 1))`)
	one.do(`
		const list = await sojourn.call("sessions");
		await sojourn.call("sessions.end", list.find((s) => !s.Current).ID);`)
	two.shownMessage()
	two.isOf("")
	if told := noted[string](two, "live"); !slices.Contains(told, "changed revoked") {
		t.Errorf("the revoked session's tab heard %q", told)
	}
	if who := value[string](one, `sojourn.call("whoami")`); who != "alice" {
		t.Errorf("the session that revoked is now %q's", who)
	}
	if n := value[int](one, `sojourn.call("sessions").then((list) => list.length)`); n != 1 {
		t.Errorf("alice has %d sessions, want 1", n)
	}
}

func TestPageOfTheHistoryIsNotTheOldUsers(t *testing.T) {
	t.Parallel()
	s, b := newServer(t), newBrowser(t)
	one := b.signIn(s, "alice")
	two := b.open(s.url + "/")
	two.isOf("alice")
	one.navigate(s.url + "/icon.svg")
	two.do(`await sojourn.disconnect()`)
	one.do(`setTimeout(() => history.back(), 0)`)
	one.isOf("")
}

func TestApplicationDecidesWhatAChangeDoes(t *testing.T) {
	t.Parallel()
	s, b := newServer(t), newBrowser(t)
	one := b.signIn(s, "alice")
	two := b.open(s.url + "/")
	two.isOf("alice")
	two.do(`
		sojourn.onConnectionChanged((reason) => { window.reason = reason; });
		sojourn.onRestart(() => { location.href = "/other"; });`)
	one.do(`await sojourn.disconnect()`)
	two.until(`window.reason === "disconnect"`)
	if value[bool](two, message+" !== null") {
		t.Error("the message is shown all the same")
	}
	two.do(`setTimeout(() => sojourn.restart(), 0)`)
	two.until(`location.pathname === "/other"`)
	two.isOf("")
}
