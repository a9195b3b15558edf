package verdict

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-app/switchyard/service/gateway/shape"
)

// llama is llama.cpp's answer with an error.
func llama(code int, message string) string {
	kind := "server_error"
	if code == 400 {
		kind = "invalid_request_error"
	}
	body, _ := json.Marshal(map[string]any{"error": map[string]any{"code": code, "message": message, "type": kind}})
	return string(body)
}

// raises is how llama.cpp reports what a template raises.
func raises(message string) string {
	return "\n------------\nWhile executing CallExpression at line 20, column 64 in source:\n...{{- raise_exception(\"" + message[:min(len(message), 20)] +
		"...\n                                           ^\nError: Jinja Exception: " + message
}

const parserFailed = "Unable to generate parser for this template. Automatic parser generation failed: "

var (
	loose    = []shape.Lesson{shape.LooseSchemas}
	shortIDs = []shape.Lesson{shape.ShortIDs}
	oneCall  = []shape.Lesson{shape.OneCall}
	noTools  = []shape.Lesson{shape.NoTools}
	noSystem = []shape.Lesson{shape.NoSystem}
	blind    = []shape.Lesson{shape.Blind}
)

// texts are all that were seen. What begins with real was answered by llama.cpp 11669 to a
// request by hand.
var texts = []struct {
	from    string
	status  int
	body    string
	reason  Reason
	said    string
	lessons []shape.Lesson
}{
	{"real", 400, llama(400, "request (237434 tokens) exceeds the available context size (32768 tokens), try increasing it"), Overflow, "request (237434 tokens) exceeds the available context size (32768 tokens), try increasing it", nil},
	{"real", 400, `{"error":{"code":400,"message":"request (2120 tokens) exceeds the available context size (512 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":2120,"n_ctx":512}}`, Overflow, "request (2120 tokens) exceeds the available context size (512 tokens), try increasing it", nil},
	{"llama.cpp of 2025", 400, llama(400, "the request exceeds the available context size. try increasing the context size or enable context shift"), Overflow, "the request exceeds the available context size. try increasing the context size or enable context shift", nil},
	{"real, four requests at a time", 500, llama(500, "Context size has been exceeded."), Crowded, "Context size has been exceeded.", nil},
	{"real, four requests at a time, in a stream", 500, `{"code":500,"message":"Context size has been exceeded.","type":"server_error"}`, Crowded, "Context size has been exceeded.", nil},
	{"llama.cpp, server-context.cpp", 500, llama(500, "decode() failed: Context size has been exceeded. off = 69"), Crowded, "Context size has been exceeded. off = 69", nil},
	{"llama.cpp, server-context.cpp", 500, llama(500, "context shift is disabled"), Overflow, "context shift is disabled", nil},
	{"llama.cpp, server-context.cpp", 500, llama(500, "input (9000 tokens) is too large to process. increase the physical batch size (current batch size: 512)"), Overflow, "input (9000 tokens) is too large to process. increase the physical batch size (current batch size: 512)", nil},
	{"llama.cpp, server-context.cpp", 500, llama(500, "input (9000 tokens) is larger than the max context size (8192 tokens). skipping"), Overflow, "input (9000 tokens) is larger than the max context size (8192 tokens). skipping", nil},
	{"llama.cpp of 2025", 500, llama(500, "Input prompt is too big compared to KV size. Please try increasing KV size."), Overflow, "Input prompt is too big compared to KV size. Please try increasing KV size.", nil},
	{"vLLM", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"This model's maximum context length is 65536 tokens. However, you requested 70000 tokens (69000 in the messages, 1000 in the completion)."}}`, Overflow, "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens (69000 in the messages, 1000 in the completion).", nil},
	{"vLLM", 400, llama(400, "The decoder prompt (length 70000) is longer than the maximum model length of 65536."), Overflow, "The decoder prompt (length 70000) is longer than the maximum model length of 65536.", nil},

	{"real", 500, llama(500, "The model produced output that does not match the expected peg-native format"), BadOutput, "The model produced output that does not match the expected peg-native format", nil},
	{"real, in a stream", 500, `{"code":500,"message":"The model produced output that does not match the expected peg-native format","type":"server_error"}`, BadOutput, "The model produced output that does not match the expected peg-native format", nil},
	{"llama.cpp#24327", 500, llama(500, "Failed to parse input at pos 184: <tool_call>the secret request exceeds the available context size"), BadOutput, "Failed to parse input at pos 184", nil},
	{"llama.cpp, chat.cpp", 500, llama(500, "Invalid diff: 'a secret' not found at start of 'b'"), BadOutput, "Invalid diff", nil},

	{"real", 500, llama(500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"), NoImages, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", blind},
	{"llama.cpp, server-common.cpp", 400, llama(400, "Multimodal data provided, but model does not support multimodal requests."), NoImages, "Multimodal data provided, but model does not support multimodal requests.", blind},
	{"vLLM", 400, llama(400, "At most 0 image(s) may be provided in one prompt."), NoImages, "At most 0 image(s) may be provided in one prompt.", blind},
	{"llama.cpp, server-common.cpp", 400, llama(400, "Failed to load image or audio file"), BadImage, "Failed to load image or audio file", nil},
	{"llama.cpp, server-common.cpp", 400, llama(400, "too many images, the maximum is 8"), BadImage, "too many images, the maximum is 8", nil},
	{"llama.cpp, server-common.cpp", 400, llama(400, "Failed to download image"), BadImage, "Failed to download image", nil},

	{"real", 400, llama(400, parserFailed+"JSON schema error at #/properties/f: unrecognized type file"), SchemaRefused, "JSON schema error at #/properties/f: unrecognized type file", loose},
	{"real", 500, llama(500, "JSON schema error at #/properties/y: schema must be an object"), SchemaRefused, "JSON schema error at #/properties/y: schema must be an object", loose},
	{"real", 400, llama(400, parserFailed+"JSON schema conversion failed:\nInvalid pattern ^(a$: unbalanced parentheses"), SchemaRefused, "JSON schema conversion failed: Invalid pattern ^(a$: unbalanced parentheses", loose},
	{"llama.cpp#19716", 400, llama(400, "JSON schema conversion failed:\nUnrecognized schema: {\"description\":\"secret\"}"), SchemaRefused, "JSON schema conversion failed: Unrecognized schema", loose},
	{"opencodex#2135", 400, llama(400, "Failed to initialize samplers: failed to parse grammar"), SchemaRefused, "Failed to initialize samplers: failed to parse grammar", loose},
	{"llama.cpp of 2025", 400, llama(400, "Failed to parse grammar"), SchemaRefused, "Failed to parse grammar", loose},
	{"llama.cpp#22396", 400, llama(400, "Failed to initialize samplers: std::exception"), SchemaRefused, "Failed to initialize samplers: std::exception", loose},
	{"llama.cpp, chat.cpp", 500, llama(500, "Failed to parse tools: [json.exception.type_error.302] type must be string, but is null; tools = [{\"secret\":1}]"), SchemaRefused, "Failed to parse tools: [json.exception.type_error.302] type must be string, but is null", loose},

	{"real, Mistral Nemo", 400, llama(400, parserFailed+raises("Tool call IDs should be alphanumeric strings with length 9!")), TemplateRefused, "Tool call IDs should be alphanumeric strings with length 9!", shortIDs},
	{"real, Llama 3.1", 400, llama(400, parserFailed+raises("This model only supports single tool-calls at once!")), TemplateRefused, "This model only supports single tool-calls at once!", oneCall},
	{"real, Gemma", 400, llama(400, parserFailed+raises("Conversation roles must alternate user/assistant/user/assistant/...")), TemplateRefused, "Conversation roles must alternate user/assistant/user/assistant/...", []shape.Lesson{shape.NoSystem, shape.NoTools}},
	{"real, Mistral Nemo", 400, llama(400, parserFailed+raises("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...")), TemplateRefused, "After the optional system message, conversation roles must alternate user/assistant/user/assistant/...", nil},
	{"real, Mistral", 500, llama(500, raises("Only user, assistant and tool roles are supported, got system.")), TemplateRefused, "Only user, assistant and tool roles are supported, got system.", noSystem},
	{"real, Qwen3.5", 500, llama(500, raises("System message must be at the beginning.")), TemplateRefused, "System message must be at the beginning.", noSystem},
	{"real, Qwen3.5", 500, llama(500, raises("No user query found in messages.")), TemplateRefused, "No user query found in messages.", nil},
	{"real, Qwen3-Coder", 500, llama(500, "\n------------\nWhile executing FilterExpression at line 32, column 53 in source:\n...in tool_call.arguments|items %}...\n   ^\nError: Unknown (built-in) filter 'items' for type String"), TemplateRefused, "Unknown (built-in) filter 'items' for type String", nil},
	{"Gemma 2", 500, llama(500, raises("System role not supported")), TemplateRefused, "System role not supported", noSystem},
	{"the first Mistral", 500, llama(500, raises("Only user and assistant roles are supported!")), TemplateRefused, "Only user and assistant roles are supported!", []shape.Lesson{shape.NoSystem, shape.NoTools}},
	{"a template", 500, llama(500, raises("This model does not support tools")), TemplateRefused, "This model does not support tools", noTools},
	{"llama.cpp of 2025, minja", 500, llama(500, "Cannot pass both content and thinking in an assistant message with tool calls! at row 290, column 178:\n   {%- if message.content %}"), TemplateRefused, "Cannot pass both content and thinking in an assistant message with tool calls!", nil},
	{"jan#6123, minja", 500, llama(500, "Value is not callable: null at row 49, column 79:\n   {%- set content = 1 %}"), TemplateRefused, "Value is not callable: null", nil},
	{"llama.cpp of 2025", 500, llama(500, "tools param requires --jinja flag"), TemplateRefused, "tools param requires --jinja flag", noTools},
	{"vLLM", 400, llama(400, `"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set`), TemplateRefused, `"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set`, noTools},
	{"vLLM", 400, llama(400, "After the optional system message, conversation roles must alternate user/assistant/user/assistant/..."), TemplateRefused, "After the optional system message, conversation roles must alternate user/assistant/user/assistant/...", nil},

	{"real", 500, llama(500, "Failed to parse messages: [json.exception.type_error.302] type must be string, but is null"), Refused, "Failed to parse messages: [json.exception.type_error.302] type must be string, but is null", nil},
	{"llama.cpp of 2025", 500, llama(500, "Failed to parse messages: Unsupported content part type: \"document\"; messages = [{\"content\":\"a secret out of memory\"}]"), Refused, `Failed to parse messages: Unsupported content part type: "document"`, nil},
	{"real", 400, llama(400, `[json.exception.parse_error.101] parse error at line 1, column 114: syntax error while parsing value - invalid string; last read: '"a secret"'`), Refused, "[json.exception.parse_error.101] parse error at line 1, column 114: syntax error while parsing value - invalid string", nil},
	{"real", 400, llama(400, "Field 'max_tokens': [json.exception.type_error.302] type must be number, but is string"), Refused, "Field 'max_tokens': [json.exception.type_error.302] type must be number, but is string", nil},
	{"real", 500, llama(500, "'messages' is required"), Refused, "'messages' is required", nil},
	{"real", 400, llama(400, "Cannot have 2 or more assistant messages at the end of the list."), Refused, "Cannot have 2 or more assistant messages at the end of the list.", nil},
	{"real", 400, llama(400, "All non-assistant messages must contain 'content'"), Refused, "All non-assistant messages must contain 'content'", nil},
	{"real", 400, llama(400, `invalid type for "enable_thinking" (expected boolean, got string)`), Refused, `invalid type for "enable_thinking" (expected boolean, got string)`, nil},
	{"llama.cpp, chat.cpp", 500, llama(500, "Failed to parse tool call arguments as JSON: [json.exception.parse_error.101] parse error; last read: 'secret'"), Refused, "Failed to parse tool call arguments as JSON: [json.exception.parse_error.101] parse error", nil},
	{"llama.cpp, server-context.cpp", 500, llama(500, "Failed to tokenize prompt"), Refused, "Failed to tokenize prompt", nil},
	{"Model Runner", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Invalid JSON in request body"}}`, Refused, "Invalid JSON in request body", nil},
	{"anything", 422, `{"error":"no such sampler"}`, Refused, "no such sampler", nil},
	{"vLLM", 400, `{"detail":"no such sampler"}`, Refused, "no such sampler", nil},

	{"Model Runner", 500, "unable to load runner: error waiting for runner to be ready: llama.cpp terminated unexpectedly: llama.cpp failed: not enough GPU memory to load the model (CUDA)\n\nVerbose output:\nJinja Exception: {\"a\":1}", OutOfMemory, "unable to load runner: error waiting for runner to be ready: llama.cpp terminated unexpectedly: llama.cpp failed: not enough GPU memory to load the model (CUDA)", nil},
	{"Model Runner, Vulkan", 500, "unable to load runner: error waiting for runner to be ready: llama.cpp terminated unexpectedly: llama.cpp failed: failed to load model\n\nVerbose output:\nggml_vulkan: Device memory allocation of size 1 failed.\nggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory", OutOfMemory, "unable to load runner: error waiting for runner to be ready: llama.cpp terminated unexpectedly: llama.cpp failed: failed to load model", nil},
	{"Model Runner", 500, "unable to load runner: error waiting for runner to be ready: llama.cpp terminated unexpectedly: llama.cpp failed: failed to load model\n\nVerbose output:\nerror loading model architecture: unknown model architecture: 'new'", ModelUnknown, "unable to load runner: error waiting for runner to be ready: llama.cpp terminated unexpectedly: llama.cpp failed: failed to load model", nil},
	{"Model Runner", 500, "unable to load runner: error waiting for runner to be ready: llama.cpp terminated unexpectedly: llama.cpp failed: failed to load model\n\nVerbose output:\nllama_model_load: error loading model: tensor 'x' data is not within the file bounds, model is corrupted or incomplete", ModelDamaged, "unable to load runner: error waiting for runner to be ready: llama.cpp terminated unexpectedly: llama.cpp failed: failed to load model", nil},
	{"Model Runner", 500, "unable to load runner: llama.cpp terminated unexpectedly: llama.cpp failed: exit status 3\n", EngineFailed, "unable to load runner: llama.cpp terminated unexpectedly: llama.cpp failed: exit status 3", nil},
	{"Model Runner, amid an answer", 500, `{"type":"error","code":null,"message":"llama.cpp terminated unexpectedly: llama.cpp failed: srv got exception: Jinja Exception: x","param":null,"sequence_number":1}`, EngineFailed, "llama.cpp terminated unexpectedly: llama.cpp failed: srv got exception: Jinja Exception: x", nil},
	{"Model Runner", 500, "unable to load runner: error waiting for runner to be ready: inference backend took too long to initialize", Loading, "unable to load runner: error waiting for runner to be ready: inference backend took too long to initialize", nil},
	{"Model Runner", 500, "unable to load runner: backend loading disabled", Loading, "unable to load runner: backend loading disabled", nil},
	{"Model Runner", 502, "", EngineFailed, "", nil},
	{"Model Runner", 503, "service unavailable", Loading, "service unavailable", nil},
	{"Model Runner", 503, "backend installation failed: no space left", Refused, "backend installation failed: no space left", nil},
	{"Model Runner", 412, `backend "llama.cpp" is not installed; run: docker model install-runner --backend llama.cpp`, Refused, `backend "llama.cpp" is not installed; run: docker model install-runner --backend llama.cpp`, nil},
	{"Model Runner", 404, `{"type":"error","error":{"type":"not_found_error","message":"Model not found: docker.io/ai/tiny:latest"}}`, ModelMissing, "Model not found: docker.io/ai/tiny:latest", nil},
	{"Model Runner before 1.0.11", 404, "not found\n", EngineOld, "not found", nil},
	{"llama.cpp before its Messages API", 404, `{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}`, EngineOld, "File Not Found", nil},
	{"Model Runner", 413, `{"type":"error","error":{"type":"request_too_large","message":"Request body too large"}}`, TooLarge, "Request body too large", nil},
	{"Model Runner", 500, `{"type":"error","error":{"type":"internal_error","message":"Failed to read request body"}}`, Broken, "Failed to read request body", nil},

	{"real", 503, llama(503, "Loading model"), Loading, "Loading model", nil},
	{"llama.cpp of 2025", 503, llama(503, "slot unavailable"), Busy, "slot unavailable", nil},
	{"a proxy", 429, "slow down", Busy, "slow down", nil},
	{"llama.cpp, server-context.cpp", 500, llama(500, "Compute error."), EngineFailed, "Compute error.", nil},
	{"llama.cpp, server-context.cpp", 500, llama(500, "decode() failed: Invalid input batch."), EngineFailed, "Invalid input batch.", nil},
	{"llama.cpp", 500, llama(500, "CUDA error: out of memory"), OutOfMemory, "CUDA error: out of memory", nil},
	{"anything", 500, "backend\n\tis odd\n", EngineFailed, "backend is odd", nil},
	{"anything", 302, "elsewhere", Broken, "elsewhere", nil},
}

