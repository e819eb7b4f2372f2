package cases

import (
	"fmt"
	"runtime"
)

// An Opener opens an App whose sessions are kept in memory.
type Opener struct {
	Name string
	Open func() (*App, error)
}

// InMemory are the libraries with a memory store.
func InMemory() []Opener {
	return []Opener{
		{"sojourn-memory", func() (*App, error) {
			s, err := OpenSojourn("memory", "")
			if err != nil {
				return nil, err
			}
			return &s.App, nil
		}},
		{"scs-memory", func() (*App, error) { return &OpenSCS(false).App, nil }},
		{"scs-memory-described", func() (*App, error) { return &OpenSCS(true).App, nil }},
		{"sessionup-memory", func() (*App, error) { return &OpenSessionup().App, nil }},
	}
}

// BytesPerSession connects n browsers, each of another user, and returns how
// much of the heap each session then holds, after a collection. It fails
// unless the sessions are there.
func BytesPerSession(o Opener, n int) (float64, error) {
	a, err := o.Open()
	if err != nil {
		return 0, err
	}
	defer a.Close()
	if _, err := a.login(n, UserName(n)); err != nil { // what the first one allocates is not a session
		return 0, err
	}
	before := heap()
	callers, err := a.populate(Population{Users: n, PerUser: 1})
	if err != nil {
		return 0, err
	}
	after := heap()
	// A sample of browsers keeps its cookies; it is part of what was counted.
	if err := a.page(o.Name, pathGuard, callers, nil).Run(&Once{len(callers)}); err != nil {
		return 0, err
	}
	if len(callers) == 0 {
		return 0, fmt.Errorf("%s: no session to ask for", o.Name)
	}
	own := float64(len(callers)) * 256
	return (float64(after) - float64(before) - own) / float64(n), nil
}

// heap is the memory in use after collections that leave nothing behind.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
