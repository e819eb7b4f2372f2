package demo

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

func TestReturnPathStaysOnThisSite(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/sessions":                      "/sessions",
		"/counters?x=1&y=%2F":            "/counters?x=1&y=%2F",
		"/a%2Fb":                         "/a%2Fb",
		"/timeline#there":                "/timeline",
		"":                               "/",
		"sessions":                       "/",
		"https://evil.example/":          "/",
		"//evil.example/":                "/",
		"///evil.example/":               "/",
		`/\evil.example/`:                "/",
		`\/evil.example/`:                "/",
		"/\t/evil.example/":              "/",
		"/\n/evil.example/":              "/",
		" //evil.example/":               "/",
		"javascript:alert(1)":            "/",
		"data:text/html,x":               "/",
		"/%zz":                           "/",
		"/sign-in?next=/sign-in":         "/",
		"/sign-out":                      "/",
		"/sign-out/everywhere":           "/",
		"http:/evil.example":             "/",
		"/\x00":                          "/",
		"/" + string(make([]byte, 2000)): "/",
	} {
		if got := returnPath(next); got != want {
			t.Errorf("returnPath(%q) is %q, want %q", next, got, want)
		}
	}
}

func TestDevicesHaveNamesForPeople(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                  "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36":                         "Chrome on Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0":           "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36":                   "Chrome on Android",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                   "Safari on macOS",
		"curl/8.14.1": "curl",
		"":            "Unknown device",
		"<b>":         "Unknown device",
	} {
		if got := DeviceName(agent); got != want {
			t.Errorf("DeviceName(%q) is %q, want %q", agent, got, want)
		}
	}
}

func TestGuessingIsSlowedDownByNetwork(t *testing.T) {
	t.Parallel()
	a := newAttempts()
	now := time.Unix(1_000_000, 0)
	for i := range a.burst {
		if _, ok := a.try("192.0.2.1:1000", now); !ok {
			t.Fatalf("try %d was refused", i)
		}
	}
	if wait, ok := a.try("192.0.2.1:2000", now); ok || wait != a.pause {
		t.Errorf("after a burst: %v, %t, want to wait %v", wait, ok, a.pause)
	}
	if _, ok := a.try("192.0.2.2:1000", now); !ok {
		t.Error("another address was refused as well")
	}
	now = now.Add(a.pause)
	if _, ok := a.try("192.0.2.1:1000", now); !ok {
		t.Error("after a pause it was refused")
	}
	if wait, ok := a.try("192.0.2.1:1000", now); ok || wait != a.pause {
		t.Errorf("a pause gives more than one try back: %v, %t", wait, ok)
	}
	a.giveBack("192.0.2.1:1000")
	if _, ok := a.try("192.0.2.1:1000", now); !ok {
		t.Error("a try that was given back was refused")
	}
	// Whoever has an IPv6 network has many addresses, and counts once.
	for i := range a.burst {
		a.try(fmt.Sprintf("[2001:db8::%x]:1", i), now)
	}
	if _, ok := a.try("[2001:db8::ffff]:1", now); ok {
		t.Error("another address of the same /64 was let through")
	}
	// As many as 192.0.2.1: an IPv4 address written as IPv6 is the same one.
	if _, ok := a.try("[::ffff:192.0.2.1]:1", now); ok {
		t.Error("the address written as IPv6 was let through")
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	a := newAttempts()
	a.most = 100
	now := time.Unix(1_000_000, 0)
	for i := range 1000 {
		a.try(fmt.Sprintf("10.0.%d.%d:1", i/256, i%256), now)
		if len(a.spent) > a.most {
			t.Fatalf("%d networks are remembered, want at most %d", len(a.spent), a.most)
		}
	}
}

func TestTimelineIsBounded(t *testing.T) {
	t.Parallel()
	var events []event
	for i := range 30 {
		before := events
		events = pushed(events, event{Request: visit{ID: strconv.Itoa(i)}}, 10)
		if len(before) > 0 && before[0].Request.ID != strconv.Itoa(i-1) {
			t.Fatal("an earlier slice was changed: whoever reads it races")
		}
	}
	if len(events) != 10 || events[0].Request.ID != "29" || events[9].Request.ID != "20" {
		t.Errorf("kept %d events, from %s to %s", len(events), events[0].Request.ID, events[len(events)-1].Request.ID)
	}
}

func TestSpansAreForPeople(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	for ago, want := range map[time.Duration]string{
		-time.Second:     "just now",
		9 * time.Second:  "just now",
		59 * time.Second: "59 seconds ago",
		60 * time.Second: "1 minute ago",
		59 * time.Minute: "59 minutes ago",
		25 * time.Hour:   "1 day ago",
		72 * time.Hour:   "3 days ago",
	} {
		if got := since(now.Add(-ago), now); got != want {
			t.Errorf("%v ago is %q, want %q", ago, got, want)
		}
	}
	if got := until(now.Add(90*24*time.Hour), now); got != "in 90 days" {
		t.Errorf("90 days ahead is %q", got)
	}
	if got := until(time.Time{}, now); got != "never" {
		t.Errorf("no time is %q", got)
	}
}
