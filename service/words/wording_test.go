package words

import "testing"

func TestWording(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Tokens(0), ""}, {Tokens(65536), "64K"}, {Tokens(100_000), "100000"}, {Tokens(262144), "256K"},
		{Size(0), ""}, {Size(512), "512.0 B"}, {Size(236800), "231.2 KiB"}, {Size(17 << 30), "17.0 GiB"}, {Size(5000 << 40), "5000.0 TiB"},
		{Count(0, "session", "sessions"), "0 sessions"}, {Count(1, "session", "sessions"), "1 session"}, {Count(2, "session", "sessions"), "2 sessions"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
