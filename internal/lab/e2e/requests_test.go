//go:build e2e && linux

package e2e

import (
	"fmt"
	"slices"
	"strings"
)

// request is one that a client of Anthropic's may send, and what has to become of it
// with every chat template.
type request struct {
	kind, name  string
	body        string            // members but model, max_tokens and stream; MARKS stands for words before each mark of the template
	words       []string          // reach the model, in this order
	also        []string          // reach it, anywhere
	absent      []string          // never do
	tools       []string          // are offered, where the template can
	untold      map[string]string // templates that do not show the words, and why
	refused     string            // what Anthropic refuses too: a part of the message
	stop        string            // why the answer ends; empty: any reason
	calls       string            // the tool that the answer calls, where the template can
	atMost      string            // the one tool that it may call: nothing makes these models call it
	says        string            // the answer's text
	thoughtless bool              // the answer shows no thoughts
	effort      string            // what gpt-oss, the one template that knows it, is told
	maxTokens   int
}

func list(items ...string) string      { return "[" + strings.Join(items, ",") + "]" }
func say(messages ...string) string    { return `"messages":` + list(messages...) }
func asks(content string) string       { return `{"role":"user","content":` + content + `}` }
func answers(content string) string    { return `{"role":"assistant","content":` + content + `}` }
func systemSays(content string) string { return `{"role":"system","content":` + content + `}` }
func txt(words string) string          { return `{"type":"text","text":"` + words + `"}` }
func offer(tools ...string) string     { return `,"tools":` + list(tools...) }
func tool(name, schema string) string {
	return `{"name":"` + name + `","description":"does ` + name + `","input_schema":` + schema + `}`
}
func property(schema string) string { return `{"type":"object","properties":{"x":` + schema + `}}` }
func use(id, name, in string) string {
	return `{"type":"tool_use","id":"` + id + `","name":"` + name + `","input":` + in + `}`
}
func gives(id, content string) string {
	return `{"type":"tool_result","tool_use_id":"` + id + `","content":` + content + `}`
}
func picture(source string) string { return `{"type":"image","source":` + source + `}` }
func paper(source string) string {
	return `{"type":"document","title":"paper","source":` + source + `}`
}

const (
	bash    = `{"name":"Bash","description":"runs","input_schema":{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}}`
	reader  = `{"name":"Read","description":"reads","input_schema":{"type":"object","properties":{"file_path":{"type":"string"}},"required":["file_path"]}}`
	once    = `{"name":"Once","description":"once","input_schema":{"type":"object","properties":{"y":{"type":"string","enum":["1"]}},"required":["y"]}}`
	dot     = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==" // a PNG
	pixel   = `{"type":"base64","media_type":"image/png","data":"` + dot + `"}`
	looking = `{"type":"tool_use","id":"toolu_01","name":"Bash","input":{"command":"finches"}}`
)

// one is a conversation with one call.
func one(after ...string) string {
	return say(asks(`"herons"`), answers(list(looking)), asks(list(after...)))
}

