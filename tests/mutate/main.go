// Mutate disables what keeps the rules of docs/conformance.md, one thing at a
// time, and runs the tests of the rule's row: one that passes all the same proves
// nothing, and is reported.
//
// A row names errors (`wire.ErrReservedBits`) and code, in a file or in one function of
// it (`libws/ending.go closeArrived: c.opts.AutoClose`). Every place that reports the error, or the named condition or
// statement, gets a switch, in copies of the sources that only this build sees. Then one
// test program per package serves all mutants, and an environment variable
// says which switches are off.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
)

func main() {
	root := flag.String("root", ".", "the folder with docs/conformance.md and libws")
	workers := flag.Int("j", runtime.NumCPU(), "test programs at a time")
	only := flag.String("only", "", "part of the names of the errors and conditions to disable")
	flag.Parse()
	report, err := mutate(*root, *only, *workers)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	for _, name := range report.unlisted {
		fmt.Println("no row:", name)
	}
	for _, s := range report.survivors {
		fmt.Println("survived:", s)
	}
	fmt.Printf("%d mutants of %d errors and conditions in %d rows, %d survived\n",
		report.mutants, report.targets, report.rows, len(report.survivors))
	if len(report.survivors)+len(report.unlisted) > 0 {
		os.Exit(1)
	}
}

// report is the outcome of a run.
type report struct {
	rows, targets, mutants int
	unlisted               []string // errors without a row
	survivors              []string
}

// mutate tries the mutants whose name holds only.
func mutate(root, only string, workers int) (*report, error) {
	rows, err := readRows(root)
	if err != nil {
		return nil, err
	}
	code, err := load(root)
	if err != nil {
		return nil, err
	}
	targets, err := code.targets(rows)
	if err != nil {
		return nil, err
	}
	var wanted []*target
	for _, t := range targets {
		if strings.Contains(t.name, only) {
			wanted = append(wanted, t)
		}
	}
	programs, err := code.build(wanted)
	if err != nil {
		return nil, err
	}
	defer programs.remove()
	if err := programs.baseline(wanted); err != nil {
		return nil, err
	}
	mutants := mutantsOf(wanted)
	return &report{len(rows), len(wanted), len(mutants), code.unlisted(targets, only), programs.try(mutants, workers)}, nil
}
