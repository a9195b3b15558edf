package shape

import (
	"slices"
	"strings"
	"testing"
)

// written is a request without its fixed beginning, and its notes.
func written(t *testing.T, rest string, needs Needs) (string, []Note) {
	t.Helper()
	r, err := Parse([]byte(`{"model":"x","messages":[]` + rest + `}`))
	if err != nil {
		t.Fatalf("%v in %s", err, rest)
	}
	shaped, err := r.For(Model{Tag: "m", Needs: needs})
	if err != nil {
		return "error: " + err.Error(), nil
	}
	out, begins := strings.CutPrefix(string(shaped.Body.Bytes()), `{"model":"m","messages":[]`)
	if !begins {
		t.Fatalf("%s begins otherwise", out)
	}
	return strings.TrimSuffix(out, "}"), shaped.Notes
}

func TestParametersAreThoseOfTheEngine(t *testing.T) {
	const (
		a      = `{"name":"a","description":"d","input_schema":{"type":"object","properties":{"x":{"type":"string"}}}}`
		b      = `{"name":"b","input_schema":{"type":"object","properties":{}}}`
		search = `{"type":"web_search_20250305","name":"web_search"}`
		absent = `"The tool web_search runs on Anthropic's servers and cannot be used here. Where it would be needed, say so: do not make up what it would return."`
		form   = `{"type":"json_schema","schema":{"type":"object"}}`
		asked  = `Your final answer must be one JSON value that fits this schema, without a code fence and without any other words:\n{\"type\":\"object\"}`
	)
	tests := map[string]struct {
		in, want string
		needs    Needs
		notes    []Note
	}{
		"nothing":        {``, ``, Needs{}, nil},
		"for the engine": {`,"seed":7,"temperature":2.5`, `,"seed":7,"temperature":2.5`, Needs{}, nil},

		"thinking":                 {`,"thinking":{"type":"enabled","budget_tokens":1024}`, `,"thinking":{"type":"enabled","budget_tokens":1024}`, Needs{Thinks: true}, nil},
		"thinking as it likes":     {`,"thinking":{"type":"adaptive"}`, `,"thinking":{"type":"adaptive"}`, Needs{Thinks: true}, nil},
		"no thinking":              {`,"thinking":{"type":"disabled"}`, `,"thinking":{"type":"disabled"},"chat_template_kwargs":{"enable_thinking":false}`, Needs{}, nil},
		"no thinking, by variable": {`,"thinking":{"type":"disabled"}`, `,"thinking":{"type":"disabled"},"chat_template_kwargs":{"enable_thinking":false,"thinking":false}`, Needs{Thinking: true}, nil},
		"no thinking, by effort":   {`,"thinking":{"type":"disabled"}`, `,"thinking":{"type":"disabled"},"chat_template_kwargs":{"enable_thinking":false,"reasoning_effort":"low"}`, Needs{Efforts: true}, nil},
		"beside the client's":      {`,"chat_template_kwargs":{"x":1},"thinking":{"type":"disabled"}`, `,"chat_template_kwargs":{"x":1,"enable_thinking":false},"thinking":{"type":"disabled"}`, Needs{}, nil},
		"the client's own":         {`,"chat_template_kwargs":{"enable_thinking":true},"thinking":{"type":"disabled"}`, `,"chat_template_kwargs":{"enable_thinking":true},"thinking":{"type":"disabled"}`, Needs{}, nil},
		"in place of null":         {`,"chat_template_kwargs":null,"thinking":{"type":"disabled"}`, `,"chat_template_kwargs":{"enable_thinking":false},"thinking":{"type":"disabled"}`, Needs{}, nil},
		"beside what is none":      {`,"chat_template_kwargs":"x","thinking":{"type":"disabled"}`, `,"chat_template_kwargs":"x","thinking":{"type":"disabled"}`, Needs{}, nil},
		"thinking that is none":    {`,"thinking":"disabled"`, `,"thinking":"disabled"`, Needs{}, nil},

		"effort":                {`,"output_config":{"effort":"medium"}`, `,"output_config":{"effort":"medium"},"chat_template_kwargs":{"reasoning_effort":"medium"}`, Needs{Efforts: true}, nil},
		"all effort":            {`,"output_config":{"effort":"max"}`, `,"output_config":{"effort":"max"},"chat_template_kwargs":{"reasoning_effort":"high"}`, Needs{Efforts: true}, nil},
		"effort nobody reads":   {`,"output_config":{"effort":"max"}`, `,"output_config":{"effort":"max"}`, Needs{Thinks: true}, nil},
		"effort of another day": {`,"output_config":{"effort":"extra"}`, `,"output_config":{"effort":"extra"}`, Needs{Efforts: true}, nil},

		"tokens without end":   {`,"max_tokens":9999999999,"thinking":{"type":"enabled","budget_tokens":3e9}`, `,"max_tokens":2147483647,"thinking":{"type":"enabled","budget_tokens":2147483647}`, Needs{}, nil},
		"tokens that are none": {`,"max_tokens":null`, `,"max_tokens":null`, Needs{}, nil},

		"tools":                 {`,"tools":[` + a + `,` + b + `]`, `,"tools":[` + a + `,` + b + `]`, Needs{}, nil},
		"no tools":              {`,"tools":[]`, ``, Needs{}, nil},
		"tools that are none":   {`,"tools":null`, ``, Needs{}, nil},
		"a tool that is none":   {`,"tools":[null]`, `error: tools: number 0 is no object`, Needs{}, nil},
		"a tool without name":   {`,"tools":[{},` + b + `]`, `,"tools":[` + b + `]`, Needs{}, nil},
		"a tool twice":          {`,"tools":[` + a + `,` + b + `,{"name":"a"}]`, `,"tools":[` + a + `,` + b + `]`, Needs{}, nil},
		"tools twice":           {`,"tools":[` + a + `],"tools":null`, ``, Needs{}, nil},
		"a mark of the cache":   {`,"tools":[{"name":"b","cache_control":{"type":"ephemeral"},"input_schema":{"type":"object","properties":{}}}]`, `,"tools":[` + b + `]`, Needs{}, nil},
		"no description":        {`,"tools":[{"name":"b","description":null,"input_schema":{"type":"object","properties":{}}}]`, `,"tools":[` + b + `]`, Needs{}, nil},
		"no schema":             {`,"tools":[{"name":"c"}]`, `,"tools":[{"name":"c","input_schema":{"type":"object","properties":{},"additionalProperties":true}}]`, Needs{}, nil},
		"a schema that is none": {`,"tools":[{"name":"c","type":"custom","input_schema":true}]`, `,"tools":[{"name":"c","type":"custom","input_schema":{"type":"object","properties":{},"additionalProperties":true}}]`, Needs{}, nil},
		"an odd name":           {`,"tools":[{"name":"x\"y","input_schema":{"type":"object","properties":{}}}]`, `,"tools":[{"name":"x\"y","input_schema":{"type":"object","properties":{}}}]`, Needs{}, nil},
		"nothing to loosen":     {`,"tools":[` + a + `]`, `,"tools":[` + a + `]`, Needs{LooseSchemas: true}, nil},
		"loosened": {`,"tools":[{"name":"c","input_schema":{"type":"object","properties":{"x":{"type":"string","pattern":"^a$"}}}}]`,
			`,"tools":[{"name":"c","input_schema":{"type":"object","properties":{"x":{"type":"string"}}}}]`, Needs{LooseSchemas: true}, []Note{SchemaLoosened}},
		"a template without tools": {`,"tools":[` + a + `],"tool_choice":{"type":"any"}`, ``, Needs{NoTools: true}, nil},

		"of Anthropic's servers": {`,"tools":[` + search + `]`, `,"system":` + absent, Needs{}, []Note{ServerTool}},
		"two of them": {`,"tools":[` + search + `,{"type":"web_fetch_20250910","name":"web_fetch"}],"system":"p"`,
			`,"system":"p\n\nThe tools web_search, web_fetch run on Anthropic's servers and cannot be used here. Where they would be needed, say so: do not make up what they would return."`, Needs{}, []Note{ServerTool}},
		"the one that finds tools": {`,"tools":[{"type":"tool_search_tool_regex_20251119","name":"tool_search_tool_regex"},` + b + `]`, `,"tools":[` + b + `]`, Needs{}, []Note{ServerTool}},
		"a server of its own":      {`,"tools":[{"type":"mcp_toolset","mcp_server_name":"s"},` + b + `]`, `,"tools":[` + b + `]`, Needs{}, []Note{ServerTool}},

		"any":                         {`,"tools":[` + a + `],"tool_choice":{"type":"any"}`, `,"tools":[` + a + `],"tool_choice":{"type":"any"}`, Needs{}, nil},
		"any of none":                 {`,"tool_choice":{"type":"any"}`, ``, Needs{}, nil},
		"one call":                    {`,"tools":[` + a + `],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`, `,"tools":[` + a + `],"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`, Needs{}, nil},
		"none":                        {`,"tools":[` + a + `],"tool_choice":{"type":"none"}`, ``, Needs{}, nil},
		"none, as others write it":    {`,"tools":[` + a + `],"tool_choice":"none"`, `,"tools":[` + a + `],"tool_choice":"none"`, Needs{}, nil},
		"this one":                    {`,"tools":[` + a + `,` + b + `],"tool_choice":{"type":"tool","name":"b"}`, `,"tools":[` + b + `],"tool_choice":{"type":"any"}`, Needs{}, nil},
		"one that is not there":       {`,"tools":[` + a + `],"tool_choice":{"type":"tool","name":"z"}`, `error: tool_choice: it names "z", which is none of the request's tools`, Needs{}, nil},
		"one of Anthropic's servers":  {`,"tools":[` + a + `,` + search + `],"tool_choice":{"type":"tool","name":"web_search"}`, `,"system":` + absent, Needs{}, []Note{ServerTool}},
		"any, and none can be called": {`,"tools":[` + search + `],"tool_choice":{"type":"any"}`, `,"system":` + absent, Needs{}, []Note{ServerTool}},

		"a form":                {`,"output_config":{"format":` + form + `,"effort":"low"}`, `,"output_config":{"effort":"low"},"system":"` + asked + `"`, Needs{}, []Note{FormatAsked}},
		"a form, as it was":     {`,"system":"p","output_format":` + form, `,"system":"p\n\n` + asked + `"`, Needs{}, []Note{FormatAsked}},
		"a form, after a list":  {`,"system":[{"type":"text","text":"p"}],"output_format":` + form, `,"system":"p\n\n` + asked + `"`, Needs{}, []Note{FormatAsked}},
		"a form, and a search":  {`,"tools":[` + search + `],"output_format":` + form, `,"system":` + strings.TrimSuffix(absent, `"`) + `\n\n` + asked + `"`, Needs{}, []Note{FormatAsked, ServerTool}},
		"a form of another day": {`,"output_format":{"type":"poem"}`, ``, Needs{}, nil},
		"no form":               {`,"output_format":null,"output_config":{"format":null}`, `,"output_config":{}`, Needs{}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, notes := written(t, tt.in, tt.needs)
			if got != tt.want || !slices.Equal(notes, tt.notes) {
				t.Errorf("got  %s %q\nwant %s %q", got, notes, tt.want, tt.notes)
			}
			if strings.HasPrefix(got, "error") {
				return
			}
			if again, _ := written(t, got, tt.needs); again != got {
				t.Errorf("the second time it is %s", again)
			}
		})
	}
}

