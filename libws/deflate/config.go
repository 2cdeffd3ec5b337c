package deflate

import (
	"fmt"
	"strconv"
)

const (
	// Name is that of the extension.
	Name = "permessage-deflate"

	// AnyWindow as Config.ClientMaxWindowBits of an offer is the parameter without a
	// value: the client obeys whatever the server chooses (RFC 7692 section 7.1.2.2).
	AnyWindow = -1

	minBits = 8
	maxBits = 15 // of a window when nothing is said

	// DefaultHistory is how much of what was sent primes the compressor. With 1 KiB a
	// message of just that gets 5% longer, whose like is no longer there in full; 4 KiB
	// take nearly twice the time and save nothing (BenchmarkSender).
	DefaultHistory = 1536
	// MaxHistory is the largest window there is.
	MaxHistory = 1 << maxBits
	// defaultLevel makes of 1 KiB of JSON 213 bytes in 12 us, level 2 232 in 9 us, and
	// zlib, with a window of 32 KiB, 215 in 23 us (BenchmarkSender).
	defaultLevel = 5
	maxLevel     = 9
)

// Config is what a client offers or what a server accepts. The zero value asks for
// nothing.
type Config struct {
	// Whoever is named forgets each message before it compresses the next.
	ServerNoContextTakeover bool
	ClientNoContextTakeover bool
	// The base-2 logarithm of an LZ77 window, 8 to 15; 0: not said.
	ServerMaxWindowBits int
	ClientMaxWindowBits int // an offer may say AnyWindow
	// A server declines offers without client_max_window_bits.
	RequireClientMaxWindowBits bool

	Level   int // 1 to 9 for what is sent; 0: the default
	History int // bytes of what was sent that prime the compressor; 0: DefaultHistory
}

// CheckOffer reports what of c a client cannot offer.
func (c *Config) CheckOffer() error {
	if c.RequireClientMaxWindowBits {
		return fmt.Errorf("require_client_max_window_bits is 1, expected 0 for a client")
	}
	return c.check(c.ClientMaxWindowBits == AnyWindow)
}

// CheckAccept reports what of c a server cannot ask for.
func (c *Config) CheckAccept() error {
	if c.RequireClientMaxWindowBits && c.ClientMaxWindowBits == 0 {
		return fmt.Errorf("require_client_max_window_bits is 1 and client_max_window_bits is 0, expected 8 to 15")
	}
	return c.check(false)
}

func (c *Config) check(anyWindow bool) error {
	switch {
	case !isBits(c.ServerMaxWindowBits):
		return fmt.Errorf("server_max_window_bits is %d, expected 8 to 15, or 0", c.ServerMaxWindowBits)
	case !anyWindow && !isBits(c.ClientMaxWindowBits):
		return fmt.Errorf("client_max_window_bits is %d, expected 8 to 15, or 0", c.ClientMaxWindowBits)
	case c.Level < 0 || c.Level > maxLevel:
		return fmt.Errorf("level is %d, expected 0 to %d", c.Level, maxLevel)
	case c.History < 0 || c.History > MaxHistory:
		return fmt.Errorf("history is %d, expected 0 to %d bytes", c.History, MaxHistory)
	}
	return nil
}

func isBits(n int) bool { return n == 0 || n >= minBits && n <= maxBits }

// parameters are those of one extension in a header field.
type parameters struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             int // 0: none; AnyWindow
}

func (c *Config) parameters() parameters {
	return parameters{c.ServerNoContextTakeover, c.ClientNoContextTakeover, c.ServerMaxWindowBits, c.ClientMaxWindowBits}
}

// String is the element of Sec-WebSocket-Extensions.
func (p parameters) String() string {
	s := Name
	if p.serverNoTakeover {
		s += "; server_no_context_takeover"
	}
	if p.clientNoTakeover {
		s += "; client_no_context_takeover"
	}
	if p.serverBits != 0 {
		s += "; server_max_window_bits=" + strconv.Itoa(p.serverBits)
	}
	switch p.clientBits {
	case 0:
	case AnyWindow:
		s += "; client_max_window_bits"
	default:
		s += "; client_max_window_bits=" + strconv.Itoa(p.clientBits)
	}
	return s
}