// conversations are the kinds of F3: roles, turns, calls and results in any order.
var conversations = []request{
	{name: "one prompt", body: say(asks(`"herons"`)), words: []string{"herons"}, says: "hello"},
	{name: "a prompt in blocks", body: say(asks(list(txt("herons"), txt("swans")))), words: []string{"herons", "swans"}},
	{name: "two turns", body: say(asks(`"herons"`), answers(`"swans"`), asks(`"cranes"`)), words: []string{"herons", "swans", "cranes"}},
	{name: "two of the user", body: say(asks(`"herons"`), asks(`"cranes"`)), words: []string{"herons", "cranes"}},
	{name: "three of the user after an answer", body: say(asks(`"herons"`), answers(`"swans"`), asks(`"cranes"`), asks(`"storks"`), asks(`"owls"`)), words: []string{"herons", "swans", "cranes", "storks", "owls"}},
	{name: "call, result", body: one(gives("toolu_01", `"ducks"`)) + offer(bash), words: []string{"herons", "Bash", "finches", "ducks"}, tools: []string{"Bash"}},
	{name: "words and a call", body: say(asks(`"herons"`), answers(list(txt("swans"), looking)), asks(list(gives("toolu_01", `"ducks"`)))) + offer(bash), words: []string{"herons", "swans", "finches", "ducks"},
		untold: map[string]string{"llama31": "the template shows no words beside a call", "nemo": "the template shows no words beside a call"}},
	{name: "words after a result", body: one(gives("toolu_01", `"ducks"`), txt("cranes")) + offer(bash), words: []string{"finches", "ducks", "cranes"}},
	{name: "words before a result", body: one(txt("cranes"), gives("toolu_01", `"ducks"`)) + offer(bash), words: []string{"finches", "ducks"}},
	{name: "a reminder after a result", body: say(asks(`"herons"`), answers(list(looking)), asks(list(gives("toolu_01", `"ducks"`))), systemSays(`"cranes"`)) + offer(bash), words: []string{"finches", "ducks", "cranes"}},
	{name: "two calls in a turn", body: say(asks(`"herons"`), answers(list(looking, use("toolu_02", "Bash", `{"command":"gulls"}`))), asks(list(gives("toolu_01", `"ducks"`), gives("toolu_02", `"geese"`)))) + offer(bash),
		words: []string{"herons", "finches", "ducks", "geese"}},
	{name: "two calls, answered the other way round", body: say(asks(`"herons"`), answers(list(looking, use("toolu_02", "Read", `{"file_path":"gulls"}`))), asks(list(gives("toolu_02", `"geese"`), gives("toolu_01", `"ducks"`)))) + offer(bash, reader),
		words: []string{"herons", "finches"}},
	{name: "three calls and a prompt", body: say(asks(`"herons"`), answers(list(looking, use("toolu_02", "Bash", `{"command":"gulls"}`), use("toolu_03", "Bash", `{"command":"terns"}`))),
		asks(list(gives("toolu_01", `"ducks"`), gives("toolu_02", `"geese"`), gives("toolu_03", `"rails"`), txt("cranes")))) + offer(bash), words: []string{"herons", "finches", "ducks", "geese", "rails", "cranes"}},
	{name: "a call that nobody answered", body: say(asks(`"herons"`), answers(list(looking)), asks(`"cranes"`)) + offer(bash), words: []string{"herons", "finches", "cranes"}},
	{name: "a call at the very end", body: say(asks(`"herons"`), answers(list(looking))) + offer(bash), words: []string{"herons", "finches"}},
	{name: "one of two calls answered", body: say(asks(`"herons"`), answers(list(looking, use("toolu_02", "Bash", `{"command":"gulls"}`))), asks(list(gives("toolu_02", `"geese"`)))) + offer(bash), words: []string{"herons", "finches", "geese"}},
	{name: "a result without a call", body: say(asks(`"herons"`), answers(`"swans"`), asks(list(gives("toolu_99", `"ducks"`), txt("cranes")))) + offer(bash), words: []string{"herons", "swans", "ducks", "cranes"}},
	{name: "a result at the start", body: say(asks(list(gives("toolu_99", `"ducks"`))), answers(`"swans"`), asks(`"cranes"`)) + offer(bash), words: []string{"ducks", "swans", "cranes"}},
	{name: "the same result twice", body: one(gives("toolu_01", `"ducks"`), gives("toolu_01", `"geese"`)) + offer(bash), words: []string{"finches", "ducks", "geese"}},
	{name: "a call's id with odd letters", body: say(asks(`"herons"`), answers(list(use("call:é/1 \\\"x\\\"", "Bash", `{"command":"finches"}`))), asks(list(gives("call:é/1 \\\"x\\\"", `"ducks"`)))) + offer(bash), words: []string{"finches", "ducks"}},
	{name: "one id in two turns", body: say(asks(`"herons"`), answers(list(looking)), asks(list(gives("toolu_01", `"ducks"`))), answers(list(use("toolu_01", "Bash", `{"command":"gulls"}`))), asks(list(gives("toolu_01", `"geese"`)))) + offer(bash),
		words: []string{"finches", "ducks", "gulls", "geese"}},
	{name: "an answer first", body: say(answers(`"swans"`), asks(`"cranes"`)), words: []string{"swans", "cranes"}},
	{name: "a call first", body: say(answers(list(looking)), asks(list(gives("toolu_01", `"ducks"`)))) + offer(bash), words: []string{"finches", "ducks"}},
	{name: "two answers in a row", body: say(asks(`"herons"`), answers(`"swans"`), answers(list(looking)), asks(list(gives("toolu_01", `"ducks"`)))) + offer(bash), words: []string{"herons", "finches", "ducks"}},
	{name: "two answers, then a prompt", body: say(asks(`"herons"`), answers(`"swans"`), answers(`"terns"`), asks(`"cranes"`)), words: []string{"herons", "swans", "terns", "cranes"}},
	{name: "an answer to go on with", body: say(asks(`"herons"`), answers(`"swans"`)), words: []string{"herons", "swans"}},
	{name: "two answers at the end", body: say(asks(`"herons"`), answers(`"swans"`), answers(`"terns"`)), words: []string{"herons", "swans", "terns"}},
	{name: "an answer to go on with, and thinking", body: say(asks(`"herons"`), answers(`"swans"`)) + `,"thinking":{"type":"enabled","budget_tokens":1024}`, words: []string{"herons", "swans"}},
	{name: "an answer without content", body: say(asks(`"herons"`), answers(`[]`), asks(`"cranes"`)), words: []string{"herons", "cranes"}},
	{name: "an empty answer", body: say(asks(`"herons"`), answers(`""`), asks(`"cranes"`)), words: []string{"herons", "cranes"}},
	{name: "an answer that only thought", body: say(asks(`"herons"`), answers(`[{"type":"thinking","thinking":"owls","signature":"s"}]`), asks(`"cranes"`)), words: []string{"herons", "cranes"}},
	{name: "thoughts that nobody may read", body: say(asks(`"herons"`), answers(`[{"type":"redacted_thinking","data":"b3ds"}]`), asks(`"cranes"`)), words: []string{"herons", "cranes"}},
	{name: "thought, then called", body: say(asks(`"herons"`), answers(list(`{"type":"thinking","thinking":"owls","signature":"s"}`, txt("swans"), looking)), asks(list(gives("toolu_01", `"ducks"`)))) + offer(bash), words: []string{"herons", "finches", "ducks"}},
	{name: "an empty prompt", body: say(asks(`""`), answers(`"swans"`), asks(`"cranes"`)), words: []string{"swans", "cranes"}},
	{name: "a prompt without content", body: say(asks(`[]`)), words: nil},
	{name: "white space only", body: say(asks(`"  \n"`)), words: nil},
	{name: "an empty text beside another", body: say(asks(list(txt(""), txt("herons")))), words: []string{"herons"}},
	{name: "a history of tools, and none offered", body: one(gives("toolu_01", `"ducks"`), txt("cranes")), words: []string{"herons", "finches", "ducks", "cranes"}},
	{name: "systems in between", body: say(asks(`"herons"`), systemSays(`"swans"`), systemSays(list(txt("terns"))), answers(`"ducks"`), systemSays(`"cranes"`), asks(`"storks"`), systemSays(`"owls"`)) + `,"system":"wrens"`,
		words: []string{"herons", "swans", "terns", "ducks", "cranes", "storks", "owls"}, also: []string{"wrens"}},
	{name: "a system first, and one above", body: say(systemSays(`"swans"`), asks(`"herons"`)) + `,"system":"wrens"`, words: []string{"herons"}, also: []string{"wrens", "swans"}},
	{name: "only a system", body: say(systemSays(`"swans"`)), words: []string{"swans"}},
	{name: "an empty system", body: say(asks(`"herons"`)) + `,"system":""`, words: []string{"herons"}},
	{name: "a system in blocks, one of them empty", body: say(asks(`"herons"`)) + `,"system":[{"type":"text","text":""},{"type":"text","text":"wrens","cache_control":{"type":"ephemeral","ttl":"1h"}}]`, words: []string{"herons"}, also: []string{"wrens"}},
	{name: "a failed result", body: one(`{"type":"tool_result","tool_use_id":"toolu_01","is_error":true,"content":"ducks"}`) + offer(bash), words: []string{"finches", "ducks"}},
	{name: "a result without content", body: one(`{"type":"tool_result","tool_use_id":"toolu_01"}`) + offer(bash), words: []string{"finches"}},
	{name: "a result of nothing", body: one(gives("toolu_01", `[]`)) + offer(bash), words: []string{"finches"}},
	{name: "a result in blocks", body: one(gives("toolu_01", list(txt("ducks"), txt("geese")))) + offer(bash), words: []string{"finches", "ducks", "geese"}},
	{name: "a result between prompts", body: one(txt("storks"), gives("toolu_01", list(txt("ducks"), picture(pixel))), txt("cranes")) + offer(bash), words: []string{"ducks", "cranes"}},
	{name: "a call without input", body: say(asks(`"herons"`), answers(list(use("toolu_01", "Bash", `null`))), asks(list(gives("toolu_01", `"ducks"`)))) + offer(bash), words: []string{"herons", "ducks"}},
	{name: "a call's input that is a text", body: say(asks(`"herons"`), answers(list(use("toolu_01", "Bash", `"finches"`))), asks(list(gives("toolu_01", `"ducks"`)))) + offer(bash), words: []string{"herons", "ducks"}},
	{name: "a call's input that is a list", body: say(asks(`"herons"`), answers(list(use("toolu_01", "Bash", `["finches"]`))), asks(list(gives("toolu_01", `"ducks"`)))) + offer(bash), words: []string{"herons", "ducks"}},
	{name: "ten turns with tools", body: say(turns(10)...) + offer(bash), words: []string{"prompt 0", "input 0", "result 0", "said 0", "prompt 9", "input 9", "result 9", "said 9", "cranes"}},
	{name: "a text of null", body: say(asks(list(`{"type":"text","text":null}`, txt("herons")))), words: []string{"herons"}},
	{name: "a text as a bare string", body: say(asks(`["herons"]`)), words: []string{"herons"}},
}

