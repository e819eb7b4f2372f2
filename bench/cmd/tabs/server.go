//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sojourn-go/sojourn"
)

// usage is what the server uses.
type usage struct {
	RSS, Heap, Stack uint64 // bytes
	Goroutines       int
	CPU              time.Duration
}

// server serves until its standard input ends. It prints the address of the
// site and, with lanes, that of a listener for their carriers.
func server(lanes bool) error {
	site, err := sojourn.New(sojourn.Config{Cookie: sojourn.CookieConfig{Insecure: true}})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		if err := site.Connect(r.Context(), sojourn.UserID(r.FormValue("user"))); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/close-all", func(w http.ResponseWriter, r *http.Request) {
		if err := site.DisconnectAll(r.Context(), sojourn.OfUser(sojourn.UserID(r.FormValue("user")))); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/usage", func(w http.ResponseWriter, _ *http.Request) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		u := usage{RSS: resident(), Heap: m.HeapAlloc, Stack: m.StackInuse, Goroutines: runtime.NumGoroutine()}
		var r syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
			u.CPU = time.Duration(r.Utime.Nano() + r.Stime.Nano())
		}
		_ = json.NewEncoder(w).Encode(u)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	h := site.Middleware(mux)
	carriers := "-"
	if lanes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		carriers = l.Addr().String()
		go func() { log.Fatal("tabs: ", http.Serve(listenLanes(l), h)) }()
	}
	fmt.Println(l.Addr(), carriers)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(l, h)
}

// resident is how many bytes of memory this process occupies; 0 where the
// system does not say so as Linux does.
func resident() uint64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseUint(strings.Fields(kib)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}
