package dial

import "strings"

// Resolve returns the URI that a Location field with ref leads to from u (RFC 3986
// section 5.2). http and https stand for ws and wss, since servers redirect with what
// they know; spaces, which some leave in, are encoded. The userinfo of u is not passed
// on. Errors are those of [ParseURI].
func (u *URI) Resolve(ref string) (*URI, error) {
	ref = strings.ReplaceAll(strings.Trim(ref, " "), " ", "%20")
	scheme, authority, path, query := splitReference(ref)
	baseScheme, rest, _ := strings.Cut(u.Raw, "://")
	switch {
	case scheme != "":
		switch strings.ToLower(scheme) {
		case "http":
			scheme = "ws"
		case "https":
			scheme = "wss"
		}
		if authority == "" { // no URI of these schemes
			return ParseURI(scheme + ":" + path + query)
		}
	case authority != "":
		scheme = baseScheme
	default:
		scheme, authority = baseScheme, rest
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			authority = rest[:i]
		}
		authority = "//" + authority
		basePath, baseQuery := u.Target, ""
		if i := strings.IndexByte(basePath, '?'); i >= 0 {
			basePath, baseQuery = basePath[:i], basePath[i:]
		}
		switch {
		case path == "" && query == "":
			path, query = basePath, baseQuery
		case path == "":
			path = basePath
		case path[0] != '/':
			path = basePath[:strings.LastIndexByte(basePath, '/')+1] + path
		}
	}
	return ParseURI(scheme + ":" + authority + withoutDots(path) + query)
}

// splitReference takes a URI reference apart; authority keeps its slashes, query its
// question mark and, unless the path had it, a fragment.
func splitReference(ref string) (scheme, authority, path, query string) {
	path = ref
	if i := strings.IndexAny(path, ":/?#"); i > 0 && path[i] == ':' && isScheme(path[:i]) {
		scheme, path = path[:i], path[i+1:]
	}
	if strings.HasPrefix(path, "//") {
		end := len(path)
		if i := strings.IndexAny(path[2:], "/?#"); i >= 0 {
			end = i + 2
		}
		authority, path = path[:end], path[end:]
	}
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path, query = path[:i], path[i:]
	}
	return scheme, authority, path, query
}

// withoutDots removes the segments "." and ".." of a path (RFC 3986 section 5.2.4).
func withoutDots(path string) string {
	if path == "" || path[0] != '/' {
		return path
	}
	var kept []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." && len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, s)
		}
	}
	return "/" + strings.Join(kept, "/")
}

// SameOrigin reports whether scheme, host and port are those of other (RFC 6454).
func (u *URI) SameOrigin(other *URI) bool {
	return u.Secure == other.Secure && u.Host == other.Host && u.Port == other.Port
}

// Redact returns s without whatever may be userinfo, safe to print.
func Redact(s string) string { return redact(s) }