// turns is a long conversation with a call in every turn.
func turns(n int) (all []string) {
	for i := range n {
		id := fmt.Sprintf("toolu_%02d", i)
		all = append(all, asks(fmt.Sprintf(`"prompt %d"`, i)), answers(list(use(id, "Bash", fmt.Sprintf(`{"command":"input %d"}`, i)))),
			asks(list(gives(id, fmt.Sprintf(`"result %d"`, i)))), answers(fmt.Sprintf(`"said %d"`, i)))
	}
	return append(all, asks(`"cranes"`))
}

// ugly makes a request of each schema of a tool beside a plain one.
func ugly(schemas map[string]string) (all []request) {
	for name, schema := range schemas {
		all = append(all, request{name: name, body: say(asks(`"herons"`)) + offer(bash, tool("mcp__a__b", schema)), words: []string{"herons"}, tools: []string{"Bash", "mcp__a__b"}})
	}
	slices.SortFunc(all, func(a, b request) int { return strings.Compare(a.name, b.name) })
	return all
}

// schemas are the kinds of F1.
var schemas = append(ugly(map[string]string{
	"no properties":            `{"type":"object","properties":{}}`,
	"nothing but a type":       `{"type":"object"}`,
	"nothing at all":           `{}`,
	"nothing more allowed":     `{"type":"object","properties":{},"additionalProperties":false}`,
	"more of a kind":           `{"type":"object","additionalProperties":{"type":"array","items":{"type":"integer"}}}`,
	"a property that is true":  property(`true`),
	"a property that is false": property(`false`),
	"items that are true":      property(`{"type":"array","items":true}`),
	"a file":                   property(`{"type":"file"}`),
	"any":                      property(`{"type":"any"}`),
	"a String":                 property(`{"type":"String"}`),
	"types, one unknown":       property(`{"type":["string","date","null"]}`),
	"types":                    property(`{"type":["string","null"]}`),
	"a reference to nowhere":   property(`{"$ref":"#/$defs/gone"}`),
	"a reference to a URL":     property(`{"$ref":"https://example.invalid/schema.json"}`),
	"a reference to a file":    property(`{"$ref":"other.json#/definitions/a"}`),
	"a reference to itself":    `{"type":"object","properties":{"n":{"$ref":"#/$defs/node"}},"$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"},"v":{"type":"string"}}}}}`,
	"a reference to the root":  `{"type":"object","properties":{"child":{"$ref":"#"},"v":{"type":"string"}}}`,
	"definitions":              `{"type":"object","properties":{"n":{"$ref":"#/definitions/a~1b"}},"definitions":{"a/b":{"type":"string"}}}`,
	"a long text":              property(`{"type":"string","minLength":1,"maxLength":2000}`),
	"a very long text":         property(`{"type":"string","maxLength":100000}`),
	"many items":               property(`{"type":"array","minItems":1,"maxItems":3000,"items":{"type":"string"}}`),
	"numbers of 53 bits":       property(`{"type":"integer","minimum":-9007199254740991,"maximum":9007199254740991}`),
	"exclusive bounds":         property(`{"type":"number","exclusiveMinimum":0,"multipleOf":0.01}`),
	"an anchored pattern":      property(`{"type":"string","pattern":"^[a-z]+$"}`),
	"an open pattern":          property(`{"type":"string","pattern":"[a-z]+"}`),
	"a pattern of letters":     property(`{"type":"string","pattern":"^\\p{L}+$"}`),
	"a pattern that looks":     property(`{"type":"string","pattern":"^(?!x)\\d{3}\\.(?=y)$"}`),
	"a pattern that repeats":   property(`{"type":"string","pattern":"^[a-z]{1,5000}$"}`),
	"a nested pattern":         property(`{"type":"object","properties":{"s":{"type":"string","pattern":"^/.*$","maxLength":4096}}}`),
	"anyOf at the top":         `{"type":"object","anyOf":[{"required":["a"]},{"required":["b"]}],"properties":{"a":{"type":"string"},"b":{"type":"string"}}}`,
	"oneOf in a property":      property(`{"oneOf":[{"type":"string","format":"uri"},{"type":"object","properties":{"k":{"const":1}}}]}`),
	"allOf":                    property(`{"allOf":[{"type":"object","properties":{"a":{"type":"string"}}},{"required":["a"]}]}`),
	"not":                      property(`{"not":{"type":"string"}}`),
	"if and then":              `{"type":"object","properties":{"a":{"type":"string"}},"if":{"properties":{"a":{"const":"x"}}},"then":{"required":["b"]},"else":false,"dependentRequired":{"a":["b"]}}`,
	"properties by pattern":    `{"type":"object","patternProperties":{"^x-":{"type":"string"}},"propertyNames":{"pattern":"^[a-z]"},"unevaluatedProperties":false,"minProperties":1}`,
	"items one by one":         property(`{"type":"array","prefixItems":[{"type":"string"},{"type":"number"}],"items":false}`),
	"items as a list":          property(`{"type":"array","items":[{"type":"string"},true]}`),
	"unique items, contained":  property(`{"type":"array","uniqueItems":true,"contains":{"type":"string"}}`),
	"an enum of all kinds":     property(`{"enum":["a",1,null,true,{"b":[2]}]}`),
	"an empty enum":            property(`{"enum":[]}`),
	"a constant":               property(`{"const":{"a":[1]}}`),
	"formats":                  property(`{"type":"string","format":"idn-hostname","contentEncoding":"base64","contentMediaType":"image/png"}`),
	"required, but not there":  `{"type":"object","properties":{"a":{"type":"string"}},"required":["a","ghost"]}`,
	"an old draft":             `{"$schema":"http://json-schema.org/draft-04/schema#","id":"http://example.invalid/x","type":"object","properties":{"a":{"type":"integer","exclusiveMinimum":true,"minimum":0}}}`,
	"a default of null":        property(`{"type":"string","default":null,"examples":[1],"deprecated":true,"readOnly":true,"nullable":true,"x-google":{"a":1}}`),
	"properties that are null": `{"type":"object","properties":null,"required":null}`,
	"a property that is null":  property(`null`),
	"odd names":                `{"type":"object","properties":{"a b":{"type":"string"},"$x":{"type":"string"},"ü":{"type":"string"},"a\"b":{"type":"string"},"":{"type":"string"}}}`,
	"a name like an argument":  `{"type":"object","properties":{"type":{"type":"string"},"properties":{"type":"object","properties":{"$ref":{"type":"string"}}},"description":{"type":"string"}}}`,
	"deep":                     property(strings.Repeat(`{"type":"object","properties":{"x":`, 30) + `{"type":"string"}` + strings.Repeat(`}}`, 30)),
	"a text":                   `"a schema"`,
	"true":                     `true`,
	"an array at the top":      `{"type":"array","items":{"type":"string"}}`,
}), odd...)

