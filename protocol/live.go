package protocol

// The live connection is a WebSocket at LivePath, with the subprotocol
// LiveProtocol. Every frame is text: one JSON object with a field "type".
const (
	LivePath     = "live"       // under Config.Path
	LiveProtocol = "sojourn.v1" // the WebSocket subprotocol

	// LiveHello is what a client sends first, within ten seconds, and again
	// when its tab's id has changed: {"type":"hello","tab":ID,"mark":MARK}.
	LiveHello = "hello"
	// LiveWelcome answers a hello, and tells a tab that it changed the
	// connection itself: {"type":"welcome","user":USER,"mark":MARK}.
	LiveWelcome = "welcome"
	// LiveChanged says that the session this page belongs to is not the
	// browser's any more, and why: {"type":"changed","reason":REASON}. The
	// server closes the connection with CloseChanged after it.
	LiveChanged = "changed"
	// LiveEvent is a message of the application:
	// {"type":"event","event":NAME,"data":ANY}.
	LiveEvent = "event"
	// LiveHeartbeat comes every HeartbeatSeconds: {"type":"heartbeat"}. A
	// client that hears nothing for twice that long reconnects.
	LiveHeartbeat = "heartbeat"

	// HeartbeatSeconds is how often the server sends something.
	HeartbeatSeconds = 25
)

// Reasons in LiveChanged, besides those of sojourn.EndReason.
const (
	ReasonConnected = "connected" // Connect in another tab of the browser
	ReasonChanged   = "changed"   // the page is older than the browser's session
)

// Codes with which a live connection closes, and what a client does then.
// Whatever is not here, and a connection that just breaks (as one does whose
// client does not read what it is sent), means: reconnect, after a random part of a delay that doubles from half a second to thirty.
const (
	// CloseChanged: the connection has changed; LiveChanged said why. Restart.
	CloseChanged = 4000
	// CloseTooMany: the browser or its network has too many live connections.
	// Stay away until the page is loaded again.
	CloseTooMany = 4001
	// CloseProtocol: the client broke the protocol. Stay away.
	CloseProtocol = 4002
	// CloseRestart: the server is going down. Reconnect.
	CloseRestart = 1012
)
