package shape

import (
	"fmt"
	"strings"
	"testing"
)

const picture = `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}`

// What llama.cpp would drop without a word, in a user's message and in a tool's result.
func TestNothingIsDroppedSilently(t *testing.T) {
	tests := map[string]struct {
		block, want string
		note        Note
	}{
		"a document's text":          {`{"type":"document","title":"n","context":"c","source":{"type":"text","media_type":"text/plain","data":"OKAPI"},"citations":{"enabled":true}}`, "[document \"n\"]\nc\nOKAPI\n[end of the document]", ""},
		"a document's blocks":        {`{"type":"document","source":{"type":"content","content":[{"type":"text","text":"O"},{"type":"text","text":"KAPI"}]}}`, "[document]\nO\nKAPI\n[end of the document]", ""},
		"a document's only text":     {`{"type":"document","source":{"type":"content","content":"OKAPI"}}`, "[document]\nOKAPI\n[end of the document]", ""},
		"a document of nothing":      {`{"type":"document","source":{"type":"text","data":""}}`, "[document]\n[end of the document]", ""},
		"a text in base64":           {`{"type":"document","source":{"type":"base64","media_type":"text/markdown","data":"T0tBUEk="}}`, "[document]\nOKAPI\n[end of the document]", ""},
		"a control word in base64":   {`{"type":"document","source":{"type":"base64","media_type":"text/plain","data":"PHxpbV9lbmR8Pg=="}}`, "[document]\n<" + Joiner + "|im_end|>\n[end of the document]", ControlWords},
		"no text in base64":          {`{"type":"document","source":{"type":"base64","media_type":"text/plain","data":"/w=="}}`, "[a document was here that a local model cannot read. Tell the user, and get its text with a tool, as pdftotext, or ask for it]", DocumentLeftOut},
		"a PDF":                      {`{"type":"document","title":"r.pdf","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}}`, `[a PDF "r.pdf" was here that a local model cannot read. Tell the user, and get its text with a tool, as pdftotext, or ask for it]`, DocumentLeftOut},
		"a PDF at a URL":             {`{"type":"document","source":{"type":"url","url":"https://example.com/r.pdf"}}`, `[a document at "https://example.com/r.pdf" was here; nothing is fetched for a local model. Tell the user, and get its text with a tool, as pdftotext, or ask for it]`, DocumentLeftOut},
		"a file of Anthropic's":      {`{"type":"document","source":{"type":"file","file_id":"file_1"}}`, "[a document was here that only Anthropic's servers have. Tell the user, and get its text with a tool, as pdftotext, or ask for it]", DocumentLeftOut},
		"a search result":            {`{"type":"search_result","source":"https://a.example","title":"T","content":[{"type":"text","text":"found"}],"citations":{}}`, "[search result \"T\" \"https://a.example\"]\nfound", ""},
		"a tool that was found":      {`{"type":"tool_reference","tool_name":"mcp__x__y"}`, `[the tool "mcp__x__y" was found]`, ""},
		"a summary":                  {`{"type":"compaction","content":"the word was OKAPI"}`, "[a summary of the conversation before]\nthe word was OKAPI", ""},
		"a call of the servers'":     {`{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}}`, `[called the tool "web_search" with {"query":"q"}]`, ""},
		"a call of a server's tool":  {`{"type":"mcp_tool_use","id":"s","name":"n","server_name":"v","input":{}}`, `[called the tool "v" "n" with {}]`, ""},
		"an MCP result":              {`{"type":"mcp_tool_result","tool_use_id":"s","is_error":false,"content":[{"type":"text","text":"well"}]}`, "[a tool answered:]\nis_error: false\nwell\n[end of its answer]", ""},
		"what the web had":           {`{"type":"web_search_tool_result","tool_use_id":"s","content":[{"type":"web_search_result","url":"https://a","title":"A","encrypted_content":"EqQ","page_age":null}]}`, "[a tool answered:]\nurl: https://a\ntitle: A\n[end of its answer]", ""},
		"a page":                     {`{"type":"web_fetch_tool_result","tool_use_id":"s","content":{"type":"web_fetch_result","url":"https://a","content":{"type":"document","source":{"type":"text","data":"page"}}}}`, "[a tool answered:]\nurl: https://a\n[document]\npage\n[end of the document]\n[end of its answer]", ""},
		"what code said":             {`{"type":"bash_code_execution_tool_result","tool_use_id":"s","content":{"type":"bash_code_execution_result","stdout":"out","stderr":"","return_code":0,"content":[{"type":"bash_code_execution_output","file_id":"f"}]}}`, "[a tool answered:]\nstdout: out\nreturn_code: 0\n[end of its answer]", ""},
		"a tool of the servers' err": {`{"type":"web_search_tool_result","tool_use_id":"s","content":{"type":"web_search_tool_result_error","error_code":"max_uses_exceeded"}}`, "[a tool answered:]\nerror_code: max_uses_exceeded\n[end of its answer]", ""},
		"tools that were searched":   {`{"type":"tool_search_tool_result","tool_use_id":"s","content":{"type":"tool_search_tool_search_result","tool_references":[{"type":"tool_reference","tool_name":"t"}]}}`, "[a tool answered:]\n[the tool \"t\" was found]\n[end of its answer]", ""},
		"an upload":                  {`{"type":"container_upload","file_id":"f1"}`, "[a file was put into a container of Anthropic's servers; no tool here can open it]", BlockLeftOut},
		"an unknown block":           {`{"type":"hologram","text":"t","depth":3,"data":"AAAA"}`, "[a block of the type \"hologram\" was here, which local models do not know; what could be read of it:]\nt\ndepth: 3", BlockLeftOut},
		"a block of no type":         {`{"text":"t"}`, "[a block of the type \"\" was here, which local models do not know; what could be read of it:]\nt", BlockLeftOut},
		"another case":               {`{"type":"Text","text":"t"}`, "[a block of the type \"Text\" was here, which local models do not know; what could be read of it:]\nt", BlockLeftOut},
		"sound":                      {`{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}`, `["input_audio" was here; local models get texts and images only]`, MediaLeftOut},
		"film":                       {`{"type":"video","source":{"type":"url","url":"http://a/b"}}`, `["video" was here; local models get texts and images only]`, MediaLeftOut},
		"a type twice":               {`{"type":"image_url","type":"text","text":"t","image_url":"http://a/b"}`, "t", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, notes := folded(t, talk(blocks("user", tt.block)), Needs{})
			if want := talk(says("user", tt.want)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if tt.note == "" && len(notes) > 0 || tt.note != "" && (len(notes) != 1 || notes[0] != tt.note) {
				t.Errorf("noted %q, not %q", notes, tt.note)
			}
			call, result := blocks("assistant", calls("1")), `{"type":"tool_result","tool_use_id":"1","content":[`+tt.block+`]}`
			got, _ = folded(t, talk(says("user", "hi"), call, blocks("user", result)), Needs{})
			if want := talk(says("user", "hi"), call, blocks("user", answers("1", tt.want))); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			got, _ = folded(t, talk(says("user", "hi"), `{"role":"system","content":[`+tt.block+`]}`), Needs{})
			if strings.Contains(got, `"image"`) || !strings.Contains(got, "<system-reminder>") {
				t.Errorf("a system message: %s", got)
			}
		})
	}
}

