package shape

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/switchyard-app/switchyard/service/gateway/document"
)

// clients are the tools that Anthropic defines and the client runs: a request names the
// type alone, as Claude was trained on them. Any other model has to be told. Their
// parameters are those of docs.claude.com, "Tool use".
var clients = []struct{ kind, description, schema string }{
	{"bash_", "Runs a command in a shell that stays open between calls. Give either a command or restart.",
		`{"type":"object","properties":{"command":{"type":"string","description":"The command to run"},"restart":{"type":"boolean","description":"Start the shell anew"}}}`},
	{"text_editor_2024", "Looks at, creates and edits text files.", editor("new_str", `,"undo_edit"`)},
	{"text_editor_202501", "Looks at, creates and edits text files.", editor("new_str", `,"undo_edit"`)},
	{"text_editor_", "Looks at, creates and edits text files.", editor("insert_text", "")},
	{"memory_", "Keeps notes in files below /memories, which are there in later conversations too. Look at them before you begin.",
		`{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"]},"path":{"type":"string","description":"File or folder, for all commands but rename"},` +
			`"view_range":{"type":"array","items":{"type":"integer"},"description":"First and last line, for view"},"file_text":{"type":"string","description":"The file's text, for create"},` +
			`"old_str":{"type":"string","description":"What to replace: it must be there exactly once"},"new_str":{"type":"string","description":"What to put in its place"},` +
			`"insert_line":{"type":"integer","description":"The line after which to insert"},"insert_text":{"type":"string","description":"What to insert"},` +
			`"old_path":{"type":"string","description":"For rename"},"new_path":{"type":"string","description":"For rename"}},"required":["command"]}`},
	{"computer_2", "Uses a computer's screen, mouse and keyboard.",
		`{"type":"object","properties":{"action":{"type":"string","enum":["key","type","mouse_move","left_click","left_click_drag","right_click","middle_click","double_click","triple_click","left_mouse_down","left_mouse_up","scroll","hold_key","wait","screenshot","cursor_position","zoom"]},` +
			`"coordinate":{"type":"array","items":{"type":"integer"},"description":"Where, as x and y"},"start_coordinate":{"type":"array","items":{"type":"integer"},"description":"Where a drag begins"},` +
			`"region":{"type":"array","items":{"type":"integer"},"description":"What to zoom: left, top, right, bottom"},"text":{"type":"string","description":"What to type, or the key to press"},` +
			`"scroll_direction":{"type":"string","enum":["up","down","left","right"]},"scroll_amount":{"type":"integer"},"duration":{"type":"number","description":"Seconds, to wait or to hold a key"}},"required":["action"]}`},
}

// editor is the schema of a text editor; the parameter for what to insert has changed.
func editor(insert, more string) string {
	schema := `{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert"` + more + `]},"path":{"type":"string","description":"Absolute path of a file or folder"},` +
		`"view_range":{"type":"array","items":{"type":"integer"},"description":"First and last line, for view; -1 is the end"},"file_text":{"type":"string","description":"The file's text, for create"},` +
		`"old_str":{"type":"string","description":"What to replace: it must be there exactly once"},"new_str":{"type":"string","description":"What to put in its place"},` +
		`"insert_line":{"type":"integer","description":"The line after which to insert"}`
	if insert != "new_str" {
		schema += `,"` + insert + `":{"type":"string","description":"What to insert"}`
	}
	return schema + `},"required":["command","path"]}`
}

// client is a tool of a type that Anthropic defines, with the description and schema that
// the client does not send; nil for a type of another kind.
func client(kind string, members []document.Member) []document.Member {
	for _, c := range clients {
		if !strings.HasPrefix(kind, c.kind) {
			continue
		}
		described := c.description
		if w, h := document.Find(members, "display_width_px"), document.Find(members, "display_height_px"); w.Kind() == '0' && h.Kind() == '0' {
			described += fmt.Sprintf(" The screen is %s pixels wide and %s high.", w, h)
		}
		return []document.Member{
			{Name: "name", Value: document.Find(members, "name")},
			{Name: "description", Value: document.Quote(described)},
			{Name: "input_schema", Value: jsontext.Value(c.schema)},
		}
	}
	return nil
}
