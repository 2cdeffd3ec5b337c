package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// variable holds the numbers of the switches that are off.
const variable = "AIOWS_MUTANT"

// switches is added to each package that has some.
const switches = `package %s

import (
	"os"
	"strconv"
	"strings"
)

var mutantOff = func() (off [%d]bool) {
	for s := range strings.SplitSeq(os.Getenv(%q), ",") {
		if n, err := strconv.Atoi(s); err == nil {
			off[n] = true
		}
	}
	return off
}()

func mutantNil[T any](n int, v *T) *T {
	if mutantOff[n] {
		return nil
	}
	return v
}

var _ = mutantNil[int]
`

// programs are the test programs, one a package.
type programs struct {
	root, folder string
	paths        map[string]string
}

func (p *programs) remove() { _ = os.RemoveAll(p.folder) }

// build compiles the test programs of the packages that have tests of the targets.
func (c *code) build(targets []*target) (*programs, error) {
	folder, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return nil, err
	}
	p := &programs{c.root, folder, map[string]string{}}
	if err := c.compile(p, targets); err != nil {
		p.remove()
		return nil, err
	}
	return p, nil
}

func (c *code) compile(p *programs, targets []*target) error {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	write := func(original string, text []byte) error {
		copied := filepath.Join(p.folder, fmt.Sprintf("%d.go", len(overlay.Replace)))
		overlay.Replace[original] = copied
		return os.WriteFile(copied, text, 0o644)
	}
	root, err := filepath.Abs(c.root)
	if err != nil {
		return err
	}
	for _, s := range c.sources {
		if len(s.edits) == 0 {
			continue
		}
		if err := write(filepath.Join(root, filepath.FromSlash(s.path)), s.mutated()); err != nil {
			return err
		}
		added := filepath.Join(root, filepath.FromSlash(s.folder), "mutant.go")
		if overlay.Replace[added] == "" {
			if err := write(added, fmt.Appendf(nil, switches, s.file.Name.Name, c.sites+1, variable)); err != nil {
				return err
			}
		}
	}
	// What nobody notices takes a test until it gives up: here that is soon.
	patience := filepath.Join(root, "libws", "main_test.go")
	if text, err := os.ReadFile(patience); err == nil {
		if err := write(patience, bytes.Replace(text, []byte("hang = 20 *"), []byte("hang = 3 *"), 1)); err != nil {
			return err
		}
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return err
	}
	list := filepath.Join(p.folder, "overlay.json")
	if err := os.WriteFile(list, text, 0o644); err != nil {
		return err
	}
	for _, t := range targets {
		for _, r := range t.rows {
			for _, one := range r.tests {
				if p.paths[one.folder] != "" {
					continue
				}
				out := filepath.Join(p.folder, strings.ReplaceAll(one.folder, "/", "-")+".test")
				build := exec.Command("go", "test", "-c", "-overlay", list, "-o", out, "./"+one.folder)
				build.Dir = c.root
				if said, err := build.CombinedOutput(); err != nil {
					return fmt.Errorf("%s: %w\n%s", build, err, said)
				}
				p.paths[one.folder] = out
			}
		}
	}
	return nil
}

// run reports whether all tests, which are of one folder, pass with sites switched off.
func (p *programs) run(tests []test, sites []site) (passed bool, output string) {
	var patterns, numbers []string
	for _, t := range tests {
		patterns = append(patterns, t.pattern())
	}
	for _, s := range sites {
		numbers = append(numbers, fmt.Sprint(s.number))
	}
	folder := tests[0].folder
	program := exec.Command(p.paths[folder], "-test.v", "-test.failfast", "-test.timeout", "30s", "-test.run", strings.Join(patterns, "|"))
	program.Dir = filepath.Join(p.root, filepath.FromSlash(folder))
	program.Env = append(os.Environ(), variable+"="+strings.Join(numbers, ","))
	var said bytes.Buffer
	program.Stdout, program.Stderr = &said, &said
	err := program.Run()
	return err == nil, said.String()
}

// byFolder splits tests by their folder.
func byFolder(tests []test) (groups [][]test) {
	for _, t := range tests {
		i := slices.IndexFunc(groups, func(g []test) bool { return g[0].folder == t.folder })
		if i < 0 {
			groups = append(groups, []test{t})
		} else if !slices.Contains(groups[i], t) {
			groups[i] = append(groups[i], t)
		}
	}
	return groups
}

// baseline runs every test without a mutant: each must be there and pass.
func (p *programs) baseline(targets []*target) error {
	var all []test
	for _, t := range targets {
		for _, r := range t.rows {
			all = append(all, r.tests...)
		}
	}
	for _, group := range byFolder(all) {
		passed, output := p.run(group, nil)
		if !passed {
			return fmt.Errorf("%s fails without a mutant:\n%s", group[0].folder, output)
		}
		for _, t := range group {
			if !strings.Contains(output, "--- PASS: "+t.name+" ") {
				return fmt.Errorf("%s has no test %s", t.folder, t.name)
			}
		}
	}
	return nil
}

// mutant is a set of switches that are off together, and the tests that have to notice.
type mutant struct {
	what  string
	sites []site
	tests []test
}

// mutantsOf returns, for each target, one mutant a row without any of its sites, whose
// own tests must notice, and one for each site alone, which any of the tests may.
func mutantsOf(targets []*target) (all []mutant) {
	for _, t := range targets {
		var tests []test
		for _, r := range t.rows {
			tests = append(tests, r.tests...)
			if len(r.tests) > 0 {
				all = append(all, mutant{t.name + ", row " + r.section, t.sites, r.tests})
			}
		}
		together := slices.ContainsFunc(t.rows, func(r row) bool { return slices.Contains(r.together, t.name) })
		if len(t.sites) == 1 || together {
			continue
		}
		for _, s := range t.sites {
			all = append(all, mutant{t.name + " at " + s.where, []site{s}, tests})
		}
	}
	return all
}

// try runs the mutants and returns those that no test noticed.
func (p *programs) try(mutants []mutant, workers int) []string {
	survived := make([]bool, len(mutants))
	var wait sync.WaitGroup
	places := make(chan struct{}, workers)
	for i, m := range mutants {
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			survived[i] = true
			for _, group := range byFolder(m.tests) {
				if passed, _ := p.run(group, m.sites); !passed {
					survived[i] = false
					return
				}
			}
		})
	}
	wait.Wait()
	var names []string
	for i, m := range mutants {
		if survived[i] {
			names = append(names, m.what)
		}
	}
	return names
}
