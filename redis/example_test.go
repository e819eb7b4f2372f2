package redis_test

import (
	"context"
	"log"
	"net/http"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/redis"
)

// One site on any number of servers: each runs this.
func ExampleOpen() {
	ctx := context.Background()
	store, err := redis.Open(ctx, "redis://localhost:6379", redis.Prefix("shop"))
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

// Requests of connected users do not ask the engine, as long as it is certain
// that an end on another server is known here within two seconds.
func ExampleMaxStaleness() {
	store, err := redis.Open(context.Background(), "redis://localhost:6379", redis.MaxStaleness(2*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
}
