package cases

// Set is a comparison: Cases to be run side by side, the baseline first.
type Set struct {
	Cases []Case
	apps  []*App
}

// Close stops the Apps.
func (s *Set) Close() error {
	var first error
	for _, a := range s.apps {
		if err := a.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (s *Set) add(c ...Case) { s.Cases = append(s.Cases, c...) }

// Connected is the request of a connected user, in every library, with this
// many sessions live of which up to a thousand send requests in turn. The
// pages of sojourn: "current" asks who is connected with no guard; "guard" is
// Connected and, with no tab header, starts a tab each time, as a plain
// navigation does; "guard-tab" is Connected asked for by a running tab.
func Connected(dir string, live int) (*Set, error) {
	set := &Set{}
	people := Population{Users: live, PerUser: 1}
	memory, err := OpenSojourn("memory", "")
	if err != nil {
		return nil, err
	}
	set.apps = append(set.apps, &memory.App)
	durable, err := OpenSojourn("sqlite", dir)
	if err != nil {
		return nil, closing(set, err)
	}
	set.apps = append(set.apps, &durable.App)
	for i, s := range []*Sojourn{memory, durable} {
		callers, err := s.populate(people)
		if err != nil {
			return nil, closing(set, err)
		}
		if i == 0 {
			set.add(OpenBare().page("bare", pathGuard, bareCallers(callers), nil))
		}
		tabs, err := s.guardInTabs(s.Name+"-guard-tab", pathGuard, callers)
		if err != nil {
			return nil, closing(set, err)
		}
		set.add(s.page(s.Name+"-current", pathCurrent, callers, nil),
			s.page(s.Name+"-guard", pathGuard, callers, nil), tabs)
	}
	for _, a := range []*App{&OpenSCS(false).App, &OpenGorilla().App, &OpenSessionup().App} {
		p := people
		if a.Name == "gorilla-cookie" {
			p.Users = min(live, sampled) // nothing is kept on the server
		}
		callers, err := a.populate(p)
		if err != nil {
			return nil, closing(set, err)
		}
		set.add(a.page(a.Name, pathGuard, callers, nil))
	}
	return set, nil
}

// Anonymous is the request of nobody, without any cookie, in every library.
func Anonymous(dir string) (*Set, error) {
	set := &Set{}
	memory, err := OpenSojourn("memory", "")
	if err != nil {
		return nil, err
	}
	set.apps = append(set.apps, &memory.App)
	durable, err := OpenSojourn("sqlite", dir)
	if err != nil {
		return nil, closing(set, err)
	}
	set.apps = append(set.apps, &durable.App)
	nobody := make([]caller, sampled)
	for i := range nobody {
		nobody[i].number = i
	}
	set.add(OpenBare().page("bare", pathOpt, bareCallers(nobody), nil))
	for _, s := range []*Sojourn{memory, durable} {
		set.add(s.page(s.Name+"-current", pathCurrent, nobody, nil),
			s.page(s.Name+"-opt", pathOpt, nobody, nil))
	}
	for _, a := range []*App{&OpenSCS(false).App, &OpenGorilla().App, &OpenSessionup().App} {
		set.add(a.page(a.Name, pathOpt, nobody, nil))
	}
	return set, nil
}

func closing(s *Set, err error) error {
	s.Close()
	return err
}