// odd are tools that are odd otherwise.
var odd = []request{
	{name: "no description", body: say(asks(`"herons"`)) + offer(`{"name":"Bash","input_schema":{"type":"object","properties":{"command":{"type":"string"}}}}`), words: []string{"herons"}, tools: []string{"Bash"}},
	{name: "no schema", body: say(asks(`"herons"`)) + offer(`{"name":"Bash","description":"d"}`), words: []string{"herons"}, tools: []string{"Bash"}},
	{name: "one name twice", body: say(asks(`"herons"`)) + offer(bash, bash), words: []string{"herons"}, tools: []string{"Bash"}},
	{name: "odd tool names", body: say(asks(`"herons"`)) + offer(tool("a.b/c:d e", `{"type":"object"}`), tool(`x\"y`, `{"type":"object"}`), bash), words: []string{"herons"}, tools: []string{"Bash"}},
	{name: "a long tool name", body: say(asks(`"herons"`)) + offer(tool("mcp__"+strings.Repeat("n", 200), `{"type":"object"}`)), words: []string{"herons"}},
	{name: "Anthropic's own tools", body: say(asks(`"herons"`)) + offer(`{"type":"bash_20250124","name":"bash"}`, `{"type":"web_search_20250305","name":"web_search","max_uses":3}`, `{"type":"custom","name":"Read","input_schema":{"type":"object","properties":{"f":{"type":"string"}}}}`),
		words: []string{"herons"}, tools: []string{"Read"}, absent: []string{`"name": "web_search"`}},
	{name: "only tools of Anthropic's servers", body: say(asks(`"herons"`)) + offer(`{"type":"web_fetch_20250910","name":"web_fetch"}`), words: []string{"herons"}, absent: []string{`"name": "web_fetch"`}},
	{name: "no tools", body: say(asks(`"herons"`)) + `,"tools":[]`, words: []string{"herons"}},
	{name: "sixty tools", body: say(asks(`"herons"`)) + offer(sixty()...), words: []string{"herons"}, tools: []string{"mcp__many__t00", "mcp__many__t31", "mcp__many__t59"}},
	{name: "a tool that is called", body: say(asks(`"Call the tool Bash"`)) + offer(bash, tool("mcp__a__b", property(`{"type":"file"}`))), words: []string{"Call the tool Bash"}, tools: []string{"Bash"}, calls: "Bash", stop: "tool_use"},
}

