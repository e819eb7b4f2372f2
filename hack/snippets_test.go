package hack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// of is what the Go snippets of each document take as given, as declarations.
// Snippets of other libraries are left out: they are those that use a name of
// foreign.
var of = map[string]string{
	"from-ocsigen.md": `
		var site *sojourn.Site
		var bank interface{ Balance(context.Context, sojourn.UserID) (int, error) }`,
	"from-scs-and-gorilla.md": `
		var site *sojourn.Site
		var mux *http.ServeMux
		var addr string
		var r *http.Request
		var ctx context.Context
		type Cart struct{}
		var sessions interface { // scs.SessionManager
			GetInt(context.Context, string) int
			Destroy(context.Context) error
		}`,
	"tabs.md": `
		var site *sojourn.Site
		var mux *http.ServeMux
		var home *template.Template
		var ctx context.Context
		var user sojourn.UserID
		type NewTodo struct{ Title string }
		type Todo struct{}
		var todo Todo
		var todos interface{ Add(context.Context, sojourn.UserID, string) (Todo, error) }`,
	"tabs-go.md": `
		var site *sojourn.Site
		var ctx context.Context
		var c *client.Client
		var t *testing.T
		var handler http.Handler
		var shared = struct{ Greet rpc.Func[string, string] }{}`,
}

var foreign = regexp.MustCompile(`\bscs\.|sessions\.(Put|RenewToken)|sessions\.GetInt\(r\.Context\(\), "userID"\)\n\tif id == 0|\bstore\.Get\(r,`)

// imported are the packages that a snippet may use without saying so.
const imported = `import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"github.com/sojourn-go/sojourn/client"
	"github.com/sojourn-go/sojourn/protocol"
	"github.com/sojourn-go/sojourn/rpc"
	"github.com/sojourn-go/sojourn/sojourntest"
	"github.com/sojourn-go/sojourn/sqlite"
)
`

func TestGoSnippetsOfDocumentsCompile(t *testing.T) {
	t.Parallel()
	found := 0
	for _, doc := range documents(t) {
		for i, code := range blocksOf(t, doc, "go") {
			if foreign.MatchString(code) {
				continue
			}
			found++
			given, ok := of[filepath.Base(doc)]
			if !ok {
				t.Fatalf("%s has snippets: say in of what they take as given", doc)
			}
			if err := compiles(t, given, code); err != nil {
				t.Errorf("%s, snippet %d: %v\n%s", doc, i+1, err, code)
			}
		}
	}
	if found < 15 {
		t.Errorf("found %d snippets, which cannot be all", found)
	}
	// What this test must find.
	for _, wrong := range []string{
		`site.Conect(ctx, "alice")`,
		`var n int = site.Close()`,
		`x := sojourn.NewRef(site, sojourn.TabScope, "name", nil)`,
		`func f() int { }`,
		`if {`,
	} {
		if compiles(t, of["tabs.md"], wrong) == nil {
			t.Errorf("%s is said to compile", wrong)
		}
	}
}

// compiles checks a snippet: a file, declarations or statements. "…" stands
// for whatever code there may be. A variable or an import may go unused.
func compiles(t *testing.T, given, code string) error {
	t.Helper()
	code = regexp.MustCompile(`(?m)(^\s*|\{ )…`).ReplaceAllString(code, `${1}panic("…")`)
	forms := []string{
		"package p\n" + imported + given + "\nfunc _() error {\n" + code + "\npanic(0)\n}\n",
		"package p\n" + imported + given + "\n" + code,
		// declarations with statements after them, and expressions
		"package p\n" + imported + given + "\nvar _ = []any{\n" + strings.TrimSpace(code) + ",\n}\n",
	}
	if strings.HasPrefix(code, "package ") {
		forms = []string{code}
	}
	if at := regexp.MustCompile(`(?m)^mux\.Handle`).FindStringIndex(code); at != nil && strings.HasPrefix(code, "func ") {
		forms = append(forms, "package p\n"+imported+given+"\n"+code[:at[0]]+"\nfunc _() {\n"+code[at[0]:]+"\n}\n")
	}
	var first error
	for _, form := range forms {
		err := typeChecks(t, form)
		if err == nil {
			return nil
		}
		if _, syntax := err.(syntaxError); first == nil || !syntax {
			first = err
		}
	}
	return first
}

type syntaxError struct{ error }

func typeChecks(t *testing.T, text string) error {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "snippet.go", text, 0)
	if err != nil {
		return syntaxError{err}
	}
	var wrong []error
	conf := types.Config{
		Importer: importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) {
			export, ok := exports(t)[path]
			if !ok {
				return nil, fmt.Errorf("%s is not imported by any snippet", path)
			}
			return os.Open(export)
		}),
		Error: func(err error) {
			var e types.Error
			if !errors.As(err, &e) || !e.Soft { // soft: what is not used
				wrong = append(wrong, err)
			}
		},
	}
	conf.Check("p", files, []*ast.File{file}, nil)
	return errors.Join(wrong...)
}

