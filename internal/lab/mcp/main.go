// Command mcp is an MCP server on standard input and output, with sixty tools whose
// schemas are as ugly as those that people's servers have. Each says its name. With the
// argument "objects" no property is true or false: Claude Code 2.1.197 throws a list away that has such.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// schemas are what generators of schemas write that a sampler has no use for, or that
// an engine refuses.
var schemas = []string{
	`{"type":"object"}`,
	`{"type":"object","properties":{"x":{"type":"string","pattern":"\\d{3}-\\p{L}+"}}}`,
	`{"type":"object","properties":{"x":{"type":"string","minLength":1,"maxLength":50000,"format":"uri"}}}`,
	`{"type":"object","properties":{"x":{"type":"array","minItems":1,"maxItems":5000,"uniqueItems":true,"items":{"type":"string"}}}}`,
	`{"type":"object","properties":{"x":{"type":"file"},"y":{"type":"any"},"z":{"type":"String"}}}`,
	`{"type":"object","properties":{"x":{"$ref":"#/$defs/gone"},"y":{"$ref":"https://example.invalid/schema.json"}}}`,
	`{"type":"object","properties":{"x":{"$ref":"#/$defs/node"}},"$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"}}}}}`,
	`{"type":"object","properties":{"x":{},"y":BOOLEAN}}`,
	`{"type":"object","properties":{"x":{"type":["string","null"]},"y":{"enum":["a",1,null]},"z":{"const":{"k":[1]}}}}`,
	`{"type":"object","properties":{"x":{"oneOf":[{"type":"string"},{"type":"object","properties":{"k":{"not":{"type":"null"}}}}]}}}`,
	`{"type":"object","properties":{"a":{"type":"string"}},"if":{"properties":{"a":{"const":"x"}}},"then":{"required":["b"]},"patternProperties":{"^x-":{"type":"string"}},"propertyNames":{"pattern":"^[a-z]"}}`,
	`{"$schema":"http://json-schema.org/draft-04/schema#","type":"object","properties":{"x":{"type":"integer","minimum":-9007199254740991,"exclusiveMinimum":true},"t":{"type":"array","items":[{"type":"string"},{"type":"number"}]}},"required":["x","ghost"],"additionalProperties":{"type":"string","pattern":"^[a-z]{1,5000}$"}}`,
}

type tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"inputSchema"`
}

func main() {
	boolean := "true"
	if len(os.Args) == 2 && os.Args[1] == "objects" {
		boolean = "{}"
	}
	var tools []tool
	for i := range 60 {
		schema := strings.Replace(schemas[i%len(schemas)], "BOOLEAN", boolean, 1)
		tools = append(tools, tool{fmt.Sprintf("ugly%02d", i), fmt.Sprintf("Says its name, the %dth one.", i), json.RawMessage(schema)})
	}
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var request struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				Name    string `json:"name"`
				Version string `json:"protocolVersion"`
			} `json:"params"`
		}
		if json.Unmarshal(in.Bytes(), &request) != nil || request.ID == nil { // a notification
			continue
		}
		answer := map[string]any{"jsonrpc": "2.0", "id": request.ID}
		switch request.Method {
		case "initialize":
			answer["result"] = map[string]any{"protocolVersion": request.Params.Version, "capabilities": map[string]any{"tools": map[string]any{}}, "serverInfo": map[string]string{"name": "ugly", "version": "1"}}
		case "tools/list":
			answer["result"] = map[string]any{"tools": tools}
		case "tools/call":
			answer["result"] = map[string]any{"content": []map[string]string{{"type": "text", "text": "I am " + request.Params.Name}}}
		case "ping":
			answer["result"] = struct{}{}
		default:
			answer["error"] = map[string]any{"code": -32601, "message": "no method " + request.Method}
		}
		if err := out.Encode(answer); err != nil {
			return
		}
	}
}