func sixty() (all []string) {
	kinds := []string{`{"type":"string","pattern":"\\d+"}`, `{"type":"any"}`, `{"type":"array","maxItems":5000,"items":{"type":"string"}}`, `{"$ref":"#/$defs/no"}`, `{"type":"string","maxLength":9000}`, `true`}
	for i := range 60 {
		all = append(all, tool(fmt.Sprintf("mcp__many__t%02d", i), property(kinds[i%len(kinds)])))
	}
	return all
}

const lines = "puffins and razorbills"

// contents are the kinds of F4: what is no text, no image, no call.
var contents = []request{
	{name: "a text document", body: say(asks(list(paper(`{"type":"text","media_type":"text/plain","data":"`+lines+`"}`), txt("cranes")))), words: []string{"puffins", "razorbills", "cranes"}},
	{name: "a document in blocks", body: say(asks(list(paper(`{"type":"content","content":[{"type":"text","text":"`+lines+`"}]}`), txt("cranes")))), words: []string{"puffins", "cranes"}},
	{name: "a document as a string", body: say(asks(list(paper(`{"type":"content","content":"`+lines+`"}`), txt("cranes")))), words: []string{"puffins", "cranes"}},
	{name: "a document in a result", body: one(gives("toolu_01", list(paper(`{"type":"text","media_type":"text/plain","data":"`+lines+`"}`)))) + offer(bash), words: []string{"finches", "puffins"}},
	{name: "a document alone", body: say(asks(list(paper(`{"type":"text","media_type":"text/plain","data":"` + lines + `"}`)))), words: []string{"puffins"}},
	{name: "a PDF", body: say(asks(list(paper(`{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}`), txt("cranes")))), words: []string{"PDF", "cranes"}, absent: []string{"JVBERi0"}},
	{name: "a PDF in a result", body: one(gives("toolu_01", list(paper(`{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}`)))) + offer(bash), words: []string{"finches", "PDF"}, absent: []string{"JVBERi0"}},
	{name: "a PDF after a result", body: one(gives("toolu_01", `"ducks"`), paper(`{"type":"base64","media_type":"application/pdf","data":"JVBERi0="}`)) + offer(bash), words: []string{"ducks", "PDF"}},
	{name: "a document from the Files API", body: say(asks(list(paper(`{"type":"file","file_id":"file_1"}`), txt("cranes")))), words: []string{"document", "cranes"}},
	{name: "what a search found", body: say(asks(list(`{"type":"search_result","source":"https://example.invalid/a","title":"gannets","content":[{"type":"text","text":"`+lines+`"}],"citations":{"enabled":true}}`, txt("cranes")))), words: []string{"gannets", "puffins", "cranes"}},
	{name: "what a search found, in a result", body: one(gives("toolu_01", list(`{"type":"search_result","source":"s","title":"gannets","content":[{"type":"text","text":"`+lines+`"}]}`))) + offer(bash), words: []string{"finches", "gannets", "puffins"}},
	{name: "a tool's reference in a result", body: one(gives("toolu_01", `[{"type":"tool_reference","tool_name":"mcp__x__gannets"}]`)) + offer(bash), words: []string{"finches", "mcp__x__gannets"}},
	{name: "a compaction", body: say(answers(`[{"type":"compaction","content":"`+lines+`"}]`), asks(`"cranes"`)), words: []string{"puffins", "cranes"}},
	{name: "a compaction in the middle", body: say(asks(`"herons"`), answers(list(`{"type":"compaction","content":"`+lines+`"}`, txt("swans"))), asks(`"cranes"`)), words: []string{"puffins", "swans", "cranes"}},
	{name: "a call of an MCP server of Anthropic's", body: say(asks(`"herons"`), answers(list(`{"type":"mcp_tool_use","id":"mcptoolu_1","name":"look","server_name":"birds","input":{"q":"gannets"}}`,
		`{"type":"mcp_tool_result","tool_use_id":"mcptoolu_1","is_error":false,"content":[{"type":"text","text":"`+lines+`"}]}`, txt("swans"))), asks(`"cranes"`)), words: []string{"herons", "puffins", "swans", "cranes"}},
	{name: "code that ran at Anthropic", body: say(asks(`"herons"`), answers(list(`{"type":"server_tool_use","id":"srvtoolu_1","name":"code_execution","input":{"code":"gannets"}}`,
		`{"type":"code_execution_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"code_execution_result","stdout":"`+lines+`","stderr":"","return_code":0,"content":[]}}`, txt("swans"))), asks(`"cranes"`)), words: []string{"herons", "puffins", "swans", "cranes"}},
	{name: "bash that ran at Anthropic", body: say(asks(`"herons"`), answers(list(`{"type":"server_tool_use","id":"srvtoolu_1","name":"bash_code_execution","input":{"command":"gannets"}}`,
		`{"type":"bash_code_execution_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"bash_code_execution_result","stdout":"`+lines+`","stderr":"","return_code":0,"content":[]}}`, txt("swans"))), asks(`"cranes"`)), words: []string{"herons", "puffins", "swans", "cranes"}},
	{name: "a search at Anthropic", body: say(asks(`"herons"`), answers(list(`{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"gannets"}}`,
		`{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","title":"`+lines+`","url":"https://example.invalid/","encrypted_content":"AAAA","page_age":"1 day"}]}`, txt("swans"))), asks(`"cranes"`)),
		words: []string{"herons", "puffins", "swans", "cranes"}, absent: []string{"AAAA"}},
	{name: "a page fetched at Anthropic", body: say(asks(`"herons"`), answers(list(`{"type":"server_tool_use","id":"srvtoolu_1","name":"web_fetch","input":{"url":"https://example.invalid/"}}`,
		`{"type":"web_fetch_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"web_fetch_result","url":"https://example.invalid/","content":{"type":"document","source":{"type":"text","media_type":"text/plain","data":"`+lines+`"}}}}`, txt("swans"))), asks(`"cranes"`)),
		words: []string{"herons", "puffins", "swans", "cranes"}},
	{name: "a failed search at Anthropic", body: say(asks(`"herons"`), answers(list(`{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"gannets"}}`,
		`{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"web_search_tool_result_error","error_code":"max_uses_exceeded"}}`, txt("swans"))), asks(`"cranes"`)), words: []string{"herons", "swans", "cranes"}},
	{name: "a file for a container", body: say(asks(`[{"type":"container_upload","file_id":"f1"}]`), answers(`"swans"`), asks(`"cranes"`)), words: []string{"swans", "cranes"}},
	{name: "a kind of next year", body: say(asks(list(`{"type":"hologram","text":"`+lines+`"}`, txt("cranes")))), words: []string{"cranes"}},
	{name: "an image", body: say(asks(list(picture(pixel), txt("cranes")))), words: []string{"image", "cranes"}},
	{name: "an image in a result", body: one(gives("toolu_01", list(picture(pixel), txt("ducks")))) + offer(bash), words: []string{"finches", "image", "ducks"}},
	{name: "an image alone in a result", body: one(gives("toolu_01", list(picture(pixel)))) + offer(bash), words: []string{"finches", "image"}},
	{name: "citations", body: say(asks(`"herons"`), answers(`[{"type":"text","text":"swans","citations":[{"type":"char_location","cited_text":"x","document_index":0,"start_char_index":0,"end_char_index":1}]}]`), asks(`"cranes"`)), words: []string{"herons", "swans", "cranes"}},
}