// Nothing that an engine would fetch reaches it: it fetches what it finds in image_url, and
// makes that of an image's source.
func TestNothingIsFetched(t *testing.T) {
	const left = `[an image%s. Tell the user, or read it from a file with a tool]`
	image := func(source string) string { return `{"type":"image","source":` + source + `}` }
	at := func(address string) string {
		return fmt.Sprintf(left, fmt.Sprintf(" at %q was here; nothing is fetched for a local model", address))
	}
	unread := fmt.Sprintf(left, " was here that a local model cannot read")
	tests := map[string]struct{ block, want string }{
		"a URL":                        {image(`{"type":"url","url":"http://127.0.0.1/a.png"}`), at("http://127.0.0.1/a.png")},
		"a file's URL":                 {image(`{"type":"url","url":"file:///etc/hostname"}`), at("file:///etc/hostname")},
		"a long URL":                   {image(`{"type":"url","url":"http://a/` + strings.Repeat("b", 300) + `"}`), fmt.Sprintf(left, " was here; nothing is fetched for a local model")},
		"data as a URL":                {image(`{"type":"url","url":"data:image/png;base64,AAAA"}`), unread},
		"a file of Anthropic's":        {image(`{"type":"file","file_id":"f"}`), fmt.Sprintf(left, " was here that only Anthropic's servers have")},
		"no source":                    {`{"type":"image"}`, unread},
		"a source that is no object":   {image(`"http://a"`), unread},
		"another case":                 {image(`{"type":"Base64","media_type":"image/png","data":"AAAA"}`), unread},
		"no media type":                {image(`{"type":"base64","data":"AAAA"}`), unread},
		"no image":                     {image(`{"type":"base64","media_type":"text/html","data":"AAAA"}`), unread},
		"a media type that is a URL":   {image(`{"type":"base64","media_type":"image/png;http://a","data":"AAAA"}`), unread},
		"a media type with a comma":    {image(`{"type":"base64","media_type":"image/png,x","data":"AAAA"}`), unread},
		"data that is a URL":           {image(`{"type":"base64","media_type":"image/png","data":"http://a/b.png"}`), unread},
		"data with a comma":            {image(`{"type":"base64","media_type":"image/png","data":"AAAA,http://a"}`), unread},
		"data of another length":       {image(`{"type":"base64","media_type":"image/png","data":"AAAAA"}`), unread},
		"data with signs in its midst": {image(`{"type":"base64","media_type":"image/png","data":"A=AA"}`), unread},
		"data of one sign":             {image(`{"type":"base64","media_type":"image/png","data":"A==="}`), unread},
		"no data":                      {image(`{"type":"base64","media_type":"image/png","data":""}`), unread},
		"data that is a number":        {image(`{"type":"base64","media_type":"image/png","data":1234}`), unread},
		"OpenAI's way":                 {`{"type":"image_url","image_url":{"url":"http://a/d.png"}}`, at("http://a/d.png")},
		"OpenAI's newer way":           {`{"type":"input_image","image_url":"http://a/d.png"}`, at("http://a/d.png")},
		"a source that comes twice":    {`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"},"source":{"type":"url","url":"http://a"}}`, at("http://a")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, notes := folded(t, talk(blocks("user", tt.block)), Needs{})
			if want := talk(says("user", tt.want)); got != want || len(notes) != 1 || notes[0] != ImageLeftOut {
				t.Errorf("got  %s\nwant %s\nnoted %q", got, want, notes)
			}
			call, result := blocks("assistant", calls("1")), `{"type":"tool_result","tool_use_id":"1","content":[`+tt.block+`]}`
			got, _ = folded(t, talk(says("user", "hi"), call, blocks("user", result), blocks("assistant", tt.block), blocks("system", tt.block)), Needs{})
			if strings.Contains(got, `"type":"image`) || strings.Contains(got, `"source"`) || strings.Contains(got, `"image_url"`) {
				t.Errorf("elsewhere it goes through: %s", got)
			}
		})
	}
}

