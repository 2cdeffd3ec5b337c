package deflate

import (
	"strconv"

	"aiows/libws/handshake"
)

// Agreement is what both ends said about how messages are compressed.
type Agreement struct {
	ServerNoContextTakeover bool
	ClientNoContextTakeover bool
	ServerMaxWindowBits     int // 8 to 15
	ClientMaxWindowBits     int // 8 to 15

	Level, History int // our own affair, see Config; never 0
}

// The rules of RFC 7692 for its parameters. A server that meets one declines the
// offer, a client fails the connection.
var (
	ErrParameter          = &handshake.Rule{Name: "deflate-parameter", Section: "RFC 7692 section 7.1", Text: "parameter of permessage-deflate is not defined"}
	ErrRepeated           = &handshake.Rule{Name: "deflate-repeated", Section: "RFC 7692 section 7.1", Text: "parameter of permessage-deflate stands there twice"}
	ErrValue              = &handshake.Rule{Name: "deflate-value", Section: "RFC 7692 section 7.1", Text: "parameter of permessage-deflate has no valid value"}
	ErrClientWindow       = &handshake.Rule{Name: "deflate-client-window", Section: "RFC 7692 section 7.1.2.2", Text: "client_max_window_bits is missing and required here"}
	ErrNotTwice           = &handshake.Rule{Name: "deflate-twice", Section: "RFC 7692 section 5", Text: "server accepted permessage-deflate more than once"}
	ErrUnknownExtension   = &handshake.Rule{Name: "deflate-unknown-extension", Section: "RFC 6455 section 4.1", Text: "server chose an extension that this client does not know"}
	ErrServerTakeover     = &handshake.Rule{Name: "deflate-server-takeover", Section: "RFC 7692 section 7.1.1.1", Text: "server did not confirm server_no_context_takeover"}
	ErrServerWindowAnswer = &handshake.Rule{Name: "deflate-server-window", Section: "RFC 7692 section 7.1.2.1", Text: "server_max_window_bits of the answer is not within the offer"}
	ErrClientWindowAnswer = &handshake.Rule{Name: "deflate-client-window-answer", Section: "RFC 7692 section 7.1.2.2", Text: "client_max_window_bits of the answer is not within the offer"}
)

// Rules lists every rule of the negotiation once.
var Rules = []*handshake.Rule{
	ErrParameter, ErrRepeated, ErrValue, ErrClientWindow, ErrNotTwice, ErrUnknownExtension,
	ErrServerTakeover, ErrServerWindowAnswer, ErrClientWindowAnswer,
}

func fail(rule *handshake.Rule, detail string) *handshake.Error {
	return &handshake.Error{Rule: rule, Detail: detail}
}

// Offer returns the value of Sec-WebSocket-Extensions that offers configs in order of
// preference; "" for none.
func Offer(configs []Config) string {
	value := ""
	for i := range configs {
		if i > 0 {
			value += ", "
		}
		value += configs[i].parameters().String()
	}
	return value
}

// Offered returns what a client's Sec-WebSocket-Extensions offers, whoever wrote it;
// own gives level and history. What is no valid offer is left out: a server has to
// decline it.
func Offered(value string, own Config) (configs []Config) {
	list, _ := handshake.ParseExtensions(value)
	for _, e := range list {
		if e.Name != Name {
			continue
		}
		if p, err := parse(e.Parameters, true); err == nil {
			configs = append(configs, Config{
				ServerNoContextTakeover: p.serverNoTakeover, ClientNoContextTakeover: p.clientNoTakeover,
				ServerMaxWindowBits: p.serverBits, ClientMaxWindowBits: p.clientBits,
				Level: own.Level, History: own.History,
			})
		}
	}
	return configs
}

// Answer is a server's part (RFC 7692 section 5): it takes the first of the client's
// offers, elements of Sec-WebSocket-Extensions, that one of configs can meet, and
// returns the value for the response. Without one it returns "" and nil.
func Answer(offers []string, configs []Config) (value string, agreed *Agreement) {
	for _, offer := range offers {
		list, _ := handshake.ParseExtensions(offer)
		for _, e := range list {
			if e.Name != Name {
				continue
			}
			p, err := parse(e.Parameters, true)
			if err != nil {
				continue
			}
			for i := range configs {
				if answer, err := configs[i].answer(p); err == nil {
					return answer.String(), configs[i].agreement(answer)
				}
			}
		}
	}
	return "", nil
}

// answer narrows an offer to what c allows.
func (c *Config) answer(offer parameters) (parameters, *handshake.Error) {
	p := offer
	p.serverNoTakeover = p.serverNoTakeover || c.ServerNoContextTakeover
	p.clientNoTakeover = p.clientNoTakeover || c.ClientNoContextTakeover
	p.serverBits = narrower(p.serverBits, c.ServerMaxWindowBits)
	switch {
	case p.clientBits == 0: // the parameter may then not be in the answer
		if c.RequireClientMaxWindowBits {
			return p, fail(ErrClientWindow, "")
		}
	case p.clientBits == AnyWindow:
		p.clientBits = c.ClientMaxWindowBits
	default:
		p.clientBits = narrower(p.clientBits, c.ClientMaxWindowBits)
	}
	return p, nil
}