// letters are the kinds of F5: half characters and bytes that are none.
var letters = []request{
	{name: "a high half", body: say(asks(`"herons\ud83d"`)), words: []string{"herons"}},
	{name: "a low half", body: say(asks(`"herons\udc4d swans"`)), words: []string{"herons", "swans"}},
	{name: "halves the wrong way round", body: say(asks(`"herons\udc4d\ud83d swans"`)), words: []string{"herons", "swans"}},
	{name: "a whole one", body: say(asks(`"herons \ud83d\ude00 swans"`)), words: []string{"herons", "swans"}},
	{name: "a half in a result", body: one(gives("toolu_01", `"ducks\ud83d"`)) + offer(bash), words: []string{"finches", "ducks"}},
	{name: "a half in a result's block", body: one(gives("toolu_01", list(txt(`ducks\ud83d`)))) + offer(bash), words: []string{"finches", "ducks"}},
	{name: "a half in a system prompt", body: say(asks(`"herons"`)) + `,"system":"wrens\ud83d"`, words: []string{"herons"}, also: []string{"wrens"}},
	{name: "a half in a description", body: say(asks(`"herons"`)) + offer(`{"name":"Bash","description":"wrens\ud83d","input_schema":{"type":"object","properties":{}}}`), words: []string{"herons"}, tools: []string{"Bash"}},
	{name: "a half in a property's name", body: say(asks(`"herons"`)) + offer(tool("Odd", `{"type":"object","properties":{"k\ud83d":{"type":"string"}}}`)), words: []string{"herons"}, tools: []string{"Odd"}},
	{name: "a half in an input's name", body: say(asks(`"herons"`), answers(list(use("toolu_01", "Bash", `{"k\ud83d":"finches"}`))), asks(list(gives("toolu_01", `"ducks"`)))) + offer(bash), words: []string{"finches", "ducks"}},
	{name: "a half in an input", body: say(asks(`"herons"`), answers(list(use("toolu_01", "Bash", `{"command":"finches\udc00"}`))), asks(list(gives("toolu_01", `"ducks"`)))) + offer(bash), words: []string{"finches", "ducks"}},
	{name: "a half in an id", body: say(asks(`"herons"`), answers(list(use(`toolu_\ud83d`, "Bash", `{"command":"finches"}`))), asks(list(gives(`toolu_\ud83d`, `"ducks"`)))) + offer(bash), words: []string{"finches", "ducks"}},
	{name: "a half in a document", body: say(asks(list(paper(`{"type":"text","media_type":"text/plain","data":"puffins\ud83d"}`)))), words: []string{"puffins"}},
	{name: "a half in what was said", body: say(asks(`"herons"`), answers(`"swans\ud83d"`), asks(`"cranes"`)), words: []string{"herons", "swans", "cranes"}},
	{name: "a half in a stop sequence", body: say(asks(`"herons"`)) + `,"stop_sequences":["x\ud83d"]`, words: []string{"herons"}},
	{name: "bytes that are no text", body: say(asks("\"herons\xff\xfe swans\"")), words: []string{"herons", "swans"}},
	{name: "a character cut in two", body: one(gives("toolu_01", "\"ducks\xf0\x9f\x98\"")) + offer(bash), words: []string{"finches", "ducks"}},
	{name: "a null character", body: say(asks(`"herons\u0000swans"`)), words: []string{"herons", "swans"}},
	{name: "control characters", body: say(asks(`"herons\u001b[31m\u0007\u2028\ufeff swans"`)), words: []string{"herons", "swans"}},
}