func TestTexts(t *testing.T) {
	hit := map[string]bool{}
	for _, tt := range texts {
		got := Of(tt.status, []byte(tt.body))
		if got.Reason != tt.reason || got.Said != tt.said || !slices.Equal(got.Lessons, tt.lessons) {
			t.Errorf("%s, %d: %s\n%s %q %v\nwant\n%s %q %v", tt.from, tt.status, tt.body, got.Reason, got.Said, got.Lessons, tt.reason, tt.said, tt.lessons)
		}
		if strings.Contains(got.Said, "secret") {
			t.Errorf("words of a conversation are shown: %s", got.Said)
		}
		for _, r := range compiled() {
			if r.pattern.MatchString(read([]byte(tt.body)).whole) || r.pattern.MatchString(got.Said) {
				hit[r.text] = true
				break
			}
		}
	}
	for _, r := range table {
		if !hit[r.text] {
			t.Errorf("no text is known for the row %s", r.text)
		}
	}
}

// What Claude Code gets, whether it tries again, and whether the keeper acts.
func TestEffects(t *testing.T) {
	for _, tt := range []struct {
		reason Reason
		status int
		again  bool
		sick   bool
	}{
		{Overflow, 400, false, false}, {OutOfMemory, 400, false, false}, {NoImages, 400, false, false}, {BadImage, 400, false, false},
		{Refused, 400, false, false}, {TemplateRefused, 400, false, false}, {SchemaRefused, 400, false, false},
		{ModelUnknown, 400, false, false}, {ModelDamaged, 400, false, false}, {EngineOld, 400, false, false}, {TooLarge, 413, false, false},
		{ModelMissing, 404, true, false}, {BadOutput, 500, true, false}, {Loading, 503, true, false}, {Busy, 529, true, false}, {Crowded, 529, true, false},
		{EngineFailed, 500, true, true}, {Broken, 502, true, true}, {RunnerDown, 503, true, true},
	} {
		e := tt.reason.Effect()
		again := e.Status == 404 || e.Status >= 500
		if e.Status != tt.status || again != tt.again || e.Sick != tt.sick || e.Type == "" {
			t.Errorf("%s: %+v", tt.reason, e)
		}
	}
}

