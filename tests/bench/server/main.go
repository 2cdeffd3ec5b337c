// Command server is the echo server of the benchmark: github.com/lxzan/gws,
// which is nobody's client here. It prints "listening on ws://HOST:PORT" and ends
// when its standard input does, so that it never outlives the benchmark.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"github.com/lxzan/gws"
)

type echo struct {
	gws.BuiltinEventHandler
}

func (echo) OnPing(socket *gws.Conn, payload []byte) {
	_ = socket.WritePong(payload)
}

func (echo) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	_ = socket.WriteMessage(message.Opcode, message.Bytes())
}

// silent drops what gws would log when a client hangs up.
type silent struct{}

func (silent) Error(...any) {}

func main() {
	log.SetFlags(0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Printf("listening on ws://%s\n", listener.Addr())
	log.Fatal(gws.NewServer(echo{}, &gws.ServerOption{Logger: silent{}}).RunListener(listener))
}