var listed = sync.OnceValues(func() (map[string]string, error) {
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Export"}
	for _, m := range regexp.MustCompile(`"(.*)"`).FindAllStringSubmatch(imported, -1) {
		args = append(args, m[1])
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = ".."
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, complaint.String())
	}
	found := make(map[string]string)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); err == io.EOF {
			return found, nil
		} else if err != nil {
			return nil, err
		}
		found[p.ImportPath] = p.Export
	}
})

// exports are the files that say what packages export.
func exports(t *testing.T) map[string]string {
	t.Helper()
	found, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A name in `…` that looks like one of ours has to be there.
func TestNamesInDocumentsExist(t *testing.T) {
	t.Parallel()
	const module = "github.com/sojourn-go/sojourn"
	packages := map[string]*types.Package{}
	files := token.NewFileSet()
	imp := importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports(t)[path]) })
	for name, path := range map[string]string{
		"sojourn": module, "client": module + "/client", "protocol": module + "/protocol", "rpc": module + "/rpc",
		"sojourntest": module + "/sojourntest", "sqlite": module + "/sqlite",
	} {
		p, err := imp.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		packages[name] = p
	}
	// "Site.Connect" is in sojourn, "Client.User" in client, and so on.
	isThere := func(first, second string) (there, ours bool) {
		if p, ok := packages[first]; ok {
			return p.Scope().Lookup(second) != nil, true
		}
		for _, name := range []string{"sojourn", "client"} {
			typ, ok := packages[name].Scope().Lookup(first).(*types.TypeName)
			if !ok || !typ.Exported() {
				continue
			}
			ours = true
			if obj, _, _ := types.LookupFieldOrMethod(types.NewPointer(typ.Type()), true, packages[name], second); obj != nil {
				return true, true
			}
		}
		return false, ours
	}
	pairs := regexp.MustCompile(`\b([A-Za-z]+)\.([A-Z]\w*)`)
	found := 0
	for _, doc := range append(documents(t), "../README.md", "../CHANGELOG.md", "../SECURITY.md") {
		for _, m := range pairs.FindAllStringSubmatch(prose(t, doc), -1) {
			first, second := m[1], m[2]
			if first == "site" {
				first = "Site"
			}
			there, ours := isThere(first, second)
			if !ours || m[0] == "Options.MaxAge" { // that one is gorilla's
				continue
			}
			found++
			if !there {
				t.Errorf("%s names %s, which is not there", doc, m[0])
			}
		}
	}
	if found < 100 {
		t.Errorf("found %d names, which cannot be all", found)
	}
	// In the tables of from-ocsigen.md the names stand without a package.
	names := regexp.MustCompile("`([A-Z]\\w+)")
	rows := 0
	for line := range strings.Lines(read(t, "docs/from-ocsigen.md")) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for _, m := range names.FindAllStringSubmatch(cells[2], -1) {
			if m[1] == "Opt" { // the module
				continue
			}
			rows++
			if !slices.ContainsFunc([]string{"sojourn", "client"}, func(p string) bool { return packages[p].Scope().Lookup(m[1]) != nil }) {
				t.Errorf("docs/from-ocsigen.md names %s, which is not there", m[1])
			}
		}
	}
	if rows < 40 {
		t.Errorf("found %d names in docs/from-ocsigen.md, which cannot be all", rows)
	}
}

// What JavaScript snippets import from the client has to be exported by it.
func TestJavaScriptSnippetsImportWhatThereIs(t *testing.T) {
	t.Parallel()
	list := regexp.MustCompile(`(?s)export const \{(.*?)\} = client;`).FindStringSubmatch(read(t, "clientjs/client.js"))
	if list == nil {
		t.Fatal("client.js exports nothing by name")
	}
	exported := regexp.MustCompile(`\w+`).FindAllString(list[1], -1)
	imports := regexp.MustCompile(`import (?:\w+, )?\{ ([^}]*) \} from "(?:/_sojourn/client\.js|@sojourn-go/client)"`)
	found := 0
	for _, doc := range documents(t) {
		for _, code := range blocksOf(t, doc, "js") {
			for _, m := range imports.FindAllStringSubmatch(code, -1) {
				for name := range strings.SplitSeq(m[1], ", ") {
					found++
					if !slices.Contains(exported, name) {
						t.Errorf("%s imports %s, which client.js does not export", doc, name)
					}
				}
			}
		}
	}
	if found < 8 {
		t.Errorf("found %d imported names, which cannot be all", found)
	}
}

func documents(t *testing.T) []string {
	t.Helper()
	docs, err := filepath.Glob("../docs/*.md")
	if err != nil || len(docs) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	return docs
}

// blocksOf are the fenced blocks of a document in one language.
func blocksOf(t *testing.T, doc, language string) []string {
	t.Helper()
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?ms)^```" + regexp.QuoteMeta(language) + "\n(.*?)^```$")
	var found []string
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	return found
}

// prose is a document without its fenced blocks.
func prose(t *testing.T, doc string) string {
	t.Helper()
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(string(text), "")
}