// fetches are the kinds of F6: what an engine would fetch.
var fetches = []request{
	{name: "an image by URL", body: say(asks(list(picture(`{"type":"url","url":"http://127.0.0.1:9/a.png"}`), txt("cranes")))), words: []string{"image", "cranes"}},
	{name: "an image by URL in a result", body: one(gives("toolu_01", list(picture(`{"type":"url","url":"http://127.0.0.1:9/b.png"}`)))) + offer(bash), words: []string{"finches", "image"}},
	{name: "an image of the file system", body: say(asks(list(picture(`{"type":"url","url":"file:///etc/hostname"}`), txt("cranes")))), words: []string{"image", "cranes"}, absent: []string{"/etc/hostname"}},
	{name: "an image from the Files API", body: say(asks(list(picture(`{"type":"file","file_id":"file_1"}`), txt("cranes")))), words: []string{"image", "cranes"}},
	{name: "an image as OpenAI writes it", body: say(asks(list(`{"type":"image_url","image_url":{"url":"http://127.0.0.1:9/c.png"}}`, txt("cranes")))), words: []string{"cranes"}},
	{name: "sound as OpenAI writes it", body: say(asks(list(`{"type":"input_audio","input_audio":{"data":"http://127.0.0.1:9/d.wav","format":"wav"}}`, txt("cranes")))), words: []string{"cranes"}},
	{name: "data that is a URL", body: say(asks(list(picture(`{"type":"base64","media_type":"image/png","data":"http://127.0.0.1:9/e.png"}`), txt("cranes")))), words: []string{"cranes"}, absent: []string{"127.0.0.1"}},
	{name: "a document by URL", body: say(asks(list(paper(`{"type":"url","url":"http://127.0.0.1:9/f.pdf"}`), txt("cranes")))), words: []string{"document", "cranes"}},
	{name: "an image in a document", body: say(asks(list(paper(`{"type":"content","content":[{"type":"text","text":"puffins"},{"type":"image","source":{"type":"url","url":"http://127.0.0.1:9/g.png"}}]}`)))), words: []string{"puffins"}},
	{name: "an image in a system prompt", body: say(asks(`"herons"`)) + `,"system":[{"type":"text","text":"wrens"},{"type":"image","source":{"type":"url","url":"http://127.0.0.1:9/h.png"}}]`, words: []string{"herons"}, also: []string{"wrens"}},
	{name: "a media mark in a text", body: say(asks(`"herons <__media__> swans"`)), words: []string{"herons", "swans"}},
}

