package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/flate"
)

// tail is what ends a compressed message and is not sent (RFC 7692 section 7.2.1).
var tail = []byte{0, 0, 0xff, 0xff}

// exchanger opens connections that all send the same compressed messages, made once:
// 2,000 compressors of gws would take 2 GiB and most of the time.
type exchanger struct {
	address string
	clients []*plainConn
	first   bytes.Buffer // what the first one received compressed
}

type plainConn struct {
	net.Conn
	*bufio.Reader
}

func (c *plainConn) Read(b []byte) (int, error) { return c.Reader.Read(b) }

// each runs do for numbers below count, atOnce at a time, and times each.
func each(count, atOnce int, do func(i int) error) (summary, error) {
	times := make([]time.Duration, count)
	var next atomic.Int64
	var failure atomic.Value
	var wait sync.WaitGroup
	began := time.Now()
	for range min(atOnce, count) {
		wait.Go(func() {
			for failure.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= count {
					return
				}
				started := time.Now()
				if err := do(i); err != nil {
					failure.Store(fmt.Errorf("connection %d: %w", i+1, err))
					return
				}
				times[i] = time.Since(started)
			}
		})
	}
	wait.Wait()
	if err, ok := failure.Load().(error); ok {
		return summary{}, err
	}
	return summary{count, time.Since(began).Seconds(), percentiles(times)}, nil
}

func (e *exchanger) open(count, atOnce int) (summary, error) {
	opened := make([]*plainConn, count)
	found, err := each(count, atOnce, func(i int) (err error) {
		opened[i], err = e.dial()
		return err
	})
	e.clients = append(e.clients, opened...)
	return found, err
}

func (e *exchanger) dial() (*plainConn, error) {
	conn, err := net.Dial("tcp", e.address)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", e.address)
	c := &plainConn{conn, bufio.NewReaderSize(conn, 8<<10)}
	answer, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		return nil, err
	}
	agreed := answer.Header.Get("Sec-WebSocket-Extensions")
	if answer.StatusCode != http.StatusSwitchingProtocols || !strings.Contains(agreed, "permessage-deflate") ||
		strings.Contains(agreed, "client_no_context_takeover") {
		return nil, fmt.Errorf("status %s, extensions %q", answer.Status, agreed)
	}
	return c, nil
}

// echo has every connection exchange count messages of about size bytes.
func (e *exchanger) echo(count, size int) (summary, error) {
	made := newTicks(uint64(len(e.clients)))
	var texts, packed bytes.Buffer
	writer, err := flate.NewWriter(&packed, 6)
	if err != nil {
		return summary{}, err
	}
	frames := make([][]byte, count)
	for i := range frames {
		text := made.append(nil, size)
		texts.Write(text)
		packed.Reset()
		_, _ = writer.Write(text)
		_ = writer.Flush()
		payload := bytes.TrimSuffix(packed.Bytes(), tail)
		if len(payload) < 126 || len(payload) >= 1<<16 {
			return summary{}, fmt.Errorf("payload of %d bytes, expected 126 to 65535", len(payload))
		}
		// FIN, RSV1, text; masked with zeros (RFC 6455 section 5.2).
		head := binary.BigEndian.AppendUint16([]byte{0xc1, 0x80 | 126}, uint16(len(payload)))
		frames[i] = append(append(head, 0, 0, 0, 0), payload...)
	}
	found, err := each(len(e.clients), 64, func(i int) error {
		into := io.Discard
		if i == 0 {
			into = &e.first
		}
		for _, frame := range frames {
			if _, err := e.clients[i].Write(frame); err != nil {
				return err
			}
			if err := e.clients[i].message(into); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return summary{}, err
	}
	plain, _ := io.ReadAll(flate.NewReader(bytes.NewReader(e.first.Bytes())))
	if !bytes.HasSuffix(plain, texts.Bytes()) {
		return summary{}, errors.New("what comes back differs from what was sent")
	}
	found.Count *= count
	return found, nil
}

// message reads a compressed message and adds it to a stream.
func (c *plainConn) message(into io.Writer) error {
	var head [10]byte
	for last := false; !last; {
		if _, err := io.ReadFull(c, head[:2]); err != nil {
			return err
		}
		size := uint64(head[1])
		switch size {
		case 126:
			if _, err := io.ReadFull(c, head[2:4]); err != nil {
				return err
			}
			size = uint64(binary.BigEndian.Uint16(head[2:]))
		case 127:
			if _, err := io.ReadFull(c, head[2:]); err != nil {
				return err
			}
			size = binary.BigEndian.Uint64(head[2:])
		}
		switch opcode := head[0] & 0xf; {
		case opcode == 8:
			return errors.New("the server closed the connection")
		case opcode > 8: // its pings; nothing here lasts that long
			_, err := io.CopyN(io.Discard, c, int64(size))
			if err != nil {
				return err
			}
			continue
		case opcode != 0 && head[0]&0x40 == 0:
			return errors.New("a message came that is not compressed")
		}
		if _, err := io.CopyN(into, c, int64(size)); err != nil {
			return err
		}
		last = head[0]&0x80 != 0
	}
	_, err := into.Write(tail)
	return err
}

func newExchanger(uri string) (*exchanger, error) {
	parsed, err := url.Parse(uri)
	if err != nil {
		return nil, err
	}
	return &exchanger{address: parsed.Host}, nil
}
