package cases

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/rpc"
)

// post and posted are what the measured function takes and gives.
type post struct {
	Room    string   `json:"room"`
	Text    string   `json:"text"`
	ReplyTo int64    `json:"replyTo"`
	Tags    []string `json:"tags"`
}

type posted struct {
	ID     int64    `json:"id"`
	Author string   `json:"author"`
	Room   string   `json:"room"`
	Length int      `json:"length"`
	Tags   []string `json:"tags"`
	Unread bool     `json:"unread"`
}

var postMessage = rpc.Define[post, posted]("post-message")

const (
	pathPlain = "/api/post-message"

	functionBody = 1 << 20 // bytes that a call may bring: Limits.RPCBody's default
)

// answerPost is the function itself.
func answerPost(_ context.Context, user sojourn.UserID, in post) (posted, error) {
	if in.Room == "" || in.Text == "" {
		return posted{}, errors.New("a message needs a room and a text")
	}
	return posted{
		ID: in.ReplyTo + 1, Author: string(user), Room: in.Room,
		Length: len(in.Text), Tags: in.Tags, Unread: true,
	}, nil
}

// functions lets clients call answerPost, guarded, as a function of the site;
// the Handler is the same guarded function as one writes it by hand.
func functions(site *sojourn.Site) http.Handler {
	guarded := sojourn.ConnectedRPC(site, answerPost)
	sojourn.HandleRPC(site, postMessage, guarded)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pathPlain, func(w http.ResponseWriter, r *http.Request) {
		var in post
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, functionBody)).Decode(&in); err != nil {
			http.Error(w, "a message was expected", http.StatusBadRequest)
			return
		}
		out, err := guarded(r.Context(), in)
		switch {
		case errors.Is(err, sojourn.ErrNotConnected):
			http.Error(w, "nobody is connected", http.StatusUnauthorized)
			return
		case err != nil:
			http.Error(w, "something went wrong", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	})
	return mux
}

// RPC serves one guarded function two ways, both called by a running tab of a
// connected user: "plain", first, is a handler written by hand; "rpc" is the
// endpoint of the site.
func RPC() ([]*Served, *Set, error) {
	s, err := OpenSojourn("memory", "")
	if err != nil {
		return nil, nil, err
	}
	set := &Set{apps: []*App{&s.App}}
	c, err := s.login(0, bareUser)
	if err != nil {
		return nil, nil, closing(set, err)
	}
	header, err := s.tab(c)
	if err != nil {
		return nil, nil, closing(set, err)
	}
	header.Set("Content-Type", "application/json")
	header.Set("Accept", "application/json")
	header.Set("Origin", "https://example.com")
	header.Set("Sec-Fetch-Dest", "empty")
	header.Set("Sec-Fetch-Mode", "cors")

	in := post{Room: "general", Text: strings.Repeat("What is said in a message. ", 4), ReplyTo: 123456, Tags: []string{"news", "go"}}
	out := posted{ID: in.ReplyTo + 1, Author: c.user, Room: in.Room, Length: len(in.Text), Tags: in.Tags, Unread: true}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, nil, closing(set, err)
	}
	want, err := json.Marshal(out)
	if err != nil {
		return nil, nil, closing(set, err)
	}
	var all []*Served
	for _, way := range []struct{ name, path, end string }{
		{"plain", pathPlain, "\n"}, // of json.Encoder
		{"rpc", protocol.DefaultPath + "rpc/" + postMessage.Name(), ""},
	} {
		r := c.request(way.path)
		r.Method = http.MethodPost
		for k, v := range header {
			r.Header[k] = v
		}
		served, err := listen(way.name, &s.App, r, body, string(want)+way.end)
		if err == nil {
			all = append(all, served)
			go served.serve()
			err = served.knowsTab()
		}
		if err != nil {
			for _, s := range all {
				s.Close()
			}
			return nil, nil, closing(set, err)
		}
		set.add(served.Case())
	}
	return all, set, nil
}

// knowsTab sends the request once and checks that it comes from a tab that
// runs: a response tells an id only to a tab that starts.
func (s *Served) knowsTab() error {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(s.request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if id := resp.Header.Get(protocol.TabHeader); resp.StatusCode != http.StatusOK || id != "" {
		return fmt.Errorf("%s: answered %s, and the tab was told the id %q", s.Name, resp.Status, id)
	}
	return nil
}
