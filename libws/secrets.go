package libws

import "strings"

const hidden = "***"

// secretWords stand in names of header fields and of parameters of a query whose values
// are not for logs and error texts.
var secretWords = []string{"auth", "cookie", "credential", "key", "passw", "secret", "session", "signature", "token"}

// isSecret reports whether a name is one of a secret.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	if strings.HasPrefix(name, "sec-websocket-") {
		return false
	}
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// fieldShown returns the value of a field without what is secret.
func fieldShown(name, value string) string {
	if isSecret(name) {
		return hidden
	}
	return withoutSecrets(value)
}

// withoutSecrets hides what is secret in the URIs in text: user and password, and parameters
// of a query whose names say so.
func withoutSecrets(text string) string { return withoutParameters(withoutUser(text)) }

func withoutUser(text string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "://")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("://")
		end := strings.IndexAny(after, "/?# ")
		if end < 0 {
			end = len(after)
		}
		if at := strings.LastIndexByte(after[:end], '@'); at >= 0 {
			b.WriteString(hidden)
			after = after[at:]
		}
		text = after
	}
}

func withoutParameters(text string) string {
	var b strings.Builder
	for {
		at := strings.IndexAny(text, "?&")
		if at < 0 {
			return b.String() + text
		}
		b.WriteString(text[:at+1])
		text = text[at+1:]
		end := strings.IndexAny(text, "?&# \t\"")
		if end < 0 {
			end = len(text)
		}
		name, _, found := strings.Cut(text[:end], "=")
		if found && isSecret(name) {
			b.WriteString(name + "=" + hidden)
			text = text[end:]
		}
	}
}
