package redis

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sojourn-go/sojourn"
	"pgregory.net/rapid"
)

func TestARecordKeepsASession(t *testing.T) {
	t.Parallel()
	someTime := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.UnixMilli(rapid.Int64Range(-1e12, 4e13).Draw(t, "ms")).UTC()
	})
	agent := rapid.OneOf(
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.SampledFrom(append([]string{"131", "\x80", "\xff", " ", "Mozilla"}, pieces...))), func(list []string) (all string) {
			for _, s := range list {
				all += s
			}
			return all
		}),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(p []byte) string { return string(p) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		want := sojourn.StoredSession{
			ID:        sojourn.SessionID(rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_-]{21}[AQgw]`), rapid.StringN(-1, -1, 238)).Draw(t, "id")),
			User:      sojourn.UserID(rapid.String().Draw(t, "user")),
			OpenedAt:  someTime.Draw(t, "opened"),
			LastSeen:  someTime.Draw(t, "seen"),
			ExpiresAt: someTime.Draw(t, "expires"),
			Deadline:  someTime.Draw(t, "deadline"),
			UserAgent: agent.Draw(t, "agent"),
			RemoteAddr: rapid.SampledFrom([]netip.Addr{
				{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::ffff:192.0.2.1"),
			}).Draw(t, "addr"),
		}
		copy(want.Key[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		copy(want.Browser[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "browser"))
		record, err := encodeSession(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeSession(want.Key, string(record))
		if err != nil || got != want {
			t.Fatalf("a record of\n\t%+v\nis read as\n\t%+v, %v", want, got, err)
		}
	})
}

func TestADamagedRecordIsAnErrorAndNeverAPanic(t *testing.T) {
	t.Parallel()
	record, err := encodeSession(sojourn.StoredSession{User: "ada", UserAgent: "a\xff", RemoteAddr: netip.MustParseAddr("192.0.2.1")})
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(record) - 3 { // what is left of the user agent would do
		if s, err := decodeSession(sojourn.Key{}, string(record[:n])); err == nil {
			t.Errorf("the first %d bytes of a record are read as %+v", n, s)
		}
	}
	record[0]++
	if s, err := decodeSession(sojourn.Key{}, string(record)); err == nil {
		t.Errorf("a record of a newer version is read as %+v", s)
	}
}

func FuzzRecord(f *testing.F) {
	record, err := encodeSession(sojourn.StoredSession{User: "ada", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(record))
	f.Add(string(encodeBrowser(sojourn.StoredBrowser{Hierarchy: "browser"})))
	f.Fuzz(func(t *testing.T, record string) {
		decodeBrowser(sojourn.Key{}, record)
		s, err := decodeSession(sojourn.Key{}, record)
		if err != nil {
			return
		}
		again, err := encodeSession(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeSession(sojourn.Key{}, string(again)); err != nil || got != s {
			t.Fatalf("%+v is read again as %+v, %v", s, got, err)
		}
	})
}
