package browsertest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/internal/testserver"
	"github.com/sojourn-go/sojourn/sqlite"
)

// With these the test binary is the application, until it is killed.
const (
	envAddress = "SOJOURN_TEST_ADDRESS" // to listen at
	envFile    = "SOJOURN_TEST_FILE"    // the store
	envEnd     = "SOJOURN_TEST_END"     // a user whose sessions end first
)

func serveApp(address string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	store, err := sqlite.Open(os.Getenv(envFile))
	fail(err)
	a, err := newApp(store)
	fail(err)
	if user := sojourn.UserID(os.Getenv(envEnd)); user != sojourn.Nobody {
		fail(a.site.DisconnectAll(context.Background(), sojourn.OfUser(user)))
	}
	l, err := net.Listen("tcp", address)
	fail(err)
	fmt.Println(l.Addr())
	fail(http.Serve(l, a.handler))
}

// process is the application in a process of its own.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	address string
	file    string
}

func newProcess(t *testing.T) *process {
	p := &process{t: t, address: testserver.Address(t), file: filepath.Join(t.TempDir(), "sojourn.db")}
	p.start()
	t.Cleanup(p.kill)
	return p
}

// start starts it, where it was before if it was.
func (p *process) start(env ...string) {
	p.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(exe)
	p.cmd.Env = append(os.Environ(), append(env, envAddress+"="+p.address, envFile+"="+p.file)...)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		p.t.Fatal("the application does not start")
	}
	p.address = lines.Text()
}

// kill kills it as kill -9 does.
func (p *process) kill() {
	if p.cmd != nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		p.cmd = nil
	}
}

func TestTabOutlivesItsServer(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	p := newProcess(t)
	_, port, err := net.SplitHostPort(p.address)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{url: "http://localhost:" + port, port: port}
	one := b.signIn(s, "alice")
	loads := noted[string](one, "loads")

	p.kill()
	one.until(`noted("closes").at(-1) === 1006`)
	if err := value[string](one, `sojourn.call("whoami").catch((e) => e.code)`); err != "network" {
		t.Errorf("a call while there is no server throws %q", err)
	}
	told := len(noted[string](one, "live"))
	p.start()
	one.until(fmt.Sprintf(`noted("live").length === %d`, told+1))
	one.isOf("alice")
	if who := value[string](one, `sojourn.call("whoami")`); who != "alice" {
		t.Errorf("the functions take the tab for %q's", who)
	}
	if got := noted[string](one, "loads"); !slices.Equal(got, loads) {
		t.Errorf("the page restarted: %q", got)
	}

	// A session that ended while nobody could be told.
	p.kill()
	p.start(envEnd + "=alice")
	one.shownMessage()
	one.isOf("")
	if failures := noted[string](one, "failures"); len(failures) != 0 {
		t.Errorf("the page failed: %q", failures)
	}
}
