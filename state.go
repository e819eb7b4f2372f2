package sojourn

import (
	"context"
	"iter"
)

// State is one state of one scope: a user's, a session's, a tab's. It can be
// kept and used outside of the request that it was taken from. The zero State
// is of no site: ErrWrongScope. It carries over Eliom_state.Ext.state.
type State struct {
	site    *Site
	scope   Scope
	owner   Owner
	browser Key    // whose tabs are the session's
	tab     string // of a tab's state
	current bool   // whatever is the state of the request
}

// here stands for the state of the request.
var here = State{current: true}

// CurrentState is the state of this request in a scope, for the methods of Ref
// that end in In, SubStates, Discard and Notify; that of SiteScope is the whole
// site. It returns ErrNoRequest,
// ErrNotConnected for UserScope with nobody connected, and ErrNoSuchSession
// when the browser or tab holds no state yet; RequestScope has no State:
// ErrWrongScope.
func (s *Site) CurrentState(ctx context.Context, scope Scope) (State, error) {
	if scope.level == requestLevel || scope.level == noLevel {
		return State{}, ErrWrongScope
	}
	p, err := s.placeHere(ctx, scope, false, false)
	if err != nil {
		return State{}, err
	}
	if p.owner.Kind == 0 || p.loose {
		return State{}, ErrNoSuchSession
	}
	st := State{site: s, scope: scope, owner: p.owner, tab: p.tab}
	if scope.level == sessionLevel || scope.level == tabLevel {
		q, err := s.request(ctx)
		if err != nil {
			return State{}, err
		}
		b, _, err := q.browserOf(ctx, independentHierarchy)
		if err != nil {
			return State{}, err
		}
		if b != nil {
			st.browser = b.key
		}
	}
	return st, nil
}

// UserState is the state of a user, whether connected or not. It carries over
// Eliom_state.Ext.volatile_data_group_state and persistent_data_group_state.
func (s *Site) UserState(user UserID) State {
	return State{site: s, scope: UserScope, owner: Owner{Kind: OwnerUser, User: user}}
}

// SubStates are the states below one: a user's sessions, a session's tabs that
// hold state or are open. Other states have none. An error ends the sequence:
// the store's, or ErrWrongScope for a State of another site. It carries over
// Eliom_state.Ext.iter_sub_states.
func (s *Site) SubStates(ctx context.Context, st State) iter.Seq2[State, error] {
	return func(yield func(State, error) bool) {
		subs, err := s.subStates(ctx, st)
		if err != nil {
			yield(State{}, err)
			return
		}
		for _, sub := range subs {
			if !yield(sub, nil) {
				return
			}
		}
	}
}

func (s *Site) subStates(ctx context.Context, st State) (subs []State, err error) {
	if st.site != s {
		return nil, ErrWrongScope
	}
	switch st.scope.level {
	case userLevel:
		stored, err := s.store.Sessions(ctx, st.owner.User)
		if err != nil {
			return nil, wrap("listing the user's sessions", err)
		}
		for i := range stored {
			subs = append(subs, State{
				site: s, scope: SessionScope,
				owner: Owner{Kind: OwnerSession, Key: stored[i].Key}, browser: stored[i].Browser,
			})
		}
	case sessionLevel:
		seen := make(map[string]bool)
		add := func(id string) {
			if !seen[id] {
				seen[id] = true
				subs = append(subs, State{
					site: s, scope: Scope{tabLevel, st.scope.hierarchy},
					owner: st.owner, browser: st.browser, tab: id,
				})
			}
		}
		if b, _ := s.browsers.get(st.browser); b != nil {
			for _, id := range b.tabs.list(st.owner) {
				add(id)
			}
		}
		stored, err := s.store.Tabs(ctx, st.owner)
		if err != nil {
			return nil, wrap("listing the session's tabs", err)
		}
		for i := range stored {
			add(stored[i].ID)
		}
	}
	return subs, nil
}

// Discard resets every reference of one state, volatile and persistent, to its
// initial value. States below it keep theirs. It returns ErrSessionEnded if
// the state is no more, ErrWrongScope for a State of another site. It carries
// over Eliom_state.discard.
func (s *Site) Discard(ctx context.Context, st State) error {
	if st.site != s {
		return ErrWrongScope
	}
	p, err := s.placeIn(ctx, st, true, false)
	if err != nil {
		return err
	}
	if p.ended() {
		return ErrSessionEnded
	}
	if p.vals != nil {
		p.vals.dropping()
	}
	err = s.store.DropValues(ctx, st.owner, st.tab, Key{})
	if p.vals != nil {
		p.vals.dropped()
	}
	if v := s.successor(&p); v != nil {
		v.reset()
	}
	return wrap("discarding a state", err)
}
