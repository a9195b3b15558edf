package gpu

import "testing"

func TestApple(t *testing.T) {
	const gib = 1 << 30
	for _, tt := range []struct {
		name                    string
		total, wired, available int64
		limit, free             int64
	}{
		{"36 GB, the system's limit", 36 * gib, 0, 20 * gib, 36 * gib / 100 * 72, 20 * gib},
		{"much is free", 36 * gib, 0, 35 * gib, 36 * gib / 100 * 72, 36 * gib / 100 * 72},
		{"a limit set by hand", 36 * gib, 32 << 10, 33 * gib, 32 * gib, 32 * gib},
		{"an absurd limit", 36 * gib, 1 << 30, 33 * gib, 36 * gib, 33 * gib},
		{"nothing known of what is free", 36 * gib, 0, -1, 36 * gib / 100 * 72, -1},
	} {
		if d := apple(tt.total, tt.wired, tt.available); d.Total != tt.limit || d.Free != tt.free || !d.Unified {
			t.Errorf("%s: %+v", tt.name, d)
		}
	}
}
