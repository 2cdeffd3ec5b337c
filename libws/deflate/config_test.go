package deflate

import (
	"strings"
	"testing"
)

// TestConfigs: what cannot be offered or accepted is told with its value.
func TestConfigs(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string // part of what a client and a server are told
		server string
	}{
		{Config{}, "", ""},
		{Config{ClientMaxWindowBits: AnyWindow}, "", "client_max_window_bits is -1"},
		{Config{RequireClientMaxWindowBits: true}, "require_client_max_window_bits is 1", "client_max_window_bits is 0"},
		{Config{RequireClientMaxWindowBits: true, ClientMaxWindowBits: 9}, "require_client_max_window_bits is 1", ""},
		{Config{ServerMaxWindowBits: 7}, "server_max_window_bits is 7", "server_max_window_bits is 7"},
		{Config{ServerMaxWindowBits: AnyWindow}, "server_max_window_bits is -1", "server_max_window_bits is -1"},
		{Config{ClientMaxWindowBits: 16}, "client_max_window_bits is 16", "client_max_window_bits is 16"},
		{Config{Level: 10}, "level is 10", "level is 10"},
		{Config{Level: -1}, "level is -1", "level is -1"},
		{Config{History: 32769}, "history is 32769", "history is 32769"},
		{Config{History: -1}, "history is -1", "history is -1"},
		{Config{ServerMaxWindowBits: 8, ClientMaxWindowBits: 15, Level: 9, History: 32768}, "", ""},
	} {
		for i, err := range []error{c.config.CheckOffer(), c.config.CheckAccept()} {
			want := []string{c.want, c.server}[i]
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, expected %q", c.config, err, want)
			}
		}
	}
}
