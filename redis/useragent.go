package redis

import "strings"

// User agents are most of what a session's record has in it, and nearly all of
// them consist of the same pieces. Records have a byte from 0x80 for a piece;
// other bytes from 0x80, which none should have, stand after an escape.
//
// Pieces are numbered by their places: new ones come last. Longer ones come
// before those that they begin with.
var pieces = []string{
	" (KHTML, like Gecko) Chrome/",
	" (KHTML, like Gecko) Version/",
	" (KHTML, like Gecko) ",
	".0.0.0 Safari/537.36",
	".0.0.0 Mobile Safari/537.36",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15",
	"Mozilla/5.0 (X11; Linux x86_64",
	"Mozilla/5.0 (X11; Ubuntu; Linux x86_64",
	"Mozilla/5.0 (Linux; Android 10; K)",
	"Mozilla/5.0 (Linux; Android ",
	"Mozilla/5.0 (Android ",
	"Mozilla/5.0 (iPhone; CPU iPhone OS ",
	"Mozilla/5.0 (iPad; CPU OS ",
	"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0",
	"Mozilla/5.0 (",
	") AppleWebKit/537.36",
	") AppleWebKit/605.1.15",
	" AppleWebKit/537.36",
	" like Mac OS X",
	" Mobile/15E148",
	" Safari/604.1",
	" Safari/605.1.15",
	" Safari/537.36",
	" Mobile Safari/537.36",
	" Gecko/20100101 Firefox/",
	"Gecko/",
	" Firefox/",
	" Edg/",
	" EdgA/",
	" EdgiOS/",
	" OPR/",
	" CriOS/",
	" FxiOS/",
	" Chrome/",
	" Version/",
	" SamsungBrowser/",
	" Mobile",
	" Safari/",
	"; Mobile; rv:",
	"; rv:",
	"; wv)",
	".0.0.0",
	"Windows NT ",
	"compatible; ",
	"Android ",
	"Linux",
	"https://",
	"http://",
}

const (
	firstPiece = 0x80
	escape     = 0xff
)

func packUserAgent(p []byte, agent string) []byte {
next:
	for agent != "" {
		for i, piece := range pieces {
			if strings.HasPrefix(agent, piece) {
				p = append(p, byte(firstPiece+i))
				agent = agent[len(piece):]
				continue next
			}
		}
		if agent[0] >= firstPiece {
			p = append(p, escape)
		}
		p = append(p, agent[0])
		agent = agent[1:]
	}
	return p
}

func unpackUserAgent(packed string) (agent string, ok bool) {
	p := make([]byte, 0, 160)
	for i := 0; i < len(packed); i++ {
		switch c := packed[i]; {
		case c < firstPiece:
			p = append(p, c)
		case c == escape:
			i++
			if i == len(packed) {
				return "", false
			}
			p = append(p, packed[i])
		case int(c-firstPiece) < len(pieces):
			p = append(p, pieces[c-firstPiece]...)
		default:
			return "", false
		}
	}
	return string(p), true
}
