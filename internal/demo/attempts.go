package demo

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// attempts slows down whoever guesses passwords: every address may try
// burst times in a row, then once each pause. A success gives its try back.
//
// It counts by network, not by account: nobody can lock another one out.
type attempts struct {
	burst int
	pause time.Duration
	most  int // networks remembered at once

	mu    sync.Mutex
	spent map[netip.Prefix]spending
}

// spending is how many tries a network has used up at one moment; pauses
// since then count as given back.
type spending struct {
	tries int
	at    time.Time
}

func newAttempts() *attempts {
	return &attempts{
		burst: 10,
		pause: 15 * time.Second,
		most:  10_000,
		spent: make(map[netip.Prefix]spending),
	}
}

// try takes one try. When none is left it says how long to wait for the next.
func (a *attempts) try(remoteAddr string, now time.Time) (wait time.Duration, ok bool) {
	network := networkOf(remoteAddr)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.spent) >= a.most {
		a.forget(now)
	}
	s := a.recovered(network, now)
	if s.tries >= a.burst {
		return s.at.Add(a.pause).Sub(now), false
	}
	s.tries++
	a.spent[network] = s
	return 0, true
}

// giveBack returns a try that turned out to be honest.
func (a *attempts) giveBack(remoteAddr string) {
	network := networkOf(remoteAddr)
	a.mu.Lock()
	defer a.mu.Unlock()
	if s, ok := a.spent[network]; ok {
		s.tries--
		a.spent[network] = s
		if s.tries <= 0 {
			delete(a.spent, network)
		}
	}
}

// recovered is a network's spending with the pauses since counted.
func (a *attempts) recovered(network netip.Prefix, now time.Time) spending {
	s, ok := a.spent[network]
	if !ok {
		return spending{at: now}
	}
	back := int(now.Sub(s.at) / a.pause)
	if back >= s.tries {
		return spending{at: now}
	}
	return spending{tries: s.tries - back, at: s.at.Add(time.Duration(back) * a.pause)}
}

// forget drops the networks that have all their tries again; when too many
// are left it drops them all: the bound matters more than the count.
func (a *attempts) forget(now time.Time) {
	for network := range a.spent {
		if a.recovered(network, now).tries == 0 {
			delete(a.spent, network)
		}
	}
	if len(a.spent) >= a.most {
		clear(a.spent)
	}
}

// networkOf is what counts as one client: an IPv4 address, an IPv6 /64.
func networkOf(remoteAddr string) netip.Prefix {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		host = remoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits)
	return network
}
