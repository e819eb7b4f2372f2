package sqlite_test

import (
	"log"
	"net/http"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/sqlite"
)

// Sessions that survive a restart, in one file.
func ExampleOpen() {
	store, err := sqlite.Open("sessions.db")
	if err != nil {
		log.Fatal(err)
	}
	site, err := sojourn.New(sojourn.Config{Store: store}) // which closes it
	if err != nil {
		log.Fatal(err)
	}
	defer site.Close()
	log.Print(http.ListenAndServe("localhost:8080", site.Middleware(http.DefaultServeMux)))
}
