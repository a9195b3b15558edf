package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// ReadKeys returns the text and 32-bit number values of a model that Write wrote, as text.
func ReadKeys(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &reader{r: bufio.NewReader(f)}
	if magic := r.bytes(4); string(magic) != "GGUF" {
		return nil, fmt.Errorf("%s is no GGUF file", path)
	}
	r.uint32()
	r.uint64()
	keys := map[string]string{}
	for n := r.uint64(); n > 0 && r.err == nil; n-- {
		key := r.string()
		switch kind := r.uint32(); kind {
		case typeString:
			keys[key] = r.string()
		case typeUint32:
			keys[key] = fmt.Sprint(r.uint32())
		case typeFloat32:
			r.uint32()
		case typeBool:
			r.bytes(1)
		case typeArray:
			element, length := r.uint32(), r.uint64()
			for ; length > 0 && r.err == nil; length-- {
				if element == typeString {
					r.string()
				} else {
					r.uint32()
				}
			}
		default:
			return nil, fmt.Errorf("%s: a value of type %d, which this reader does not know", path, kind)
		}
	}
	return keys, r.err
}

type reader struct {
	r   io.Reader
	err error
}

func (r *reader) bytes(n uint64) []byte {
	if n > 1<<20 && r.err == nil {
		r.err = errors.New("a value longer than 1 MiB")
	}
	if r.err != nil {
		return nil
	}
	b := make([]byte, n)
	_, r.err = io.ReadFull(r.r, b)
	return b
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); len(b) == 4 {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); len(b) == 8 {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) string() string { return string(r.bytes(r.uint64())) }
