package sqlite_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sojourntest"
	"github.com/sojourn-go/sojourn/sqlite"
)

// Sessions that survive a restart, in one file.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "sojourn")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sessions.db")

	// open is what the program does when it starts.
	open := func() *sojourn.Site {
		store, err := sqlite.Open(path)
		if err != nil {
			panic(err)
		}
		site, err := sojourn.New(sojourn.Config{Store: store}) // which closes the store in the end
		if err != nil {
			panic(err)
		}
		return site
	}
	site := open()
	browser := sojourntest.NewBrowser(new(testing.T), site.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(site.Connect(r.Context(), "alice"))
	})))
	browser.Get("/")
	fmt.Println(site.Close())

	site = open()
	defer site.Close()
	list, err := site.Sessions(context.Background(), "alice")
	fmt.Println(len(list), "session,", err)
	// Output:
	// <nil>
	// <nil>
	// 1 session, <nil>
}
