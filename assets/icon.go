// Package assets draws Switchyard's icons. They are data: a shape for the route,
// a badge for what is going on. Shape comes first and colour second, so that
// they can be told apart at 16 pixels, in light and dark panels and without
// seeing colours.
package assets

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"math"
)

// Glyph is an icon's main shape: one per route.
type Glyph int

const (
	Cloud   Glyph = iota // a cloud
	Chip                 // a processor with its pins: local
	Airport              // an airplane: offline
)

// Badge is the small mark in the lower right corner.
type Badge int

const (
	NoBadge Badge = iota
	Busy          // three dots
	Warning       // a triangle
	Error         // a cross
)

// Gauge is a bar at the left edge that says how full the GPU's memory is, in
// quarters: 1 to 4. With 0 there is none.
type Gauge int

// FullGauge is a gauge that is full.
const FullGauge Gauge = 4

// size is what panels scale down from. Pixels are opaque or empty: the tray
// library spoils translucent ones.
const size = 64

// outline is how far the dark edge reaches around a shape, in pixels. It keeps
// a bright shape readable on a bright panel.
const outline = 3.2

var (
	edge  = color.NRGBA{0x1c, 0x21, 0x28, 0xff}
	fills = map[Glyph]color.NRGBA{
		Cloud:   {0xf2, 0xf6, 0xfb, 0xff},
		Chip:    {0x57, 0xd1, 0x83, 0xff},
		Airport: {0xff, 0xc2, 0x4b, 0xff},
	}
	badges = map[Badge]color.NRGBA{
		Busy:    {0x6c, 0xb6, 0xff, 0xff},
		Warning: {0xff, 0xd8, 0x3d, 0xff},
		Error:   {0xff, 0x6b, 0x61, 0xff},
	}
)

// A shape tells how far a point is outside of it, in pixels; inside it is zero or less.
type shape func(x, y float64) float64

func circle(cx, cy, r float64) shape {
	return func(x, y float64) float64 { return math.Hypot(x-cx, y-cy) - r }
}

func box(x0, y0, x1, y1, round float64) shape {
	cx, cy, w, h := (x0+x1)/2, (y0+y1)/2, (x1-x0)/2-round, (y1-y0)/2-round
	return func(x, y float64) float64 {
		dx, dy := math.Abs(x-cx)-w, math.Abs(y-cy)-h
		return math.Hypot(max(dx, 0), max(dy, 0)) + min(max(dx, dy), 0) - round
	}
}

func union(shapes ...shape) shape {
	return func(x, y float64) float64 {
		nearest := math.Inf(1)
		for _, s := range shapes {
			nearest = min(nearest, s(x, y))
		}
		return nearest
	}
}

func without(a, b shape) shape {
	return func(x, y float64) float64 { return max(a(x, y), -b(x, y)) }
}

// polygon takes corners as x, y, x, y …
func polygon(at ...float64) shape {
	n := len(at) / 2
	return func(x, y float64) float64 {
		nearest, inside := math.Inf(1), false
		for i := range n {
			j := (i + n - 1) % n
			ax, ay, bx, by := at[2*i], at[2*i+1], at[2*j], at[2*j+1]
			ex, ey := bx-ax, by-ay
			t := min(1, max(0, ((x-ax)*ex+(y-ay)*ey)/(ex*ex+ey*ey)))
			nearest = min(nearest, math.Hypot(x-ax-t*ex, y-ay-t*ey))
			if (ay > y) != (by > y) && x < (bx-ax)*(y-ay)/(by-ay)+ax {
				inside = !inside
			}
		}
		if inside {
			return -nearest
		}
		return nearest
	}
}

var glyphs = map[Glyph]shape{
	Cloud: union(circle(20, 38, 14), circle(34, 26, 16), circle(48, 38, 12), box(18, 34, 50, 52, 4)),
	Chip: without(union(
		box(14, 14, 50, 50, 5),
		box(20, 5, 26, 59, 2), box(38, 5, 44, 59, 2),
		box(5, 20, 59, 26, 2), box(5, 38, 59, 44, 2),
	), box(24, 24, 40, 40, 2)),
	Airport: polygon(
		32, 4, 37, 10, 37, 24, 60, 38, 60, 44, 37, 38, 36, 50, 45, 56, 45, 60,
		32, 57, 19, 60, 19, 56, 28, 50, 27, 38, 4, 44, 4, 38, 27, 24, 27, 10),
}

var marks = map[Badge]shape{
	Busy:    union(circle(38, 54, 5), circle(49, 54, 5), circle(60, 54, 5)),
	Warning: polygon(48, 32, 63, 61, 33, 61),
	Error: union(polygon(37, 41, 42, 36, 62, 56, 57, 61),
		polygon(57, 36, 62, 41, 42, 61, 37, 56)),
}

// gauge is the place of the bar; it is filled from below.
var (
	gauge     = box(4, 6, 12, 58, 3)
	gaugeFill = color.NRGBA{0xf2, 0xf6, 0xfb, 0xff}
)

