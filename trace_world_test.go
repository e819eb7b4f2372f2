package sojourn_test

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// world does a step that is not a request.
func (p *traceReplay) world(step *traceStep) (checks traceChecks) {
	s := p.site
	switch step.World {
	case "arm":
		s.change(func() { s.armed[step.Action] = step.Error })
	case "disarm":
		s.change(func() { clear(s.armed) })
	case "register-again":
		s.labels = append(s.labels, step.Label)
		s.register(step.Label)
	case "delete-user":
		s.change(func() { s.gone[traceUserID(step.User)] = true })
	case "add-user":
		s.change(func() { delete(s.gone, traceUserID(step.User)) })
	case "join-group":
		s.changeMember(step.Group, traceUserID(step.User), true)
	case "leave-group":
		s.changeMember(step.Group, traceUserID(step.User), false)
	case "break-group":
		s.change(func() { s.broken[step.Group] = true })
	case "pass":
		time.Sleep(p.scale(step.Time))
	case "restart":
		if err := s.Close(); err != nil {
			panic(err)
		}
		if err := s.start(); err != nil {
			panic(err)
		}
	case "close-browser":
		b := p.browser(step.Browser)
		maps.DeleteFunc(b.cookies, func(_ string, c *http.Cookie) bool { return !traceKept(c) })
		clear(b.tabs)
	case "forge-cookies":
		b := p.browser(step.Browser)
		for _, name := range []string{traceSessionCookie, traceBrowserCookie} {
			b.cookies[name] = &http.Cookie{Name: name, Value: step.Value, MaxAge: 86400}
		}
	case "copy-cookies":
		p.browser(step.To).cookies = maps.Clone(p.browser(step.From).cookies)
	case "disconnect-all":
		err := s.DisconnectAll(context.Background(), traceDisconnectAll(step.OfUser, step.KeepUserIndependent)...)
		checks.compare("DisconnectAll", orOK(step.WantError), traceErrorName(err))
	case "sessions":
		checks.compare("sessions of user "+step.User, strconv.Itoa(step.Want), s.sessions(context.Background(), step.User))
	default:
		panic("unknown step: world " + step.World)
	}
	return checks
}

// change changes what the application answers from now on.
func (s *traceSite) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}
