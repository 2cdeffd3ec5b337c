package libws

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// open makes the listening socket that the options describe.
func (ln *Listener) open() error {
	o := &ln.opts
	if o.HasSocket {
		return ln.inherit()
	}
	addr, err := listenAddress(o.Host)
	if err != nil {
		return err
	}
	if err := ln.bind(addr); err != nil {
		return systemError("listen on "+net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), err)
	}
	return nil
}

// inherit listens on a duplicate of the host's socket, which the host keeps.
func (ln *Listener) inherit() error {
	what := fmt.Sprintf("listen on descriptor %d", ln.opts.Socket)
	kind, err := unix.GetsockoptInt(ln.opts.Socket, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return systemError(what, err) // no descriptor, or not of a socket
	}
	bound, err := unix.Getsockname(ln.opts.Socket)
	switch bound.(type) {
	case *unix.SockaddrInet4, *unix.SockaddrInet6, *unix.SockaddrUnix:
	default:
		kind = 0
	}
	if err != nil || kind != unix.SOCK_STREAM {
		return argument("%s: not a stream socket of IPv4, IPv6 or Unix", what)
	}
	if peer, err := unix.Getpeername(ln.opts.Socket); err == nil {
		return argument("%s: it is connected to %s, expected a socket that is only bound", what, addressText(peer))
	}
	fd, err := unix.FcntlInt(uintptr(ln.opts.Socket), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return systemError(what, os.NewSyscallError("fcntl", err))
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return systemError(what, os.NewSyscallError("fcntl", err))
	}
	if err := ln.listen(fd); err != nil {
		_ = unix.Close(fd)
		return systemError(what, err)
	}
	return nil
}

// bind makes a socket and listens. Without an address it takes IPv4 and IPv6.
func (ln *Listener) bind(addr netip.Addr) error {
	const kind = unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	family, any := unix.AF_INET6, !addr.IsValid()
	if addr.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, kind, 0)
	if err == unix.EAFNOSUPPORT && any {
		addr, family, any = netip.IPv4Unspecified(), unix.AF_INET, false
		fd, err = unix.Socket(family, kind, 0)
	}
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := ln.name(fd, family, addr, any); err != nil {
		_ = unix.Close(fd)
		return err
	}
	if err := ln.listen(fd); err != nil {
		_ = unix.Close(fd)
		return err
	}
	return nil
}

// name binds fd to addr.
func (ln *Listener) name(fd, family int, addr netip.Addr, any bool) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if ln.opts.ReusePort {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	var sa unix.Sockaddr
	if family == unix.AF_INET {
		sa = &unix.SockaddrInet4{Port: ln.opts.Port, Addr: addr.As4()}
	} else {
		only := 1
		six := &unix.SockaddrInet6{Port: ln.opts.Port}
		if any {
			only = 0
		} else {
			six.Addr = addr.As16()
			six.ZoneId = zoneIndex(addr.Zone())
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		sa = six
	}
	return os.NewSyscallError("bind", unix.Bind(fd, sa))
}

// listen starts to listen on fd, which it takes over unless it fails.
func (ln *Listener) listen(fd int) error {
	if err := unix.Listen(fd, ln.opts.Backlog); err != nil {
		return os.NewSyscallError("listen", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	switch bound.(type) {
	case *unix.SockaddrUnix:
		ln.unix = true
	default:
		ln.port = int(addrPort(bound).Port())
	}
	track(fd)
	ln.fd = fd
	return nil
}

// listenAddress resolves host; the zero Addr stands for every address.
func listenAddress(host string) (netip.Addr, error) {
	if host == "" {
		return netip.Addr{}, nil
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap(), nil
	}
	ip, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return netip.Addr{}, &Error{Code: CodeResolve, Text: err.Error()}
	}
	addr, _ := netip.AddrFromSlice(ip.IP)
	return addr.Unmap().WithZone(ip.Zone), nil
}

func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// addressText is "192.0.2.1:80", "[2001:db8::1]:80", or the path of a Unix socket,
// which is empty for most clients and begins with @ in the abstract namespace.
func addressText(sa unix.Sockaddr) string {
	if u, ok := sa.(*unix.SockaddrUnix); ok {
		if u.Name == "@" { // as x/sys calls one without a name
			return ""
		}
		return u.Name
	}
	return addrPort(sa).String()
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
