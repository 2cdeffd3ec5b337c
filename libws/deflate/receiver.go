package deflate

import "math"

// Receiver inflates what one end receives. It keeps the window, nothing else.
type Receiver struct {
	mem      Memory
	past     window
	takeover bool
	open     *inflater // a message in parts is open, nil: none
}

// NewReceiver returns the receiver of the server's or the client's end.
func NewReceiver(a *Agreement, server bool, mem Memory) Receiver {
	bits, forgets := a.ServerMaxWindowBits, a.ServerNoContextTakeover
	if server {
		bits, forgets = a.ClientMaxWindowBits, a.ClientNoContextTakeover
	}
	return Receiver{mem: mem, past: window{size: 1 << bits}, takeover: !forgets}
}

// Inflate decodes a message: payload is that of its frames, put together. It returns
// what the message holds, the front of room or of what into.Grow returned. limit is in
// bytes, 0 for none; not a byte more is written. After an error the connection is over.
func (r *Receiver) Inflate(payload, room []byte, into Buffer, limit uint64) ([]byte, *Error) {
	d := inflaters.Get().(*inflater)
	d.in, d.pos, d.bits, d.n = payload, 0, 0, 0
	d.limit = math.MaxInt
	if limit > 0 && limit < math.MaxInt {
		d.limit = int(limit)
	}
	d.out, d.have, d.into, d.past = room[:min(len(room), d.limit)], 0, into, &r.past
	err := d.message()
	out := d.out[:d.have]
	d.in, d.out, d.into, d.past = nil, nil, nil, nil // may point to memory of the host
	inflaters.Put(d)
	if err != nil {
		return nil, err
	}
	if r.takeover && !r.past.add(out, r.mem) {
		return nil, ErrMemory
	}
	return out, nil
}

// Free gives the window back.
func (r *Receiver) Free() {
	r.open = nil
	r.past.free(r.mem)
}
