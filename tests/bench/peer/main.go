// Command peer is the other end of every benchmark: github.com/lxzan/gws, which is
// nobody's library here.
//
//	peer serve [-certificate DIR] [-compress]    echo server and sender of floods
//	peer load [-certificate DIR] [-compress] URI clients for a server under test
//	peer messages FILE SIZE TOTAL                JSON to exchange, a line each
//	peer certificate DIR                         cert.pem and key.pem for 127.0.0.1
//
// A peer ends when its standard input does, so that it never outlives the benchmark.
package main

import (
	"fmt"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: peer serve|load|messages|certificate ...")
	}
	var err error
	switch role := os.Args[1]; role {
	case "serve":
		err = serve(os.Args[2:])
	case "load":
		err = load(os.Args[2:])
	case "messages":
		err = messages(os.Args[2:])
	case "certificate":
		err = certificate(os.Args[2:])
	default:
		err = fmt.Errorf("role %q, expected serve, load, messages or certificate", role)
	}
	if err != nil {
		log.Fatal(err)
	}
}
