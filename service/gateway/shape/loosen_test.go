package shape

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// mended is a schema as a tool gets it.
func mended(t testing.TB, in string, loose bool) (out string, dropped bool) {
	t.Helper()
	r := reader{Scanner: document.Scan([]byte(in))}
	read, err := r.schema()
	if err != nil {
		t.Fatalf("%v in %s", err, in)
	}
	m := mender{loose: loose}
	m.mend(&read)
	written := read.rope()
	return string(written.Bytes()), m.dropped
}

// argument is a tool's schema with one property, and with what references lead to.
func argument(property string) string {
	return `{"type":"object","properties":{"p":` + property + `},"$defs":{"s":{"type":"string"},"tree":{"type":"object","properties":{"next":{"$ref":"#/$defs/tree"}}},"a b":{"type":"null"}}}`
}

func TestASchemaIsWhatEveryEngineTakes(t *testing.T) {
	tests := map[string]struct{ in, want, loose string }{ // loose is empty where nothing more goes
		"plain":                        {`{"type":"string","description":"d","default":true,"title":"T","nullable":true}`, `same`, ``},
		"what Claude Code has":         {`{"type":"integer","exclusiveMinimum":0,"maximum":9007199254740991,"description":"d"}`, `same`, `{"type":"integer","description":"d"}`},
		"a list of types":              {`{"type":["string","null"]}`, `same`, ``},
		"an enum of all kinds":         {`{"enum":["a",1,null,{"a":[true]}]}`, `same`, ``},
		"a constant":                   {`{"const":{"type":"file"}}`, `same`, ``},
		"alternatives":                 {`{"anyOf":[{"type":"string"},{"type":"null"}],"description":"d"}`, `same`, ``},
		"a tree":                       {`{"$ref":"#/$defs/tree"}`, `same`, ``},
		"a tuple":                      {`{"type":"array","prefixItems":[{"type":"string"}]}`, `same`, ``},
		"words of its own":             {`{"x-order":1,"x":{"$ref":"nowhere"},"examples":[{"type":"file"}]}`, `same`, `{"examples":[{"type":"file"}]}`},
		"true":                         {`true`, `{}`, ``},
		"false":                        {`false`, `{}`, ``},
		"null":                         {`null`, `{}`, ``},
		"a text":                       {`"string"`, `{}`, ``},
		"a list":                       {`[{"type":"string"}]`, `{}`, ``},
		"a file":                       {`{"type":"file","description":"d"}`, `{"description":"d"}`, ``},
		"any":                          {`{"type":"any"}`, `{}`, ``},
		"other letters":                {`{"type":"String"}`, `{"type":"string"}`, ``},
		"Python's":                     {`{"type":["int","NoneType","None"]}`, `{"type":["integer","null"]}`, ``},
		"no type":                      {`{"type":[]}`, `{}`, ``},
		"a type that is none":          {`{"type":{"a":1}}`, `{}`, ``},
		"one known of two":             {`{"type":["string","file"]}`, `{"type":["string"]}`, ``},
		"to nowhere":                   {`{"$ref":"#/$defs/none","description":"d"}`, `{"description":"d"}`, ``},
		"to a URL":                     {`{"$ref":"https://example.com/s.json"}`, `{}`, ``},
		"to the whole":                 {`{"$ref":"#"}`, `{}`, ``},
		"to an anchor":                 {`{"$ref":"#s"}`, `{}`, ``},
		"no reference":                 {`{"$ref":7}`, `{}`, ``},
		"escaped":                      {`{"$ref":"#/$defs/a%20b"}`, `{"$ref":"#/$defs/a b"}`, ``},
		"badly escaped":                {`{"$ref":"#/$defs/a%2"}`, `{}`, ``},
		"to itself":                    {`{"$ref":"#/properties/p"}`, `{}`, ``},
		"round through any":            {`{"anyOf":[{"$ref":"#/properties/p"},{"type":"null"}]}`, `{"anyOf":[{},{"type":"null"}]}`, ``},
		"round through a list":         {`{"type":"array","items":{"$ref":"#/properties/p"}}`, `same`, `{"type":"array","items":{}}`},
		"to an alternative":            {`{"anyOf":[{"type":"string"},{"$ref":"#/properties/p/anyOf/0"}]}`, `same`, ``},
		"beyond the alternatives":      {`{"anyOf":[{"type":"string"},{"$ref":"#/properties/p/anyOf/2"}]}`, `{"anyOf":[{"type":"string"},{}]}`, ``},
		"to no schema":                 {`{"x":{"type":"string"},"items":{"$ref":"#/properties/p/x"}}`, `{"x":{"type":"string"},"items":{}}`, `{"items":{}}`},
		"no values":                    {`{"enum":[]}`, `{}`, ``},
		"values that are none":         {`{"enum":null}`, `{}`, ``},
		"no alternatives":              {`{"type":"string","anyOf":[],"oneOf":{},"allOf":null}`, `{"type":"string"}`, ``},
		"alternatives that are none":   {`{"anyOf":[true,{"type":"string"}]}`, `{"anyOf":[{},{"type":"string"}]}`, ``},
		"alternatives of what to give": {`{"type":"object","properties":{"a":{}},"anyOf":[{"required":["a"]},{"required":["b"]}]}`, `{"type":"object","properties":{"a":{}}}`, ``},
		"no properties":                {`{"type":"object","properties":null}`, `{"type":"object"}`, ``},
		"properties in a list":         {`{"type":"object","properties":[]}`, `{"type":"object"}`, ``},
		"properties deep down":         {`{"type":"array","items":{"properties":{"a":true}}}`, `{"type":"array","items":{"properties":{"a":{}}}}`, ``},
		"more that is none":            {`{"type":"object","additionalProperties":"no"}`, `{"type":"object"}`, ``},
		"more of a file":               {`{"type":"object","additionalProperties":{"type":"file"}}`, `{"type":"object","additionalProperties":{}}`, ``},
		"items that are none":          {`{"type":"array","prefixItems":[{"type":"string"}],"items":false}`, `{"type":"array","prefixItems":[{"type":"string"}]}`, ``},
		"items of a file":              {`{"type":"array","items":[{"type":"file"}]}`, `{"type":"array","items":[{}]}`, ``},
		"a ghost":                      {`{"type":"object","properties":{"a":{}},"required":["a","ghost"]}`, `{"type":"object","properties":{"a":{}},"required":["a"]}`, ``},
		"a ghost from elsewhere":       {`{"type":"object","properties":{"a":{}},"required":["b"],"allOf":[{"properties":{"b":{}}}]}`, `same`, ``},
		"a ghost that may come":        {`{"type":"object","properties":{"a":{}},"required":["b"],"additionalProperties":true}`, `same`, ``},
		"draft 3":                      {`{"type":"string","required":true}`, `{"type":"string"}`, ``},
		"too long for an engine":       {`{"type":"string","maxLength":9007199254740991,"minLength":-1}`, `{"type":"string"}`, ``},
		"no count":                     {`{"type":"array","maxItems":10.5,"minItems":"1"}`, `{"type":"array"}`, ``},
		"long, but possible":           {`{"type":"string","maxLength":100000}`, `same`, `{"type":"string"}`},
		"many that must be":            {`{"type":"array","minItems":100000}`, `{"type":"array"}`, ``},
		"more than at most":            {`{"type":"string","minLength":10,"maxLength":2,"description":"d"}`, `{"type":"string","description":"d"}`, ``},
		"draft 4":                      {`{"type":"integer","minimum":0,"exclusiveMinimum":true}`, `{"type":"integer","minimum":0}`, `{"type":"integer"}`},
		"no bounds":                    {`{"type":"integer","minimum":null,"maximum":"9"}`, `{"type":"integer"}`, ``},
		"bounds far away":              {`{"type":"integer","minimum":-1e300,"maximum":1e300}`, `{"type":"integer"}`, ``},
		"a bound to one side":          {`{"type":"integer","maximum":-9007199254740991}`, `{"type":"integer"}`, ``},
		"bounds the wrong way":         {`{"type":"integer","minimum":10,"maximum":2}`, `{"type":"integer"}`, ``},
		"a pattern":                    {`{"type":"string","pattern":"^[a-z]+$"}`, `same`, `{"type":"string"}`},
		"no pattern":                   {`{"type":"string","pattern":""}`, `{"type":"string"}`, ``},
		"a broken pattern":             {`{"type":"string","pattern":"^([a-z$"}`, `{"type":"string"}`, ``},
		"an end that is escaped":       {`{"type":"string","pattern":"^\\$"}`, `{"type":"string"}`, ``},
		"nothing to repeat":            {`{"type":"string","pattern":"^*$"}`, `{"type":"string"}`, ``},
		"repeated too often":           {`{"type":"string","pattern":"^[a-z]{1,5000}$"}`, `{"type":"string"}`, ``},
		"repeated backwards":           {`{"type":"string","pattern":"^a{10,2}$"}`, `{"type":"string"}`, ``},
		"a look ahead":                 {`{"type":"string","pattern":"^(?!x).*$"}`, `{"type":"string"}`, ``},
		"no format":                    {`{"type":"string","format":null}`, `{"type":"string"}`, ``},
		"no description":               {`{"type":"string","description":5}`, `{"type":"string"}`, ``},
		"conditions":                   {`{"if":{"type":"string"},"then":false,"else":{},"not":{}}`, `same`, `{}`},
		"names by pattern":             {`{"type":"object","patternProperties":{"^x":true},"propertyNames":{"pattern":"^x"}}`, `same`, `{"type":"object"}`},
		"what depends":                 {`{"type":"object","dependentRequired":{"a":["b"]},"dependentSchemas":{},"dependencies":{},"unevaluatedProperties":false}`, `same`, `{"type":"object"}`},
		"contents":                     {`{"type":"string","contentEncoding":"base64","contentMediaType":"image/png"}`, `same`, `{"type":"string"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := strings.Replace(tt.want, "same", tt.in, 1)
			if got, dropped := mended(t, argument(tt.in), false); got != argument(want) || dropped {
				t.Errorf("got  %s (%v)\nwant %s", got, dropped, argument(want))
			}
			got, dropped := mended(t, argument(tt.in), true)
			if tt.loose == "" {
				tt.loose = want
			}
			loose := strings.Replace(argument(tt.loose), `"properties":{"next":{"$ref":"#/$defs/tree"}}`, `"properties":{"next":{}}`, 1)
			if got != loose || !dropped {
				t.Errorf("loosened: got  %s (%v)\nwant %s", got, dropped, loose)
			}
		})
	}
}

func TestAToolsOwnSchemaIsAnObject(t *testing.T) {
	const free = `{"type":"object","properties":{},"additionalProperties":true}`
	for in, want := range map[string]string{
		`{}`:                                free,
		`true`:                              free,
		`[]`:                                free,
		`{"type":"object"}`:                 free,
		`{"type":"array"}`:                  strings.Replace(free, "object", "object", 1),
		`{"type":["object","null"]}`:        free,
		`{"type":"object","properties":{}}`: `{"type":"object","properties":{}}`,
		`{"properties":{"a":{}}}`:           `{"properties":{"a":{}},"type":"object"}`,
		`{"type":"object","additionalProperties":false}`:        `{"type":"object","additionalProperties":false,"properties":{}}`,
		`{"type":"object","anyOf":[{"properties":{"a":{}}}]}`:   `{"type":"object","anyOf":[{"properties":{"a":{}}}]}`,
		`{"type":"object","anyOf":[{"required":["a"]}]}`:        free,
		`{"type":"object","required":["a"],"properties":false}`: `{"type":"object","required":["a"],"properties":{},"additionalProperties":true}`,
	} {
		if got, _ := mended(t, in, false); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// nested is n schemas in one another.
func nested(n int) string {
	return strings.Repeat(`{"type":"object","properties":{"x":`, n) + `{"type":"string"}` + strings.Repeat(`}}`, n)
}

func TestWhatIsNestedDeepIsCutOff(t *testing.T) {
	for _, tt := range []struct {
		in, want      int
		loose, loosen bool
	}{{5, 5, false, false}, {20, 20, false, false}, {22, 21, false, false}, {1000, 21, false, false}, {9, 9, true, false}, {15, 11, true, true}, {1000, 11, true, true}} {
		want := nested(tt.want)
		if tt.in > tt.want {
			want = strings.Replace(want, `{"type":"string"}`, `{}`, 1)
		}
		got, dropped := mended(t, nested(tt.in), tt.loose)
		if got != want || dropped != tt.loosen {
			t.Errorf("%d, loose %v: %v\ngot  %s\nwant %s", tt.in, tt.loose, dropped, got, want)
		}
	}
}

// A thousand definitions that all lead to one another take no time.
func TestReferencesAreFollowedOnce(t *testing.T) {
	var defs []string
	for i := range 1000 {
		defs = append(defs, fmt.Sprintf(`"d%d":{"anyOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]}`, i, (i+1)%1000, (i+2)%1000))
	}
	in := `{"type":"object","properties":{"p":{"$ref":"#/$defs/d0"}},"$defs":{` + strings.Join(defs, ",") + `}}`
	got, _ := mended(t, in, false)
	if left := strings.Count(got, "$ref"); left != 2001-3 {
		t.Errorf("%d references are left", left)
	}
}

func FuzzSchemas(f *testing.F) {
	f.Add([]byte(argument(`{"$ref":"#/$defs/tree","required":["a"],"anyOf":[{"required":["b"],"$ref":"#"}]}`)), true)
	f.Add([]byte(argument(`{"type":"integer","minimum":1e99,"maximum":-3,"enum":[],"items":true}`)), false)
	f.Add([]byte(nested(30)), true)
	f.Fuzz(func(t *testing.T, in []byte, loose bool) {
		if !json.Valid(in) {
			return
		}
		once, dropped := mended(t, string(in), loose)
		if !json.Valid([]byte(once)) {
			t.Fatalf("no JSON: %s", once)
		}
		twice, again := mended(t, once, loose)
		if twice != once || again {
			t.Errorf("not the same the second time (%v)\n%s\n%s", again, once, twice)
		}
		plain, _ := mended(t, string(in), false)
		if loosened, _ := mended(t, plain, true); loose && loosened != once && !dropped {
			t.Errorf("loosened later it is another\n%s\n%s", once, loosened)
		}
	})
}
