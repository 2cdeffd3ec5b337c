package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lxzan/gws"
)

// client is one connection to the server under test. Its channel gets one value when
// the echoes that it was told to exchange are done.
type client struct {
	gws.BuiltinEventHandler
	socket  *gws.Conn
	message []byte
	left    int
	sent    time.Time
	times   []time.Duration
	done    chan error
}

func (c *client) send() error {
	c.sent = time.Now()
	return c.socket.WriteMessage(gws.OpcodeBinary, c.message)
}

func (c *client) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	c.times = append(c.times, time.Since(c.sent))
	c.left--
	if c.left == 0 && !bytes.Equal(message.Bytes(), c.message) {
		c.done <- fmt.Errorf("an echo of %d bytes differs from what was sent", message.Data.Len())
	} else if c.left == 0 {
		c.done <- nil
	} else if err := c.send(); err != nil {
		c.done <- err
	}
}

func (c *client) OnClose(_ *gws.Conn, err error) {
	c.done <- fmt.Errorf("the server closed a connection: %w", err)
}

// begin has the connection exchange count messages of size bytes.
func (c *client) begin(count, size int) error {
	if len(c.message) != size {
		c.message = payload(size)
	}
	c.left = count
	c.times = make([]time.Duration, 0, count)
	return c.send()
}

// summary is what one command reports.
type summary struct {
	Count   int                `json:"count"`
	Seconds float64            `json:"seconds"`
	Latency map[string]float64 `json:"latency_us"`
}

type generator struct {
	option  gws.ClientOption
	clients []*client
}

// open opens count more connections, so many at a time.
func (g *generator) open(count, atOnce int) (summary, error) {
	opened := make([]*client, count)
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
				option := g.option
				// One value for the echoes, one for the end.
				c := &client{done: make(chan error, 2)}
				socket, _, err := gws.NewClient(c, &option)
				if err != nil {
					failure.Store(fmt.Errorf("connection %d: %w", i+1, err))
					return
				}
				times[i] = time.Since(started)
				c.socket = socket
				opened[i] = c
			}
		})
	}
	wait.Wait()
	took := time.Since(began)
	if err, ok := failure.Load().(error); ok {
		return summary{}, err
	}
	for _, c := range opened {
		go c.socket.ReadLoop()
	}
	g.clients = append(g.clients, opened...)
	return summary{count, took.Seconds(), percentiles(times)}, nil
}

// echo has every connection exchange count messages of size bytes.
func (g *generator) echo(count, size int) (summary, error) {
	began := time.Now()
	for _, c := range g.clients {
		if err := c.begin(count, size); err != nil {
			return summary{}, err
		}
	}
	for _, c := range g.clients {
		if err := <-c.done; err != nil {
			return summary{}, err
		}
	}
	took := time.Since(began)
	var times []time.Duration
	for _, c := range g.clients {
		times = append(times, c.times...)
	}
	return summary{len(times), took.Seconds(), percentiles(times)}, nil
}

// load obeys lines on standard input, "open COUNT AT_ONCE" and "echo COUNT SIZE", and
// answers each with a line of JSON.
func load(arguments []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	certificate := flags.String("certificate", "", "directory of the cert.pem to trust")
	compress := flags.Bool("compress", false, "distinct messages, compressed")
	_ = flags.Parse(arguments)
	if flags.NArg() != 1 {
		return fmt.Errorf("usage: peer load [-certificate DIR] [-compress] URI")
	}
	if *compress {
		e, err := newExchanger(flags.Arg(0))
		if err != nil {
			return err
		}
		return obey(e.open, e.echo)
	}
	g := &generator{option: gws.ClientOption{
		Addr: flags.Arg(0), HandshakeTimeout: time.Minute, Logger: silent{},
	}}
	if *certificate != "" {
		config, err := clientTLS(*certificate)
		if err != nil {
			return err
		}
		g.option.TlsConfig = config
	}
	return obey(g.open, g.echo)
}

// obey runs the commands on standard input.
func obey(open, echo func(first, second int) (summary, error)) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var verb string
		var first, second int
		if _, err := fmt.Sscanf(lines.Text(), "%s %d %d", &verb, &first, &second); err != nil {
			return fmt.Errorf("command %q: %w", lines.Text(), err)
		}
		var found summary
		var err error
		switch verb {
		case "open":
			found, err = open(first, second)
		case "echo":
			found, err = echo(first, second)
		default:
			err = fmt.Errorf("command %q, expected open or echo", lines.Text())
		}
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
			return err
		}
	}
	return lines.Err()
}
