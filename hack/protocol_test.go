package hack

import (
	"fmt"
	"go/constant"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/protocol"
)

// docs/protocol.md has each code of package protocol with its status, each
// close code, and each reason, and no others.
func TestProtocolDocumentHasEveryCode(t *testing.T) {
	t.Parallel()
	text := read(t, "docs/protocol.md")
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports(t)[path]) })
	pkg, err := imp.Import("github.com/sojourn-go/sojourn/protocol")
	if err != nil {
		t.Fatal(err)
	}
	codes, closes := map[string]bool{}, map[string]bool{}
	for _, name := range pkg.Scope().Names() {
		c, ok := pkg.Scope().Lookup(name).(*types.Const)
		switch {
		case !ok:
		case strings.HasPrefix(name, "Code"):
			codes[constant.StringVal(c.Val())] = true
		case strings.HasPrefix(name, "Close"):
			closes[c.Val().String()] = true
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\d+) \\|").FindAllStringSubmatch(text, -1) {
		if !codes[m[1]] {
			t.Errorf("the document has the code %s, which is not there", m[1])
		} else if got := fmt.Sprint(protocol.Status(m[1])); got != m[2] {
			t.Errorf("the document has %s with status %s, and it is %s", m[1], m[2], got)
		}
		delete(codes, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d{4}) \|`).FindAllStringSubmatch(text, -1) {
		if !closes[m[1]] {
			t.Errorf("the document has the close code %s, which is not there", m[1])
		}
		delete(closes, m[1])
	}
	if len(codes)+len(closes) > 0 {
		t.Errorf("the document lacks the codes %v and %v", codes, closes)
	}
	_, list, _ := strings.Cut(text, "\nReasons: ")
	list, _, _ = strings.Cut(list, "\n")
	reasons := []string{protocol.ReasonConnected, protocol.ReasonChanged}
	for _, r := range []sojourn.EndReason{
		sojourn.EndDisconnect, sojourn.EndDisconnectAll, sojourn.EndRevoked, sojourn.EndExpired,
		sojourn.EndEvicted, sojourn.EndReplaced, sojourn.EndUserGone,
	} {
		reasons = append(reasons, string(r))
	}
	for _, r := range reasons {
		if !strings.Contains(list, "`"+r+"`") {
			t.Errorf("the document lacks the reason %s", r)
		}
	}
	if status := protocol.Status("one of the application"); !strings.Contains(text, fmt.Sprintf("| another | %d |", status)) {
		t.Errorf("the document does not say that another code has status %d", status)
	}
}