// narrower is the smaller number of bits; 0 says nothing.
func narrower(a, b int) int {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

// Accept is a client's part: value is the Sec-WebSocket-Extensions of the response,
// configs is what was offered. nil without an error means that nothing was agreed on.
// Errors are [*handshake.Error].
func Accept(value string, configs []Config) (*Agreement, error) {
	list, ok := handshake.ParseExtensions(value)
	if !ok {
		return nil, fail(handshake.ErrExtension, strconv.QuoteToASCII(value))
	}
	var agreed *Agreement
	for _, e := range list {
		if e.Name != Name {
			return nil, fail(ErrUnknownExtension, e.Name)
		}
		if agreed != nil {
			return nil, fail(ErrNotTwice, "")
		}
		p, err := parse(e.Parameters, false)
		if err != nil {
			return nil, err
		}
		if agreed, err = accept(p, configs); err != nil {
			return nil, err
		}
	}
	return agreed, nil
}

// accept finds the offer that was answered. When none fits, the first is what the
// client preferred, and its reason tells most.
func accept(answer parameters, configs []Config) (*Agreement, *handshake.Error) {
	var first *handshake.Error
	for i := range configs {
		p, err := configs[i].accept(answer)
		if err == nil {
			return configs[i].agreement(p), nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = fail(handshake.ErrExtensionAnswer, Name)
	}
	return nil, first
}

// accept checks the answer to an offer of c (RFC 7692 section 7.1).
func (c *Config) accept(answer parameters) (parameters, *handshake.Error) {
	p := answer
	if c.ServerNoContextTakeover && !p.serverNoTakeover {
		return p, fail(ErrServerTakeover, "")
	}
	if limit := c.ServerMaxWindowBits; limit != 0 && (p.serverBits == 0 || p.serverBits > limit) {
		return p, fail(ErrServerWindowAnswer, got(p.serverBits)+", offered "+strconv.Itoa(limit))
	}
	p.clientNoTakeover = p.clientNoTakeover || c.ClientNoContextTakeover
	switch limit := c.ClientMaxWindowBits; {
	case limit == AnyWindow:
	case limit == 0 && p.clientBits != 0:
		return p, fail(ErrClientWindowAnswer, got(p.clientBits)+", not offered")
	case p.clientBits > limit:
		return p, fail(ErrClientWindowAnswer, got(p.clientBits)+", offered "+strconv.Itoa(limit))
	case p.clientBits == 0:
		p.clientBits = limit
	}
	return p, nil
}

func got(bits int) string {
	if bits == 0 {
		return "got none"
	}
	return "got " + strconv.Itoa(bits)
}

// agreement fills in what was not said.
func (c *Config) agreement(p parameters) *Agreement {
	a := &Agreement{
		ServerNoContextTakeover: p.serverNoTakeover, ClientNoContextTakeover: p.clientNoTakeover,
		ServerMaxWindowBits: p.serverBits, ClientMaxWindowBits: p.clientBits,
		Level: c.Level, History: c.History,
	}
	for _, bits := range [...]*int{&a.ServerMaxWindowBits, &a.ClientMaxWindowBits} {
		if *bits == 0 {
			*bits = maxBits
		}
	}
	if a.Level == 0 {
		a.Level = defaultLevel
	}
	if a.History == 0 {
		a.History = DefaultHistory
	}
	return a
}

// parse reads the parameters of an offer, or of an answer.
func parse(list []handshake.Parameter, offer bool) (p parameters, err *handshake.Error) {
	for _, one := range list {
		switch one.Name {
		case "server_no_context_takeover":
			err = setFlag(&p.serverNoTakeover, one)
		case "client_no_context_takeover":
			err = setFlag(&p.clientNoTakeover, one)
		case "server_max_window_bits":
			err = setBits(&p.serverBits, one, false)
		case "client_max_window_bits":
			err = setBits(&p.clientBits, one, offer)
		default:
			err = fail(ErrParameter, one.String())
		}
		if err != nil {
			return parameters{}, err
		}
	}
	return p, nil
}

func setFlag(into *bool, p handshake.Parameter) *handshake.Error {
	switch {
	case p.HasValue:
		return fail(ErrValue, p.String()+", expected none")
	case *into:
		return fail(ErrRepeated, p.Name)
	}
	*into = true
	return nil
}

// setBits takes 8 to 15 without leading zeros, nothing else (RFC 7692 section 7.1.2).
func setBits(into *int, p handshake.Parameter, maybeNone bool) *handshake.Error {
	n := AnyWindow
	if p.HasValue || !maybeNone {
		n = 0
		for i := minBits; i <= maxBits; i++ {
			if p.Value == strconv.Itoa(i) {
				n = i
			}
		}
		if n == 0 {
			return fail(ErrValue, p.String()+", expected 8 to 15")
		}
	}
	if *into != 0 {
		return fail(ErrRepeated, p.Name)
	}
	*into = n
	return nil
}
