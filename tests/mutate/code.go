package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// source is one file that is built into the library.
type source struct {
	path   string // from the root, with slashes
	text   []byte
	file   *ast.File
	edits  []edit
	folder string
}

// edit inserts text at an offset.
type edit struct {
	at   int
	text string
}

// code is what can be mutated: the packages of libws.
type code struct {
	root    string
	fset    *token.FileSet
	sources []*source
	errors  []string // "wire.ErrCloseCode"
	sites   int
}

// site is one place that can be switched off.
type site struct {
	number int
	where  string // file and line
}

// target is an error or a piece of code that rows name, with the places that keep it.
type target struct {
	name  string
	rows  []row
	sites []site
}

func load(root string) (*code, error) {
	c := &code{root: root, fset: token.NewFileSet()}
	for _, folder := range []string{"libws", "libws/wire", "libws/handshake", "libws/deflate"} {
		paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(folder), "*.go"))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			file, err := parser.ParseFile(c.fset, path, text, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			s := &source{path: folder + "/" + filepath.Base(path), text: text, file: file, folder: folder}
			c.sources = append(c.sources, s)
			c.errors = append(c.errors, namedErrors(file)...)
		}
	}
	if len(c.errors) == 0 {
		return nil, fmt.Errorf("%s has no named errors", root)
	}
	return c, nil
}

// namedErrors returns the rules that a file declares: variables of a package with a
// value of their own.
func namedErrors(file *ast.File) (names []string) {
	for _, decl := range file.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			for i, name := range v.Names {
				if strings.HasPrefix(name.Name, "Err") && i < len(v.Values) {
					names = append(names, file.Name.Name+"."+name.Name)
				}
			}
		}
	}
	return names
}

// unlisted returns the errors whose name holds only and that are no targets.
func (c *code) unlisted(targets []*target, only string) (names []string) {
	for _, name := range c.errors {
		if strings.Contains(name, only) && !slices.ContainsFunc(targets, func(t *target) bool { return t.name == name }) {
			names = append(names, name)
		}
	}
	return names
}

// targets finds what the rows name.
func (c *code) targets(rows []row) ([]*target, error) {
	byName := map[string]*target{}
	var all []*target
	for _, r := range rows {
		for _, name := range r.names {
			t := byName[name]
			if t == nil {
				t = &target{name: name}
				byName[name] = t
				all = append(all, t)
			}
			t.rows = append(t.rows, r)
		}
	}
	for _, t := range all {
		place, text, isCode := strings.Cut(t.name, ": ")
		if isCode {
			file, function, _ := strings.Cut(place, " ")
			t.sites = c.findCode(file, function, text)
		} else {
			t.sites = c.findUses(t.name)
		}
		if len(t.sites) == 0 {
			return nil, fmt.Errorf("row %s: %s is nowhere in the code", t.rows[0].section, t.name)
		}
		if !slices.ContainsFunc(t.rows, func(r row) bool { return len(r.tests) > 0 }) {
			return nil, fmt.Errorf("row %s: no test of %s is in Go", t.rows[0].section, t.name)
		}
	}
	return all, nil
}

func (c *code) offset(p token.Pos) int { return c.fset.Position(p).Offset }

// guard makes an expression false when the switch is off.
func (c *code) guard(s *source, e ast.Expr) site {
	n := c.site(s, e)
	s.edits = append(s.edits,
		edit{c.offset(e.Pos()), fmt.Sprintf("!mutantOff[%d] && (", n.number)},
		edit{c.offset(e.End()), ")"})
	return n
}

// skip leaves statements out when the switch is off.
func (c *code) skip(s *source, at ast.Node, from, to token.Pos) site {
	n := c.site(s, at)
	s.edits = append(s.edits,
		edit{c.offset(from), fmt.Sprintf("\nif !mutantOff[%d] {\n", n.number)},
		edit{c.offset(to), "\n}\n"})
	return n
}

func (c *code) site(s *source, at ast.Node) site {
	c.sites++
	return site{c.sites, fmt.Sprintf("%s:%d", s.path, c.fset.Position(at.Pos()).Line)}
}

// findUses switches off every place that reports an error.
func (c *code) findUses(name string) (sites []site) {
	pkg, variable, _ := strings.Cut(name, ".")
	for _, s := range c.sources {
		walk(s.file, func(n ast.Node, parents []ast.Node) {
			switch e := n.(type) {
			case *ast.Ident:
				if s.file.Name.Name != pkg || e.Name != variable {
					return
				}
			case *ast.SelectorExpr:
				x, ok := e.X.(*ast.Ident)
				if !ok || x.Name != pkg || e.Sel.Name != variable {
					return
				}
			default:
				return
			}
			if site, ok := c.disable(s, n, parents); ok {
				sites = append(sites, site)
			}
		})
	}
	return sites
}

