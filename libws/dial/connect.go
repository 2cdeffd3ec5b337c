package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// maxPath is the longest path of a Unix socket: sun_path without its NUL.
const maxPath = 107

// Attempt is an address that did not answer, and why.
type Attempt struct {
	Address string
	Err     error
}

// connect opens the stream to host and port, or where o says instead. Errors are *[Error].
func (o *Options) connect(ctx context.Context, host string, port int) (net.Conn, error) {
	switch {
	case o.Socket != nil:
		if err := ctx.Err(); err != nil {
			return nil, newError(OpConnect, host, port, err)
		}
		return o.Socket, nil
	case o.Path != "":
		return dialPath(ctx, o.Path)
	}
	addresses, err := o.resolve(ctx, host)
	if err != nil {
		return nil, newError(OpResolve, host, port, err)
	}
	var locals []netip.Addr
	if o.LocalHost != "" {
		if locals, err = o.resolve(ctx, o.LocalHost); err != nil {
			return nil, newError(OpResolve, o.LocalHost, o.LocalPort, err)
		}
	}
	c, failed := o.race(ctx, interleave(addresses, o.Interleave), port, locals)
	if c != nil {
		return c, nil
	}
	err = failed[0].Err
	if over(ctx) { // an earlier failure is not why nothing answered
		err = failed[len(failed)-1].Err
	}
	e := newError(OpConnect, host, port, err)
	e.Attempts = failed
	return nil, e
}

func dialPath(ctx context.Context, path string) (net.Conn, error) {
	var err error
	if len(path) > maxPath {
		err = errors.New("path of " + strconv.Itoa(len(path)) + " octets, expected at most " + strconv.Itoa(maxPath))
	} else {
		var c net.Conn
		d := net.Dialer{Control: control}
		if c, err = d.DialContext(ctx, "unix", path); err == nil {
			return c, nil
		}
	}
	e := newError(OpConnect, "", 0, err)
	e.Path = path
	return nil, e
}

// resolve returns the addresses of a name, in the order of RFC 6724, or an address
// itself. There is at least one.
func (o *Options) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	network := "ip"
	if o.Family != 0 {
		network += strconv.Itoa(o.Family)
	}
	found := []netip.Addr{}
	if literal, err := netip.ParseAddr(host); err == nil {
		found = append(found, literal)
	} else if found, err = resolver.LookupNetIP(ctx, network, host); err != nil {
		var unsuitable *net.AddrError
		if !errors.As(err, &unsuitable) {
			return nil, err
		}
	}
	var suitable []netip.Addr
	for _, a := range found {
		if a = a.Unmap(); o.Family == 0 || a.Is4() == (o.Family == 4) {
			suitable = append(suitable, a)
		}
	}
	if suitable == nil {
		return nil, errors.New("no address of IPv" + strconv.Itoa(o.Family))
	}
	return suitable, nil
}

// interleave alternates families behind the first n addresses of the first one
// (RFC 8305 section 4); 0 leaves the order alone.
func interleave(addresses []netip.Addr, n int) []netip.Addr {
	if n == 0 {
		return addresses
	}
	var first, second []netip.Addr
	for _, a := range addresses {
		if a.Is4() == addresses[0].Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	n = min(n, len(first))
	order := append([]netip.Addr(nil), first[:n]...)
	first = first[n:]
	for len(first) > 0 || len(second) > 0 {
		if len(second) > 0 {
			order, second = append(order, second[0]), second[1:]
		}
		if len(first) > 0 {
			order, first = append(order, first[0]), first[1:]
		}
	}
	return order
}

// race tries the addresses one after the other, the next as soon as one failed or, with
// a Delay, has not answered by then (RFC 8305 section 5). It returns the first
// connection, or why each address failed, in order.
func (o *Options) race(ctx context.Context, addresses []netip.Addr, port int, locals []netip.Addr) (net.Conn, []Attempt) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		index int
		conn  net.Conn
		err   error
	}
	results := make(chan result)
	failed := make([]Attempt, len(addresses))
	started, running := 0, 0
	var won net.Conn
	for {
		if won == nil && !over(ctx) && started < len(addresses) || started == 0 {
			index, to := started, netip.AddrPortFrom(addresses[started], uint16(port))
			started++
			running++
			failed[index].Address = to.String()
			go func() {
				c, err := o.dialAddress(ctx, to, locals)
				results <- result{index, c, err}
			}()
		}
		var next <-chan time.Time
		if o.Delay > 0 && won == nil && started < len(addresses) {
			next = time.After(o.Delay)
		}
		select {
		case <-next:
			continue
		case r := <-results:
			running--
			switch {
			case r.err != nil:
				failed[r.index].Err = r.err
			case won == nil:
				won = r.conn
				cancel()
			default:
				r.conn.Close()
			}
		}
		// Who lost is waited for, so that no descriptor outlives the call.
		if running == 0 && (won != nil || started == len(addresses) || over(ctx)) {
			return won, failed[:started]
		}
	}
}

// over reports whether ctx has ended. Sockets know of its deadline a moment before it does.
func over(ctx context.Context) bool {
	if deadline, limited := ctx.Deadline(); limited && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}

func (o *Options) dialAddress(ctx context.Context, to netip.AddrPort, locals []netip.Addr) (net.Conn, error) {
	d := net.Dialer{Control: control}
	if o.LocalPort != 0 {
		d.LocalAddr = &net.TCPAddr{Port: o.LocalPort}
	}
	if locals != nil {
		from := netip.Addr{}
		for _, local := range locals {
			if local.Is4() == to.Addr().Is4() {
				from = local
				break
			}
		}
		if !from.IsValid() {
			return nil, errors.New("no local address of the family of " + to.Addr().String())
		}
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, uint16(o.LocalPort)))
	}
	return d.DialContext(ctx, "tcp", to.String())
}