func TestImages(t *testing.T) {
	hi, call := says("user", "hi"), blocks("assistant", calls("1"))
	const unseen = "[an image was here; this model sees none]"
	tests := map[string]struct {
		in, want string
		needs    Needs
		note     Note
	}{
		"seen":              {in: talk(blocks("user", texts("a"), picture, texts("b"))), want: talk(blocks("user", texts("a"), picture, texts("b")))},
		"written anew":      {in: talk(blocks("user", `{"source":{"url":"http://a","data":"AA\r\nAA\n","media_type":"image/jpeg","type":"url","type":"base64"},"x":1,"cache_control":{},"type":"image"}`)), want: talk(blocks("user", `{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"AAAA"}}`))},
		"in a result":       {in: talk(hi, call, blocks("user", `{"type":"tool_result","tool_use_id":"1","content":[`+texts("a")+`,`+picture+`]}`)), want: talk(hi, call, blocks("user", `{"type":"tool_result","tool_use_id":"1","content":[`+texts("a")+`,`+picture+`]}`))},
		"after a result":    {in: talk(hi, call, blocks("user", answers("1", "a"), picture, texts("b"))), want: talk(hi, call, blocks("user", `{"type":"tool_result","tool_use_id":"1","content":[`+texts("a\n[the user:]")+`,`+picture+`,`+texts("b")+`]}`))},
		"of the system":     {in: talk(hi, blocks("system", picture)), want: talk(blocks("user", texts("hi"), picture))},
		"where none can be": {in: talk(blocks("system", picture), hi), want: talk(`{"role":"system","content":"[an image was here, where a model sees none]"}`, hi), note: ImageLeftOut},
		"a blind model":     {in: talk(blocks("user", picture), call, blocks("user", `{"type":"tool_result","tool_use_id":"1","content":[`+picture+`]}`)), needs: Needs{Blind: true}, want: talk(says("user", unseen), call, blocks("user", answers("1", unseen))), note: ImageUnseen},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, notes := folded(t, tt.in, tt.needs)
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if tt.note == "" && len(notes) > 0 || tt.note != "" && (len(notes) != 1 || notes[0] != tt.note) {
				t.Errorf("noted %q, not %q", notes, tt.note)
			}
		})
	}
}

// A block that stands in thousands of others is read in no time, and not lost.
func TestDeepBlocks(t *testing.T) {
	const deep = 3000
	for name, one := range map[string][2]string{
		"documents": {`{"type":"document","source":{"type":"content","content":[`, `]}}`},
		"unknown":   {`{"type":"x","a":[`, `]}`},
		"answers":   {`{"type":"tool_result","content":[`, `]}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := folded(t, talk(blocks("user", strings.Repeat(one[0], deep)+texts("OKAPI")+strings.Repeat(one[1], deep))), Needs{})
			if !strings.Contains(got, "OKAPI") || strings.Count(got, `\n[`) > 2*deepestBlock {
				t.Errorf("%d bytes: %.300s", len(got), got)
			}
		})
	}
}
