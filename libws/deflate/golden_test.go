package deflate

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"aiows/libws/handshake"
)

// negotiation is one of testdata/negotiation.txt; README.md there has the format.
type negotiation struct {
	name string
	keys map[string][]string
}

func (b *negotiation) get(key string) string {
	if values := b.keys[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func negotiations(t *testing.T) (all []negotiation) {
	t.Helper()
	text, err := os.ReadFile("testdata/negotiation.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if name, found := strings.CutPrefix(line, "== "); found {
			all = append(all, negotiation{name, map[string][]string{}})
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, found := strings.Cut(line, ":")
		if !found || !strings.Contains(" to config offer answer agreed error says ", " "+key+" ") {
			t.Fatalf("unknown line %q", line)
		}
		keys := all[len(all)-1].keys
		keys[key] = append(keys[key], strings.TrimSpace(value))
	}
	return all
}

// configs reads the config lines.
func (b *negotiation) configs(t *testing.T) (all []Config) {
	t.Helper()
	for _, text := range b.keys["config"] {
		if text == "-" {
			return nil
		}
		var c Config
		for p := range strings.SplitSeq(text, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			n, err := strconv.Atoi(value)
			switch {
			case name == "":
			case name == "server_no_context_takeover":
				c.ServerNoContextTakeover = true
			case name == "client_no_context_takeover":
				c.ClientNoContextTakeover = true
			case name == "require_client_max_window_bits":
				c.RequireClientMaxWindowBits = true
			case name == "client_max_window_bits" && value == "":
				c.ClientMaxWindowBits = AnyWindow
			case name == "client_max_window_bits" && err == nil:
				c.ClientMaxWindowBits = n
			case name == "server_max_window_bits" && err == nil:
				c.ServerMaxWindowBits = n
			default:
				t.Fatalf("config %q", text)
			}
		}
		all = append(all, c)
	}
	if all == nil {
		return []Config{{}}
	}
	return all
}

func agreementText(a *Agreement) string {
	if a == nil {
		return ""
	}
	text := fmt.Sprint(a.ServerMaxWindowBits, " ", a.ClientMaxWindowBits)
	if a.ServerNoContextTakeover {
		text += " server"
	}
	if a.ClientNoContextTakeover {
		text += " client"
	}
	return text
}

func TestGoldenNegotiations(t *testing.T) {
	for _, b := range negotiations(t) {
		t.Run(b.name, func(t *testing.T) {
			configs := b.configs(t)
			var agreed *Agreement
			rule := ""
			if b.get("to") == "server" {
				var answer string
				answer, agreed = Answer(b.keys["offer"], configs)
				if answer != b.get("answer") {
					t.Errorf("answered %q, expected %q", answer, b.get("answer"))
				}
			} else {
				if offer := Offer(configs); offer != b.get("offer") {
					t.Errorf("offered %q, expected %q", offer, b.get("offer"))
				}
				var err error
				agreed, err = Accept(b.get("answer"), configs)
				if err != nil && !strings.Contains(err.Error(), b.get("says")) {
					t.Errorf("error %v, expected %s", err, b.get("says"))
				}
				var broken *handshake.Rule
				if errors.As(err, &broken) {
					rule = broken.Name
				} else if err != nil {
					t.Errorf("error %v is no rule", err)
				}
			}
			if rule != b.get("error") || agreementText(agreed) != b.get("agreed") {
				t.Errorf("got error %q, agreement %q; expected %q, %q", rule, agreementText(agreed), b.get("error"), b.get("agreed"))
			}
		})
	}
}

// Each rule of a client has a vector; those of a server only make it decline.
func TestGoldenNegotiationsCoverRules(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range negotiations(t) {
		seen[b.get("error")] = true
	}
	for _, rule := range Rules {
		if !seen[rule.Name] && rule != ErrClientWindow {
			t.Errorf("no vector with %s", rule.Name)
		}
	}
}

// full is a Buffer without memory.
type full struct{}

func (full) Grow([]byte) []byte { return nil }

// TestNoRoom: a message that there is no memory for is no fault of the peer's.
func TestNoRoom(t *testing.T) {
	receiver := NewReceiver(new(Config).agreement(parameters{}), false, newHeap())
	if _, err := receiver.Inflate([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00"), make([]byte, 3), full{}, 0); err != ErrMemory {
		t.Errorf("%v, expected %v", err, ErrMemory)
	}
}