// disable switches off the check around a use of an error: the condition of the
// innermost if or case whose body holds it, or else the result that is returned.
func (c *code) disable(s *source, use ast.Node, parents []ast.Node) (site, bool) {
	for i := len(parents) - 1; i >= 0; i-- {
		inner := use
		if i+1 < len(parents) {
			inner = parents[i+1]
		}
		switch p := parents[i].(type) {
		case *ast.CallExpr:
			if f, ok := p.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Is" {
				return site{}, false // a question, not a report
			}
		case *ast.IfStmt:
			if inner == p.Body {
				return c.guard(s, p.Cond), true
			}
		case *ast.CaseClause:
			if inner, ok := inner.(ast.Stmt); !ok || !slices.Contains(p.Body, inner) {
				continue
			}
			choice := parents[i-2]
			if sw, ok := choice.(*ast.SwitchStmt); ok && sw.Tag == nil && len(p.List) == 1 {
				return c.guard(s, p.List[0]), true
			}
			return c.skip(s, p, p.Body[0].Pos(), p.Body[len(p.Body)-1].End()), true
		case *ast.FuncDecl:
			return c.dropResult(s, use, parents)
		}
	}
	return site{}, false // in a declaration
}

// dropResult returns no error instead of one that nothing guards.
func (c *code) dropResult(s *source, use ast.Node, parents []ast.Node) (site, bool) {
	for i, p := range parents {
		r, ok := p.(*ast.ReturnStmt)
		if !ok {
			continue
		}
		inner := use
		if i+1 < len(parents) {
			inner = parents[i+1]
		}
		n := c.site(s, r)
		s.edits = append(s.edits,
			edit{c.offset(inner.Pos()), fmt.Sprintf("mutantNil(%d, ", n.number)},
			edit{c.offset(inner.End()), ")"})
		return n, true
	}
	return site{}, false
}

// findCode switches off a condition, or a statement, that reads like text; function ""
// is the whole file.
func (c *code) findCode(file, function, text string) (sites []site) {
	for _, s := range c.sources {
		if s.path != file {
			continue
		}
		reads := func(n ast.Node) bool {
			return string(s.text[c.offset(n.Pos()):c.offset(n.End())]) == text
		}
		walk(s.file, func(n ast.Node, parents []ast.Node) {
			if len(parents) > 1 && function != "" {
				if f, ok := parents[1].(*ast.FuncDecl); !ok || f.Name.Name != function {
					return
				}
			}
			switch p := n.(type) {
			case *ast.IfStmt:
				if reads(p.Cond) {
					sites = append(sites, c.guard(s, p.Cond))
				}
			case *ast.ForStmt:
				if p.Cond != nil && reads(p.Cond) {
					sites = append(sites, c.guard(s, p.Cond))
				}
			case *ast.CaseClause:
				if len(p.List) == 1 && reads(p.List[0]) {
					sites = append(sites, c.guardCase(s, p, parents))
				}
			case *ast.ExprStmt, *ast.AssignStmt, *ast.IncDecStmt:
				_, simple := parents[len(parents)-1].(*ast.BlockStmt)
				_, inCase := parents[len(parents)-1].(*ast.CaseClause)
				if (simple || inCase) && reads(p) {
					sites = append(sites, c.skip(s, p, p.Pos(), p.End()))
				}
			}
		})
	}
	return sites
}

func (c *code) guardCase(s *source, p *ast.CaseClause, parents []ast.Node) site {
	if sw, ok := parents[len(parents)-2].(*ast.SwitchStmt); ok && sw.Tag == nil {
		return c.guard(s, p.List[0])
	}
	return c.skip(s, p, p.Body[0].Pos(), p.Body[len(p.Body)-1].End())
}

// walk visits every node with the ones around it, the outermost first.
func walk(root ast.Node, visit func(n ast.Node, parents []ast.Node)) {
	var parents []ast.Node
	ast.Inspect(root, func(n ast.Node) bool {
		if n == nil {
			parents = parents[:len(parents)-1]
			return true
		}
		visit(n, parents)
		parents = append(parents, n)
		return true
	})
}

// mutated returns the text of a source with its switches.
func (s *source) mutated() []byte {
	// An outer insertion was made first when two are at one offset: openings keep
	// that order, endings take the reverse one.
	slices.SortStableFunc(s.edits, func(a, b edit) int { return a.at - b.at })
	var out []byte
	last := 0
	for _, e := range s.edits {
		out = append(out, s.text[last:e.at]...)
		out = append(out, e.text...)
		last = e.at
	}
	return append(out, s.text[last:]...)
}
