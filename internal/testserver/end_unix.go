//go:build unix

package testserver

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
)

// A watcher is a process that ends servers when this program has ended, however
// it did: killed, panicking, by os.Exit, or leaving a server by mistake. It
// reads from a pipe that only this program holds, so that it notices.
type watcher struct {
	once sync.Once
	err  error
	last atomic.Int64

	mu sync.Mutex
	to io.Writer
}

var theWatcher watcher

// watch is what the watcher runs. A line begins the watch over a process, with
// a name of its own and the signal that ends it, or ends the watch. It ignores
// signals that its terminal sends to everybody.
const watch = `
trap '' HUP INT QUIT TERM
all=
while read -r op name pid signal; do
	case $op in
	+) all="$all $name:$pid:$signal" ;;
	-)
		rest=
		for one in $all; do
			case $one in "$name":*) ;; *) rest="$rest $one" ;; esac
		done
		all=$rest
		;;
	esac
done
for one in $all; do
	signal=${one##*:} pid=${one#*:}
	pid=${pid%%:*}
	kill "-$signal" "$pid"
	kill -CONT "$pid"
done
`

func (w *watcher) start() {
	cmd := exec.Command("/bin/sh", "-c", watch)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // not to be killed with this program's group
	to, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	w.to, w.err = to, err
}

func (w *watcher) say(format string, args ...any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := fmt.Fprintf(w.to, format, args...)
	return err
}

// startWatched starts a server that ends with this program at the latest, by a
// signal such as KILL, and closes exited when it has ended.
func startWatched(cmd *exec.Cmd, signal string, exited chan<- struct{}) error {
	w := &theWatcher
	if w.once.Do(w.start); w.err != nil {
		return fmt.Errorf("testserver: starting what ends the servers: %w", w.err)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	name := w.last.Add(1)
	err := w.say("+ %d %d %s\n", name, cmd.Process.Pid, signal)
	if err != nil {
		cmd.Process.Kill()
	}
	go func() {
		cmd.Wait()
		_ = w.say("- %d\n", name) // without a watcher nobody watches
		close(exited)
	}()
	return err
}
