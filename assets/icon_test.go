package assets

import (
	"bytes"
	"fmt"
	"image/png"
	"testing"
)

func TestIconsAreOpaqueOrEmptyAndAllDifferent(t *testing.T) {
	seen := map[string]string{}
	for g := Cloud; g <= Airport; g++ {
		for i := range (int(Error) + 1) * (int(FullGauge) + 1) {
			b, level := Badge(i%(int(Error)+1)), Gauge(i/(int(Error)+1))
			name := fmt.Sprint(g, "/", b, "/", level)
			data := PNG(g, b, level)
			img, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			filled := 0
			for y := range size {
				for x := range size {
					_, _, _, a := img.At(x, y).RGBA()
					if a != 0 && a != 0xffff {
						t.Fatalf("%s: pixel %d,%d is translucent", name, x, y)
					}
					if a != 0 {
						filled++
					}
				}
			}
			if filled < size*size/5 {
				t.Errorf("%s: only %d pixels are filled: not readable at 16 pixels", name, filled)
			}
			if other, dup := seen[string(data)]; dup {
				t.Errorf("%s looks like %s", name, other)
			}
			seen[string(data)] = name
		}
	}
}

// Without colours the routes must differ at 16 pixels: compare the shapes alone.
func TestRoutesDifferByShapeAtSixteenPixels(t *testing.T) {
	small := func(g Glyph) (out [16][16]bool) {
		img := draw(g, NoBadge, 0)
		for y := range 16 {
			for x := range 16 {
				out[y][x] = img.NRGBAAt(4*x+2, 4*y+2) == fills[g]
			}
		}
		return out
	}
	for a := Cloud; a <= Airport; a++ {
		for b := a + 1; b <= Airport; b++ {
			x, y, differ := small(a), small(b), 0
			for i := range 16 {
				for j := range 16 {
					if x[i][j] != y[i][j] {
						differ++
					}
				}
			}
			if differ < 40 {
				t.Errorf("glyphs %d and %d differ in %d of 256 pixels only", a, b, differ)
			}
		}
	}
}

// The bar's length alone tells the quarters, at 16 pixels.
func TestTheGaugeIsReadAtSixteenPixels(t *testing.T) {
	before := 0
	for level := Gauge(1); level <= FullGauge; level++ {
		img, filled := draw(Chip, NoBadge, level), 0
		for y := range 16 {
			if img.NRGBAAt(8, 4*y+2) == gaugeFill {
				filled++
			}
		}
		if filled < before+2 {
			t.Errorf("quarter %d is %d pixels long, the previous one %d", level, filled, before)
		}
		before = filled
	}
}

func BenchmarkPNG(b *testing.B) {
	for b.Loop() {
		PNG(Chip, Warning, 2)
	}
}
