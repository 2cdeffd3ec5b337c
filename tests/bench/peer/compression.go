package main

import (
	"net"
	"strconv"
	"sync/atomic"

	"github.com/lxzan/gws"
)

// compression is permessage-deflate as it saves most: context takeover both ways, 32 KiB.
var compression = gws.PermessageDeflate{
	Enabled:               true,
	Threshold:             1,
	ServerContextTakeover: true,
	ClientContextTakeover: true,
	ServerMaxWindowBits:   15,
	ClientMaxWindowBits:   15,
}

// countingListener accepts connections that know how much was read from them.
type countingListener struct {
	net.Listener
}

type countingConn struct {
	net.Conn
	read atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{Conn: conn}, nil
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// compressing echoes every message; the text "bytes" is answered with how many the
// client has sent on this connection.
type compressing struct {
	gws.BuiltinEventHandler
}

func (compressing) OnPing(socket *gws.Conn, payload []byte) {
	_ = socket.WritePong(payload)
}

func (compressing) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	if string(message.Bytes()) == "bytes" {
		read := socket.NetConn().(*countingConn).read.Load()
		_ = socket.WriteString(strconv.FormatInt(read, 10))
		return
	}
	_ = socket.WriteMessage(message.Opcode, message.Bytes())
}
