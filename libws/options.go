package libws

import (
	"math"
	"os"
	"time"

	"aiows/libws/deflate"
	"aiows/libws/dial"
	"aiows/libws/handshake"
)

// Kinds of message, with the values of AIOWS_TEXT and AIOWS_BINARY.
const (
	Text   = 1
	Binary = 2
)

// SendFlags refine a send, with the values of AIOWS_COMPRESS and so on.
type SendFlags uint32

const (
	SendCompress   SendFlags = 1 << iota // CodeUnsupported unless compression was negotiated
	SendNoCompress                       // send this message as it is; not with SendCompress
	SendTry                              // CodeBusy rather than wait for another writer
	SendForce                            // queue whatever is pending
)

// LoopOptions configure a Loop.
type LoopOptions struct {
	// Allocator provides arenas and blocks; nil means the Go heap.
	Allocator Allocator
	// RequestHandle names a Request in EventRequest. Called from Poll with the
	// loop locked; it must not call the loop. nil: requests are numbered 0.
	RequestHandle func(*Request) uint64
	// Log receives one line per noteworthy event; nil: none. It must not block.
	Log func(level LogLevel, text string)
	// Logs tells whether Log does anything with lines of a level; nil: it does.
	Logs func(level LogLevel) bool
	// NoWatchdog leaves everything to Poll: while the host does not call it, pings
	// wait and backlogs stay.
	NoWatchdog bool
}

// LogLevel orders log lines, with the values of AIOWS_LOG_*.
type LogLevel int32

const (
	LogError LogLevel = 1 + iota
	LogInfo
	LogDebug
)

// ConnOptions hold for connections of both roles. A zero duration switches its
// timer off, a zero size its limit; DefaultConnOptions has the usual values.
type ConnOptions struct {
	AutoPong       bool
	AutoClose      bool
	CloseTimeout   time.Duration
	PingInterval   time.Duration
	PingTimeout    time.Duration
	MaxMessageSize uint64
	MaxFragments   uint32
	// MaxFragmentSize is the limit of a frame's payload, and of the text that a compressed
	// one stands for when it is told alone.
	MaxFragmentSize uint64
	// Stream is what Conn.Stream would be called with first.
	Stream    bool
	WriteHigh uint64
	WriteLow  uint64
	ReadAhead uint64 // bytes, while the connection is paused or the host does not poll
	// LogFrames tells each frame, and the heads of the handshake, as EventLog: one line,
	// payloads shortened, credentials and cookies left out.
	LogFrames bool
	// Compression turns permessage-deflate on (RFC 7692), if the peer agrees. Deflate
	// is what a client offers, in order of preference, or a server accepts; nil: one
	// Config that asks for nothing.
	Compression bool
	Deflate     []deflate.Config
}

// DefaultConnOptions returns what a connection uses unless told otherwise.
func DefaultConnOptions() ConnOptions {
	return ConnOptions{
		AutoPong:       true,
		AutoClose:      true,
		CloseTimeout:   10 * time.Second,
		PingInterval:   20 * time.Second,
		PingTimeout:    20 * time.Second,
		MaxMessageSize: 1 << 20,
		WriteHigh:      64 << 10,
		WriteLow:       16 << 10,
		ReadAhead:      1 << 20,
	}
}

// consistent returns o with a low mark that a backlog at the high mark has to sink
// to: WRITABLE would come at once otherwise, and the next send be refused again. A
// message limit above what a length field can say is none.
func (o ConnOptions) consistent() ConnOptions {
	o.WriteLow = min(o.WriteLow, o.WriteHigh)
	o.MaxMessageSize = min(o.MaxMessageSize, math.MaxInt64)
	o.MaxFragmentSize = min(o.MaxFragmentSize, math.MaxInt64/2) // tellBegun goes as far below 0
	return o
}

// ConnectOptions describe a client connection.
type ConnectOptions struct {
	URI          string
	Host         string // connect to this host instead of the URI's
	Port         int    // connect to this port instead of the URI's
	TLS          *dial.TLS
	ServerName   string
	OpenTimeout  time.Duration // 0: none
	Origin       string        // "": no Origin field
	UserAgent    string        // "": no User-Agent field
	Subprotocols []string
	Headers      handshake.Header
	RawLines     []string // the whole request; the fields above must be unset
	Conn         ConnOptions

	HasSocket    bool // use a duplicate of Socket, which is connected
	Socket       int
	UnixPath     string // connect to this Unix socket; @ first for an abstract one
	LocalAddress string // bind to this name or address first
	LocalPort    int
	Family       int // 4 or 6; 0: any
	// Interleave and HappyEyeballsDelay are RFC 8305's: how many addresses of the first
	// family come before families alternate, 0 for the resolver's order; and when the
	// next address is tried beside one that does not answer, 0 for when it failed.
	Interleave          int
	HappyEyeballsDelay  time.Duration
	TLSHandshakeTimeout time.Duration // 0: none but OpenTimeout
	TLSShutdownTimeout  time.Duration // for the end of TLS after the Close frames; 0: none but CloseTimeout
	MaxRedirects        int
	Dial                bool // Attach only: connect, and give the host the socket before TLS

	// Proxy is the URL of one, or "env": what ProxyEnvironment, a list of NAME=value,
	// names for the URI; nil is the environment that the process started with.
	Proxy            string
	ProxyEnvironment []string
	// For https proxies; the shutdown is that of a ws URI, whose TLS ends there.
	ProxyTLS                 *dial.TLS
	ProxyServerName          string
	ProxyTLSHandshakeTimeout time.Duration // 0: none but OpenTimeout
	ProxyTLSShutdownTimeout  time.Duration // 0: none but CloseTimeout
}

// proxyFor returns the way to uri, nil for the direct one.
func (o *ConnectOptions) proxyFor(uri *dial.URI) (*dial.Proxy, *Error) {
	url := o.Proxy
	given := o.HasSocket || o.UnixPath != ""
	secure := o.ProxyTLS != nil || o.ProxyServerName != ""
	switch {
	case url == "" && secure:
		return nil, argument("TLS options of a proxy without one, expected its URL or env")
	case url != "env" && o.ProxyEnvironment != nil:
		return nil, argument("an environment for a proxy that is not env")
	case url != "" && url != "env" && given:
		return nil, argument("a proxy together with a socket or a Unix path, expected one of them")
	case given:
		return nil, nil
	case url == "env":
		environment := o.ProxyEnvironment
		if environment == nil {
			environment = os.Environ()
		}
		url = dial.EnvironmentProxy(uri, environment)
	}
	if url == "" {
		return nil, nil
	}
	p, err := dial.ParseProxy(url)
	if err != nil {
		return nil, argument("%s", err)
	}
	if secure && p.Scheme != "https" && o.Proxy != "env" {
		return nil, argument("TLS options for proxy %s, expected an https proxy", p.Raw)
	}
	return p, nil
}

// ListenOptions describe a Listener.
type ListenOptions struct {
	Host          string // "": every address
	Port          int    // 0: the system chooses
	HasSocket     bool   // listen on a duplicate of Socket, which is bound, and on nothing else
	Socket        int
	Backlog       int // 0: 1024
	ReusePort     bool
	MaxHandshakes int // 0: 1024
	TLS           *dial.TLS
	OpenTimeout   time.Duration // 0: none
	ServerName    string        // the Server field; "": none
	AnyRequest    bool          // ask about requests that are no upgrade, too
}

// AcceptOptions describe the answer to a Request.
type AcceptOptions struct {
	Subprotocol string
	Headers     handshake.Header
	Conn        ConnOptions
}