// wishes are the kinds of F2, F7, F8, F9, F11 and F12: how the answer is wanted, and what must not be obeyed.
var wishes = []request{
	{kind: "F2", name: "a prompt that is too long", body: say(asks(`"` + strings.Repeat("herons and cranes ", 30_000) + `"`)), refused: "prompt is too long"},
	{kind: "F7", name: "thinking off", body: say(asks(`"herons"`)) + `,"thinking":{"type":"disabled"}`, words: []string{"herons"}, says: "hello", thoughtless: true},
	{kind: "F7", name: "thinking on", body: say(asks(`"herons"`)) + `,"thinking":{"type":"enabled","budget_tokens":1024}`, words: []string{"herons"}},
	{kind: "F7", name: "a budget over max_tokens", body: say(asks(`"herons"`)) + `,"thinking":{"type":"enabled","budget_tokens":99999}`, words: []string{"herons"}},
	{kind: "F7", name: "thinking as it likes, low", body: say(asks(`"herons"`)) + `,"thinking":{"type":"adaptive"},"output_config":{"effort":"low"}`, words: []string{"herons"}, effort: "low"},
	{kind: "F7", name: "effort of its own kind", body: say(asks(`"herons"`)) + `,"output_config":{"effort":"max"}`, words: []string{"herons"}},
	{kind: "F8", name: "no tool", body: say(asks(`"Call the tool Bash"`)) + offer(bash) + `,"tool_choice":{"type":"none"}`, words: []string{"Call the tool Bash"}, absent: []string{`"command"`}, stop: "end_turn"},
	{kind: "F8", name: "any tool", body: say(asks(`"herons"`)) + offer(once) + `,"tool_choice":{"type":"any"}`, words: []string{"herons"}, tools: []string{"Once"}, atMost: "Once", maxTokens: 60},
	{kind: "F8", name: "one tool", body: say(asks(`"herons"`)) + offer(bash, once) + `,"tool_choice":{"type":"tool","name":"Once"}`, words: []string{"herons"}, tools: []string{"Once"}, atMost: "Once", maxTokens: 60},
	{kind: "F8", name: "one tool, against its own wish", body: say(asks(`"Call the tool Bash"`)) + offer(bash, once) + `,"tool_choice":{"type":"tool","name":"Once"}`, words: []string{"Call the tool Bash"}, tools: []string{"Once"}, atMost: "Once", maxTokens: 60},
	{kind: "F8", name: "a tool that is not there", body: say(asks(`"herons"`)) + offer(bash) + `,"tool_choice":{"type":"tool","name":"Zed"}`, refused: "Zed"},
	{kind: "F8", name: "one at a time", body: say(asks(`"Call the tool Bash"`)) + offer(bash) + `,"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`, words: []string{"Call the tool Bash"}, calls: "Bash", stop: "tool_use"},
	{kind: "F9", name: "a format", body: say(asks(`"herons"`)) + `,"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"gannet":{"type":"string"}},"required":["gannet"],"additionalProperties":false}}}`, words: []string{"herons"}, also: []string{"gannet"}},
	{kind: "F9", name: "a format as it was", body: say(asks(`"herons"`)) + `,"output_format":{"type":"json_schema","schema":{"type":"object","properties":{"gannet":{"type":"string"}}}}`, words: []string{"herons"}, also: []string{"gannet"}},
	{kind: "F9", name: "a format after a result", body: one(gives("toolu_01", `"ducks"`)) + offer(bash) + `,"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"gannet":{"type":"string"}}}}}`, words: []string{"ducks"}, also: []string{"gannet"}},
	{kind: "F9", name: "an ugly format", body: say(asks(`"herons"`)) + `,"output_config":{"format":{"type":"json_schema","schema":{"$ref":"#/$defs/gone","type":"any"}}}`, words: []string{"herons"}},
	{kind: "F11", name: "a stop sequence", body: say(asks(`"herons"`)) + `,"stop_sequences":["runner"]`, words: []string{"herons"}, stop: "stop_sequence"},
	{kind: "F11", name: "the second stop sequence", body: say(asks(`"herons"`)) + `,"stop_sequences":["\n\nHuman:","local"]`, words: []string{"herons"}, stop: "stop_sequence"},
	{kind: "F11", name: "a stop sequence that does not come", body: say(asks(`"herons"`)) + `,"stop_sequences":["albatross"]`, words: []string{"herons"}, stop: "end_turn"},
	{kind: "F11", name: "no stop sequences", body: say(asks(`"herons"`)) + `,"stop_sequences":[]`, words: []string{"herons"}, stop: "end_turn"},
	{kind: "F11", name: "cut off", body: say(asks(`"herons"`)), words: []string{"herons"}, stop: "max_tokens", maxTokens: 3},
	{kind: "F12", name: "marks in a prompt", body: say(asks(`"herons MARKS cranes"`)), words: []string{"herons", "cranes"}},
	{kind: "F12", name: "marks in a result", body: one(gives("toolu_01", `"ducks MARKS geese"`)) + offer(bash), words: []string{"ducks", "geese"}},
	{kind: "F12", name: "marks in a block of a result", body: one(gives("toolu_01", list(txt("ducks MARKS geese")))) + offer(bash), words: []string{"ducks", "geese"}},
	{kind: "F12", name: "marks in an input", body: say(asks(`"herons"`), answers(list(use("toolu_01", "Bash", `{"command":"finches MARKS gulls"}`))), asks(list(gives("toolu_01", `"ducks"`)))) + offer(bash), words: []string{"finches", "gulls", "ducks"}},
	{kind: "F12", name: "marks in an answer", body: say(asks(`"herons"`), answers(`"swans MARKS terns"`), asks(`"cranes"`)), words: []string{"swans", "terns", "cranes"}},
	{kind: "F12", name: "marks in a system prompt", body: say(asks(`"herons"`)) + `,"system":"wrens MARKS robins"`, words: []string{"herons"}, also: []string{"wrens", "robins"}},
	{kind: "F12", name: "marks in a description", body: say(asks(`"herons"`)) + offer(`{"name":"Bash","description":"wrens MARKS robins","input_schema":{"type":"object","properties":{}}}`), words: []string{"herons"}},
	{kind: "F12", name: "marks in a document", body: say(asks(list(paper(`{"type":"text","media_type":"text/plain","data":"puffins MARKS auks"}`)))), words: []string{"puffins", "auks"}},
	{kind: "F12", name: "marks in thoughts", body: say(asks(`"herons"`), answers(list(`{"type":"thinking","thinking":"owls MARKS","signature":"s"}`, txt("swans"))), asks(`"cranes"`)), words: []string{"swans", "cranes"}},
	{kind: "F12", name: "marks in a reminder", body: say(asks(`"herons"`), systemSays(`"terns MARKS gulls"`), asks(`"cranes"`)), words: []string{"herons", "terns", "gulls", "cranes"}},
}

// others must be answered, or refused in plain words, as they always were.
var others = []request{
	{name: "samplers", body: say(asks(`"herons"`)) + `,"temperature":1,"top_k":1,"top_p":0.9`, words: []string{"herons"}},
	{name: "samplers that are off", body: say(asks(`"herons"`)) + `,"temperature":2.5,"top_p":5,"top_k":-3`, words: []string{"herons"}},
	{name: "fields of the cloud", body: say(asks(`"herons"`)) + `,"metadata":{"user_id":"u"},"service_tier":"auto","container":"c","context_management":{"edits":[]},"mcp_servers":[],"inference_geo":"us","betas":["x"],"speed":"fast"`, words: []string{"herons"}},
	{name: "marks of the cache", body: say(asks(`[{"type":"text","text":"herons","cache_control":{"type":"ephemeral"}}]`)) + `,"system":[{"type":"text","text":"wrens","cache_control":{"type":"ephemeral"}}]` +
		offer(`{"name":"Bash","description":"d","cache_control":{"type":"ephemeral"},"input_schema":{"type":"object","properties":{}}}`), words: []string{"herons"}, also: []string{"wrens"}},
	{name: "an argument for the template", body: say(asks(`"herons"`)) + `,"chat_template_kwargs":{"enable_thinking":false}`, words: []string{"herons"}},
	{name: "a great max_tokens", body: say(asks(`"herons"`)), words: []string{"herons"}, maxTokens: 128000},
	{name: "a name twice", body: `"messages":[],` + say(asks(`"herons"`)), words: []string{"herons"}},
}

// requests are all of them.
func requests() []request {
	var all []request
	for _, of := range []struct {
		kind string
		list []request
	}{{"F1", schemas}, {"F3", conversations}, {"F4", contents}, {"F5", letters}, {"F6", fetches}, {"", wishes}, {"other", others}} {
		for _, r := range of.list {
			if r.kind == "" {
				r.kind = of.kind
			}
			all = append(all, r)
		}
	}
	return all
}