const gaugeTop, gaugeBottom = 6, 58

// drawGauge tells the colour of a pixel of the bar, or that it is none.
func drawGauge(level Gauge, x, y float64) (c color.NRGBA, gap, ok bool) {
	if level <= 0 {
		return c, false, false
	}
	switch d := gauge(x, y); {
	case d <= 0 && y >= gaugeBottom-float64(level)/float64(FullGauge)*(gaugeBottom-gaugeTop):
		return gaugeFill, false, true
	case d <= outline:
		return edge, false, true
	case d <= 1.6*outline:
		return c, true, false
	}
	return c, false, false
}

// pixel is the colour of a point, and whether there is one.
func pixel(g Glyph, b Badge, level Gauge, x, y float64) (color.NRGBA, bool) {
	if mark := marks[b]; mark != nil {
		switch d := mark(x, y); {
		case d <= 0:
			return badges[b], true
		case d <= outline:
			return edge, true
		case d <= 1.6*outline: // a gap, so that the badge does not melt into the shape
			return color.NRGBA{}, false
		}
	}
	if c, gap, ok := drawGauge(level, x, y); ok || gap {
		return c, ok
	}
	switch d := glyphs[g](x, y); {
	case d <= 0:
		return fills[g], true
	case d <= outline:
		return edge, true
	}
	return color.NRGBA{}, false
}

// draw renders an icon at 64 × 64 pixels.
func draw(g Glyph, b Badge, level Gauge) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	for py := range size {
		for px := range size {
			if c, ok := pixel(g, b, level, float64(px)+0.5, float64(py)+0.5); ok {
				img.SetNRGBA(px, py, c)
			}
		}
	}
	return img
}

// smooth renders a picture of 64 × 64 units at another size, with soft edges.
func smooth(pixels int, at func(x, y float64) (color.NRGBA, bool)) *image.NRGBA {
	const samples = 4 // in each direction
	img := image.NewNRGBA(image.Rect(0, 0, pixels, pixels))
	step := float64(size) / float64(pixels) / samples
	for py := range pixels {
		for px := range pixels {
			var r, g, b, a int
			for sy := range samples {
				for sx := range samples {
					c, ok := at((float64(px*samples+sx)+0.5)*step, (float64(py*samples+sy)+0.5)*step)
					if !ok {
						continue
					}
					alpha := int(c.A)
					r, g, b, a = r+int(c.R)*alpha, g+int(c.G)*alpha, b+int(c.B)*alpha, a+alpha
				}
			}
			if a > 0 {
				img.SetNRGBA(px, py, color.NRGBA{uint8(r / a), uint8(g / a), uint8(b / a), uint8(a / (samples * samples))})
			}
		}
	}
	return img
}

// encode writes a PNG. A picture in memory has no way to fail.
func encode(img image.Image, level png.CompressionLevel) []byte {
	var out bytes.Buffer
	_ = (&png.Encoder{CompressionLevel: level}).Encode(&out, img)
	return out.Bytes()
}

// PNG renders an icon at 64 × 64 pixels, each one opaque or empty.
func PNG(g Glyph, b Badge, level Gauge) []byte { return encode(draw(g, b, level), png.BestSpeed) }

// Template renders an icon as macOS wants it for its menu bar: black, with its shape in
// the alpha channel. macOS colours it for light and dark bars.
func Template(g Glyph, b Badge, level Gauge) []byte {
	const pixels = 36 // 18 points at twice the density
	return encode(smooth(pixels, func(x, y float64) (color.NRGBA, bool) {
		c, ok := pixel(g, b, level, x, y)
		return color.NRGBA{A: 0xff}, ok && c != edge
	}), png.BestSpeed)
}

// icoSizes are those that Windows shows in its notification area, at 100 to 300 %.
var icoSizes = []int{16, 20, 24, 32, 48}

// ICO renders an icon as Windows wants it: PNGs of several sizes behind a directory.
func ICO(g Glyph, b Badge, level Gauge) []byte {
	var pictures [][]byte
	for _, pixels := range icoSizes {
		pictures = append(pictures, encode(smooth(pixels, func(x, y float64) (color.NRGBA, bool) { return pixel(g, b, level, x, y) }), png.BestSpeed))
	}
	return ico(icoSizes, pictures)
}

func ico(sizes []int, pictures [][]byte) []byte {
	const header, entry = 6, 16
	out := []byte{0, 0, 1, 0, byte(len(sizes)), 0}
	offset := header + entry*len(sizes)
	for i, pixels := range sizes {
		out = append(out, byte(pixels), byte(pixels), 0, 0, 1, 0, 32, 0) // 256 is written as 0
		out = binary.LittleEndian.AppendUint32(out, uint32(len(pictures[i])))
		out = binary.LittleEndian.AppendUint32(out, uint32(offset))
		offset += len(pictures[i])
	}
	for _, picture := range pictures {
		out = append(out, picture...)
	}
	return out
}
