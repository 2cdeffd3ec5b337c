package dial

import (
	"strconv"
	"strings"
)

// EnvironmentProxy returns the URL of the proxy that environment, a list of
// NAME=value as of [os.Environ], names for u; "" is none.
//
// The rules are those of Python's urllib and of what the websockets package makes of
// them: for wss the first of wss_proxy, socks_proxy and https_proxy, for ws that of
// ws_proxy, socks_proxy, https_proxy and http_proxy, in lower case before upper case;
// an empty one in lower case takes the other away. no_proxy lists hosts, each with
// everything below it and optionally a port; "*" is every host.
func EnvironmentProxy(u *URI, environment []string) string {
	proxies := readEnvironment(environment)
	if bypassed(proxies["no"], u) {
		return ""
	}
	schemes := []string{"ws", "socks", "https", "http"}
	if u.Secure {
		schemes = []string{"wss", "socks", "https"}
	}
	for _, scheme := range schemes {
		url := proxies[scheme]
		if url == "" {
			continue
		}
		// Systems that list a SOCKS proxy beside others give it this scheme.
		if rest, ok := strings.CutPrefix(url, "http://"); ok && scheme == "socks" {
			return "socks5h://" + rest
		}
		return url
	}
	return ""
}

// readEnvironment returns the values of NAME_proxy by NAME in lower case.
func readEnvironment(environment []string) map[string]string {
	const suffix = "_proxy"
	proxies := map[string]string{}
	cgi := false
	each := func(f func(name, value string)) {
		for _, line := range environment {
			name, value, _ := strings.Cut(line, "=")
			cgi = cgi || name == "REQUEST_METHOD"
			if n := len(name) - len(suffix); n >= 0 && strings.EqualFold(name[n:], suffix) {
				f(name, value)
			}
		}
	}
	key := func(name string) string { return strings.ToLower(name[:len(name)-len(suffix)]) }
	each(func(name, value string) {
		if value != "" {
			proxies[key(name)] = value
		}
	})
	if cgi { // HTTP_PROXY may be the field "Proxy" of a request then (CVE-2016-1000110)
		delete(proxies, "http")
	}
	each(func(name, value string) {
		switch {
		case !strings.HasSuffix(name, suffix):
		case value != "":
			proxies[key(name)] = value
		default:
			delete(proxies, key(name))
		}
	})
	return proxies
}

// bypassed reports whether the list no names u.
func bypassed(no string, u *URI) bool {
	if no == "*" {
		return true
	}
	host := u.Host
	withPort := host + ":" + strconv.Itoa(u.Port)
	for name := range strings.SplitSeq(no, ",") {
		name = strings.ToLower(strings.TrimLeft(strings.TrimSpace(name), "."))
		if name == "" {
			continue
		}
		if host == name || withPort == name || strings.HasSuffix(host, "."+name) || strings.HasSuffix(withPort, "."+name) {
			return true
		}
	}
	return false
}
