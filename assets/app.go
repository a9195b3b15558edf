package assets

import (
	"fmt"
	"image/color"
	"image/png"
	"strings"
)

// The program's own icon: a railway switch, one track to the left, the other one, that
// is set, to the right. Units are 64 to the side.
var (
	ground    = color.NRGBA{0x24, 0x2b, 0x35, 0xff}
	idleTrack = color.NRGBA{0x8a, 0x97, 0xa8, 0xff}
	setTrack  = color.NRGBA{0x57, 0xd1, 0x83, 0xff}

	plate = []float64{3, 3, 61, 61, 14} // x0, y0, x1, y1, radius
	idle  = []float64{29, 40, 15, 26, 15, 10, 24, 10, 24, 22, 35, 33}
	set   = []float64{27, 54, 27, 40, 40, 27, 40, 10, 49, 10, 49, 31, 36, 44, 36, 54}
)

func appPixel(x, y float64) (color.NRGBA, bool) {
	switch {
	case polygon(set...)(x, y) <= 0:
		return setTrack, true
	case polygon(idle...)(x, y) <= 0 && polygon(set...)(x, y) > 2.5:
		return idleTrack, true
	case box(plate[0], plate[1], plate[2], plate[3], plate[4])(x, y) <= 0:
		return ground, true
	}
	return color.NRGBA{}, false
}

// App renders the program's icon as a PNG of a size.
func App(pixels int) []byte { return encode(smooth(pixels, appPixel), png.BestCompression) }

// AppICO renders the program's icon for Windows.
func AppICO() []byte {
	sizes := []int{16, 24, 32, 48, 64, 128, 256}
	var pictures [][]byte
	for _, pixels := range sizes {
		pictures = append(pictures, App(pixels))
	}
	return ico(sizes, pictures)
}

// AppSVG is the program's icon as a drawing.
func AppSVG() string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64">
  <rect x="3" y="3" width="58" height="58" rx="14" fill="%s"/>
  <polygon fill="%s" points="%s"/>
  <polygon fill="%s" stroke="%s" stroke-width="5" paint-order="stroke" points="%s"/>
</svg>
`, hex(ground), hex(idleTrack), points(idle), hex(setTrack), hex(ground), points(set))
}

// SymbolicSVG is the icon in one colour, which desktops replace by their own.
func SymbolicSVG() string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="8 6 50 50">
  <polygon fill="#2e3436" fill-opacity=".5" points="%s"/>
  <polygon fill="#2e3436" points="%s"/>
</svg>
`, points(idle), points(set))
}

func hex(c color.NRGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

func points(at []float64) string {
	var all []string
	for i := 0; i < len(at); i += 2 {
		all = append(all, fmt.Sprintf("%g,%g", at[i], at[i+1]))
	}
	return strings.Join(all, " ")
}
