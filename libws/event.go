package libws

// EventType says what an Event tells. The values are those of AIOWS_EV_*.
type EventType uint32

const (
	EventOpen     EventType = 1 + iota // the handshake is done
	EventFailed                        // the connection never opened: Code
	EventMessage                       // Kind, Data, Len
	EventPing                          // Data, Len
	EventPong                          // Data, Len
	EventClosing                       // the peer's Close came: Code, Data
	EventClosed                        // the end: Code, CloseSent, Data, Flags
	EventWritable                      // follows CodeAgain or a pending send once
	EventRequest                       // a client asks a Listener: Request
	EventGone                          // it left, or its time ran out, unanswered: Request
	EventLog                           // a line of ConnOptions.LogFrames: Data; Code lines before it were dropped
	EventOutput                        // of an attached connection: Drain has something
	EventInput                         // the same: Feed takes bytes again
	EventSocket                        // the same, with Dial: TakeSocket has the socket
	EventTunnel                        // the same: an https proxy leads to the server from here on
)

// Flags of an Event. The values are those of AIOWS_EVF_*.
const (
	FlagFin   uint16 = 1 << iota // the end of its message
	FlagClean                    // Close frames went both ways
	FlagPeer                     // the peer's Close came before ours was sent
	FlagBlock                    // the payload has a block of its own
)

// Event is one entry of a batch, laid out as aiows_event. Addresses are integers;
// what they point to stays valid until the loop's next Poll.
type Event struct {
	Type      EventType
	Kind      uint16 // EventMessage: Text or Binary
	Flags     uint16
	Conn      uint64 // Conn.Handle; EventRequest, EventGone: Listener.Handle
	UserData  uint64
	Data      uint64 // address of the payload or reason
	Len       uint64
	Time      int64 // monotonic nanoseconds at which the bytes were read
	Code      int32 // a Code or a close code, by Type
	CloseSent uint16
	_         uint16
	Request   uint64 // EventRequest, EventGone: what LoopOptions.RequestHandle returned
}
