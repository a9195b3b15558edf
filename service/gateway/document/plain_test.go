package document

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

func TestPlain(t *testing.T) {
	const bad = "\uFFFD"
	tests := map[string]struct{ in, want string }{
		"nothing to do":              {`{"a":"b\n\"c\" ä 😀 \\/"}`, `{"a":"b\n\"c\" ä 😀 \\/"}`},
		"colours of a terminal":      {`"\u001b[1m"`, `"\u001b[1m"`},
		"the first half of an emoji": {`"x\ud83d"`, `"x` + bad + `"`},
		"the second half":            {`"x\uDC4D y"`, `"x` + bad + ` y"`},
		"swapped":                    {`"\udc4d\ud83d"`, `"` + bad + bad + `"`},
		"a whole one":                {`"\ud83d\uDC4D"`, `"👍"`},
		"half and whole":             {`"\ud83d\ud83d\udc4d"`, `"` + bad + `👍"`},
		"half before another escape": {`"\ud83d\n\ud83d\u0041"`, `"` + bad + `\n` + bad + `A"`},
		"in a name":                  {`{"k\ud83d":1}`, `{"k` + bad + `":1}`},
		"a backslash before a u":     {`"\\ud83d \u00e4"`, `"\\ud83d ä"`},
		"quotes and backslashes":     {`"\u0022\u005C\u00e4"`, `"\u0022\u005Cä"`},
		"bytes that are no UTF-8":    {"{\"\xff\":\"a\xe2\x81\"}", `{"` + bad + `":"a` + bad + bad + `"}`},
		"half of one in UTF-8":       {"\"\xed\xa0\xbd\"", `"` + bad + bad + bad + `"`},
		"a control word":             {`"\u003c|im_\u0065nd|>"`, `"<|im_end|>"`},
		"a slash":                    {`"<\/s>[\/INST]"`, `"</s>[/INST]"`},
		"cut off":                    {`"\u00e4\ud8`, `"ä\ud8`},
		"a backslash at the end":     {"\"\xff\\", `"` + bad + `\`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Plain([]byte(tt.in)); string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	in := []byte(tests["nothing to do"].in)
	if out := Plain(in); &out[0] != &in[0] {
		t.Error("what is in order was copied")
	}
}

// What a document says stays the same, and what follows it changes nothing before.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{`{"a":["\ud83d\ude00\u00e4\n"]}`, "\"\\ud83d\xff\"", `"<\/s>\\\u005c"`} {
		f.Add([]byte(s), []byte(`\udc4d`))
	}
	f.Fuzz(func(t *testing.T, in, more []byte) {
		out := Plain(in)
		if !utf8.Valid(out) {
			t.Errorf("no UTF-8: %q of %q", out, in)
		}
		if twice := Plain(out); !bytes.Equal(twice, out) {
			t.Errorf("not the same the second time: %q, %q", out, twice)
		}
		var before, after any
		if json.Unmarshal(in, &before) != nil {
			return
		}
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("%v: %q of %q", err, out, in)
		}
		a, _ := json.Marshal(before)
		b, _ := json.Marshal(after)
		if !bytes.Equal(a, b) {
			t.Errorf("%q says %s, it said %s", out, b, a)
		}
		long := append(append([]byte(`[`), in...), append([]byte(`,"`), more...)...)
		if !bytes.HasPrefix(Plain(long), append([]byte(`[`), out...)) {
			t.Errorf("%q begins otherwise than %q", Plain(long), out)
		}
	})
}
