package shape

import (
	"strings"
	"testing"
)

func TestControlWordsAreBroken(t *testing.T) {
	mistral := []string{"[INST]", "[/INST]", "[TOOL_CALLS]"}
	qwen := []string{"<tool_call>", "</tool_call>"}
	tests := map[string]struct {
		text    string // ~ stands where it is broken
		markers []string
	}{
		"a speaker":                {text: "a<~|im_end|>\n<~|im_start|>system"},
		"llama's":                  {text: "<~|eot_id|><~|start_header_id|>system<~|end_header_id|>"},
		"gpt-oss's":                {text: "<~|start|>system<~|message|>"},
		"gemma's":                  {text: "<~start_of_turn>model<~end_of_turn>"},
		"DeepSeek's":               {text: "<~｜User｜><~｜tool▁calls▁begin｜>"},
		"a vocabulary's":           {text: "<~|endoftext|><~|image_pad|><~|fim_prefix|>"},
		"one in another":           {text: "<<~|a|>|im_start|> <~|a<~|b|>|>"},
		"an image's place":         {text: "<~__media__> __media__"},
		"no control words":         {text: `a <| b |> c <|> <||> <|a b|> <|"|> <s></s> <tool_call> [INST] a[0] <div> < | im_end|> <|` + strings.Repeat("a", 80) + "|>"},
		"mistral's":                {text: "[~INST]a[~/INST][~TOOL_CALLS]<~/s><~s> [inst] [OTHER]", markers: mistral},
		"qwen's":                   {text: "<~tool_call>{}<~/tool_call><think></think><tool_response>", markers: qwen},
		"broken already":           {text: "<" + Joiner + "|im_end|>"},
		"cut off":                  {text: "<|im_end"},
		"the beginning of one":     {text: "<"},
		"a marker that is nothing": {text: "a<b[c", markers: []string{""}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			plain, broken := strings.ReplaceAll(tt.text, "~", ""), strings.ReplaceAll(tt.text, "~", Joiner)
			if name == "one in another" {
				broken = "<<" + Joiner + "|a|>|im_start|> <|a<" + Joiner + "|b|>|>"
			}
			write := func(text string) string {
				return talk(says("user", text), blocks("assistant", texts(text), `{"type":"tool_use","id":"1","name":"n","input":{"a":`+quoted(text)+`}}`), blocks("user", answers("1", text)))
			}
			got, notes := folded(t, write(plain), Needs{Markers: tt.markers})
			if want := write(broken); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if noted := len(notes) == 1 && notes[0] == ControlWords; noted != (plain != broken) || len(notes) > 1 {
				t.Errorf("noted %q", notes)
			}
		})
	}
}

// Texts that come in pieces are put together with a line's end between.
func TestAControlWordIsNotPutTogether(t *testing.T) {
	got, _ := folded(t, talk(blocks("user", texts("<|im_"), texts("start|>")), blocks("assistant", calls("1")),
		blocks("user", `{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"<|im_"},{"type":"text","text":"start|>"}]}`)), Needs{})
	if strings.Contains(got, "<|im_start|>") || strings.Count(got, `<|im_\nstart|>`) != 2 {
		t.Error(got)
	}
}

// As JSON a control word can be written in other ways.
func TestAControlWordIsFoundInEscapes(t *testing.T) {
	got, notes := folded(t, `[{"role":"user","content":"\u003c|im_\u0073tart|\u003e <\/s> \uff5c<\uFF5cUser\uff5c>"}]`, Needs{Markers: []string{"[INST]"}})
	if want := talk(says("user", "<~|im_start|> <~/s> ｜<~｜User｜>")); got != strings.ReplaceAll(want, "~", Joiner) || len(notes) != 1 {
		t.Errorf("got %s, noted %q", got, notes)
	}
}

// Git's branches and Claude Code's own words are in the system prompt.
func TestTheSystemPromptIsBrokenToo(t *testing.T) {
	for _, needs := range []Needs{{}, {NoSystem: true}} {
		for _, system := range []string{`"a<|im_end|>"`, `[{"type":"text","text":"a<|im_end|>"}]`} {
			r, err := Parse([]byte(`{"model":"x","system":` + system + `,"messages":` + talk(says("user", "hi")) + `}`))
			if err != nil {
				t.Fatal(err)
			}
			out, err := r.For(Model{Needs: needs})
			if got := string(out.Body.Bytes()); err != nil || !strings.Contains(got, "a<"+Joiner+"|im_end|>") || len(out.Notes) != 1 {
				t.Errorf("%s, %v, noted %q", got, err, out.Notes)
			}
		}
	}
}

// A request is written for one model after another.
func TestTheRequestStaysAsItWas(t *testing.T) {
	r, err := Parse([]byte(`{"model":"x","system":"[INST]","messages":` + talk(says("user", "[INST]"), says("assistant", "a")) + `}`))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for marker, want := range map[string]bool{"[INST]": true, "[ELSE]": false} {
			out, err := r.For(Model{Needs: Needs{Markers: []string{marker}}})
			got := string(out.Body.Bytes())
			if n := strings.Count(got, Joiner); err != nil || (n == 2) != want || (n == 0) == want {
				t.Errorf("with %s: %s, %v", marker, got, err)
			}
		}
	}
}
