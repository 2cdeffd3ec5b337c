package main

import (
	"crypto/tls"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/lxzan/gws"
)

// floodWrite is about how much of a flood goes out with one write: the sender must not
// be what a receiver of small messages waits for.
const floodWrite = 64 << 10

type responder struct {
	gws.BuiltinEventHandler
}

func (responder) OnPing(socket *gws.Conn, payload []byte) {
	_ = socket.WritePong(payload)
}

// OnMessage echoes a binary message. A text "COUNT SIZE" asks for a flood.
func (responder) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	if message.Opcode == gws.OpcodeBinary {
		_ = socket.WriteMessage(message.Opcode, message.Bytes())
		return
	}
	var count, size int
	if _, err := fmt.Sscanf(string(message.Bytes()), "%d %d", &count, &size); err != nil {
		_ = socket.WriteClose(1008, []byte(err.Error()))
		return
	}
	flood(socket.NetConn(), count, size)
}

// payload returns the message that all floods and echoes have: 0, 1, 2, ... 255, 0, ...
func payload(size int) []byte {
	message := make([]byte, size)
	for i := range message {
		message[i] = byte(i)
	}
	return message
}

// frame returns an unmasked binary frame (RFC 6455 section 5.2).
func frame(message []byte) []byte {
	header := []byte{0x82}
	switch size := len(message); {
	case size < 126:
		header = append(header, byte(size))
	case size < 1<<16:
		header = binary.BigEndian.AppendUint16(append(header, 126), uint16(size))
	default:
		header = binary.BigEndian.AppendUint64(append(header, 127), uint64(size))
	}
	return append(header, message...)
}

func flood(conn net.Conn, count, size int) {
	one := frame(payload(size))
	many := max(1, floodWrite/len(one))
	batch := make([]byte, 0, many*len(one))
	for range many {
		batch = append(batch, one...)
	}
	for count > 0 {
		now := min(count, many)
		if _, err := conn.Write(batch[:now*len(one)]); err != nil {
			return
		}
		count -= now
	}
}

// silent drops what gws would log when a client hangs up.
type silent struct{}

func (silent) Error(...any) {}

func serve(arguments []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	certificate := flags.String("certificate", "", "directory of cert.pem and key.pem, for wss")
	compress := flags.Bool("compress", false, "echo all, compressed, and count what is received")
	_ = flags.Parse(arguments)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	scheme := "ws"
	address := listener.Addr()
	if *certificate != "" {
		config, err := serverTLS(*certificate)
		if err != nil {
			return err
		}
		scheme, listener = "wss", tls.NewListener(listener, config)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	option := &gws.ServerOption{Logger: silent{}}
	var handler gws.Event = responder{}
	if *compress {
		option.PermessageDeflate = compression
		handler, listener = compressing{}, countingListener{listener}
	}
	fmt.Printf("listening on %s://%s\n", scheme, address)
	return gws.NewServer(handler, option).RunListener(listener)
}