// A request is written once more after a lesson.
func TestWritingARequestDoesNotChangeIt(t *testing.T) {
	const rest = `,"tools":[{"name":"c","input_schema":{"type":"object","properties":{"x":{"type":"String","pattern":"^a$"}}}},{"type":"web_search_20250305","name":"web_search"}],"tool_choice":{"type":"auto"},"thinking":{"type":"disabled"},"output_format":{"type":"json_schema","schema":{}}`
	r, err := Parse([]byte(`{"model":"x","messages":[]` + rest + `}`))
	if err != nil {
		t.Fatal(err)
	}
	write := func(needs Needs) string {
		shaped, err := r.For(Model{Tag: "m", Needs: needs})
		if err != nil {
			t.Fatal(err)
		}
		return string(shaped.Body.Bytes())
	}
	before, loose := write(Needs{}), write(Needs{LooseSchemas: true})
	if after := write(Needs{}); after != before || loose == before || strings.Contains(loose, "pattern") {
		t.Errorf("before %s\nloose  %s\nafter  %s", before, loose, after)
	}
}

func TestToolsThatClaudeKnowsAreDescribed(t *testing.T) {
	for kind, want := range map[string][]string{
		"bash_20250124":        {"command", "restart"},
		"text_editor_20241022": {"undo_edit", "file_text", "insert_line"},
		"text_editor_20250728": {"str_replace", "insert_text", "view_range"},
		"memory_20250818":      {"rename", "old_path"},
		"computer_20251124":    {"left_click", "The screen is 1024 pixels wide and 768 high."},
	} {
		got, notes := written(t, `,"tools":[{"type":"`+kind+`","name":"t","display_width_px":1024,"display_height_px":768,"cache_control":{}}]`, Needs{})
		if !strings.HasPrefix(got, `,"tools":[{"name":"t","description":"`) || len(notes) > 0 {
			t.Errorf("%s: %s %q", kind, got, notes)
		}
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: no %s in %s", kind, w, got)
			}
		}
		if again, _ := written(t, got, Needs{LooseSchemas: true}); again != got {
			t.Errorf("%s: it is not a plain tool: %s", kind, again)
		}
	}
}