// An overflow names both numbers, wherever they stand.
func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		body          string
		tokens, limit int
	}{
		{`{"error":{"message":"request (9 tokens) exceeds the available context size (5 tokens)","n_prompt_tokens":10,"n_ctx":6}}`, 10, 6},
		{`{"message":"request (9 tokens) exceeds the available context size (5 tokens)","n_prompt_tokens":10,"n_ctx":6}`, 10, 6},
		{`{"error":{"message":"request (9 tokens) exceeds the available context size (5 tokens)"}}`, 9, 5},
		{llama(400, "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens"), 70000, 65536},
		{llama(400, "The decoder prompt (length 70000) is longer than the maximum model length of 65536."), 70000, 65536},
		{llama(500, "context shift is disabled"), 0, 0},
	} {
		if v := Of(400, []byte(tt.body)); v.Reason != Overflow || v.Tokens != tt.tokens || v.Limit != tt.limit {
			t.Errorf("%s: %+v", tt.body, v)
		}
	}
}

// A long text keeps the part that names the reason.
func TestTheReasonIsNotCut(t *testing.T) {
	long := strings.Replace(raises("it is so"), "...", strings.Repeat("a long line of a template ", 100), 1)
	if v := Of(500, []byte(llama(500, long))); v.Said != "it is so" {
		t.Errorf("%+v", v)
	}
	if v := Of(400, []byte(strings.Repeat("ä", 1000))); len([]rune(v.Said)) != 301 {
		t.Errorf("%d characters", len([]rune(v.Said)))
	}
}

// Every body gets a verdict, and none a long text.
func FuzzOf(f *testing.F) {
	for _, tt := range texts {
		f.Add(tt.status, tt.body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if v := Of(status, []byte(body)); v.Reason == "" || len([]rune(v.Said)) > 301 || strings.ContainsAny(v.Said, "\n\r") {
			t.Errorf("%+v", v)
		}
	})
}
