package verdict

import "github.com/switchyard-app/switchyard/service/gateway/shape"

// row is an error text and what it means.
type row struct {
	text    string // a regular expression for the text without its wrappers; ^ is its very beginning
	reason  Reason
	lessons []shape.Lesson
}

const (
	// loads begins what Model Runner says of an engine that did not start, or ended. The
	// engine's log may follow, with anything in it: so these rows come first.
	loads = `^(?:unable to (?:load|start) |error waiting for runner to be ready|(?:llama\.cpp|vllm|mlx|sglang)[\w.-]* (?:terminated unexpectedly|failed:|exit status)|inference backend )`
	// memory is a lack of it, in the words of CUDA, Metal, Vulkan, ROCm and llama.cpp.
	memory = `not enough (?:gpu )?memory|out of (?:device |gpu |host )?memory|(?:cuda|hip|musa)malloc\w* failed|failed to allocate|unable to allocate|ErrorOutOf(?:Device|Host)Memory|insufficient memory|bad_alloc`
)

// table lists every text that was seen: with llama.cpp 11669, in its sources of 2025 and 2026
// (tools/server, common/chat.cpp, common/json-schema*.cpp, common/jinja, and minja before it), in
// Model Runner 1.2.6's, in its vLLM, and in reports of users. The first row that fits counts.
var table = []row{
	// Model Runner, about an engine's process.
	{text: loads + `.*(?:` + memory + `)`, reason: OutOfMemory},
	{text: loads + `.*un(?:known|supported) model architecture`, reason: ModelUnknown},
	{text: loads + `.*(?:corrupted or incomplete|not within the file bounds|invalid magic|failed to read magic)`, reason: ModelDamaged},
	{text: `^unable to load runner: .*(?:context canceled|backend loading disabled|runner already active|took too long to initialize)`, reason: Loading},
	{text: loads, reason: EngineFailed},
	{text: `^(?:backend "[^"]*" is not installed|backend installation failed|backend not found)`, reason: Refused},
	{text: `^service unavailable`, reason: Loading},
	{text: `^model not found`, reason: ModelMissing},
	{text: `^(?:File Not Found|404 page not found|not found|unknown request path)\s*$`, reason: EngineOld}, // no /v1/messages
	{text: `^Failed to read request body`, reason: Broken},

	// The context.
	{text: `exceeds? the available context size`, reason: Overflow},
	{text: `^context size has been exceeded`, reason: Crowded},
	{text: `^context shift is disabled`, reason: Overflow},
	{text: `^input \(\d+ tokens\) is (?:larger than the max context size|too large to process)`, reason: Overflow},
	{text: `^input (?:prompt )?is too (?:big|large) (?:compared to KV size|to process)`, reason: Overflow},
	{text: `maximum context length is|longer than the maximum model length`, reason: Overflow}, // vLLM

	// The model's own words: before what could stand in them.
	{text: `^the model produced output that does not match the expected`, reason: BadOutput},
	{text: `^failed to parse (?:input at pos|up to error)|^invalid diff|^unparsed peg`, reason: BadOutput},

	// Images.
	{text: `^image input is not supported|does not support multimodal requests|^at most 0 image|is not a multimodal model`, reason: NoImages, lessons: []shape.Lesson{shape.Blind}},
	{text: `^failed to (?:load|download|decode) (?:image|media)|^too many (?:images|media files)|^(?:invalid uri|uri must be base64|images must be data)|^(?:audio|video) input is not supported|^failed to process (?:mtmd chunk|image)`, reason: BadImage},

	// Tools' schemas.
	{text: `^JSON schema|^Unrecognized schema|^Unresolved \$ref|^Error resolving ref|^Unsupported ref|^Pattern must start|failed to parse grammar|^failed to initialize samplers|error parsing grammar`, reason: SchemaRefused, lessons: []shape.Lesson{shape.LooseSchemas}},
	{text: `^failed to parse tools`, reason: SchemaRefused, lessons: []shape.Lesson{shape.LooseSchemas}},

	// Chat templates.
	{text: `^Tool call IDs should be|alphanumeric strings with length 9`, reason: TemplateRefused, lessons: []shape.Lesson{shape.ShortIDs}}, // Mistral Nemo
	{text: `single tool-calls at once`, reason: TemplateRefused, lessons: []shape.Lesson{shape.OneCall}},                                    // Llama 3.1
	{text: `^system (?:role|messages?|prompts?) (?:is |are )?not supported|roles? (?:are|is) supported, got system|^System message must be at the beginning`, reason: TemplateRefused, lessons: []shape.Lesson{shape.NoSystem}},
	{text: `^Only user and assistant roles are supported`, reason: TemplateRefused, lessons: []shape.Lesson{shape.NoSystem, shape.NoTools}}, // the first Mistral
	{text: `^Conversation roles must alternate`, reason: TemplateRefused, lessons: []shape.Lesson{shape.NoSystem, shape.NoTools}},           // Gemma: a tool's result is no turn of a user
	{text: `roles? (?:are|is) supported, got tool|does not support tools|tools? (?:use |calls? |calling )?(?:is|are) not supported`, reason: TemplateRefused, lessons: []shape.Lesson{shape.NoTools}},
	{text: `^tools? param requires --jinja|^tool_choice param requires --jinja|requires --enable-auto-tool-choice`, reason: TemplateRefused, lessons: []shape.Lesson{shape.NoTools}},
	{text: template, reason: TemplateRefused},
	{text: `^(?:unknown|undefined) (?:\(built-in\) )?(?:filter|test|method|variable)|^roles? |^After the optional system message|^no user query found|^unexpected message role|^invalid chat template|^this custom template is not supported|^TemplateError`, reason: TemplateRefused},

	// The request.
	{text: `\[json\.exception\.|^failed to parse (?:messages|tool call arguments)|^Field '|^invalid type for`, reason: Refused},
	{text: `^'messages' is required|^Expected '|^Unsupported (?:param|content|tool|JSON)|^All non-assistant messages|^Assistant message must|^Assistant response prefill|^Cannot (?:have 2 or more|continue|set both|use|specify)|^Missing|^Invalid (?:JSON|continue|tool_choice|content)`, reason: Refused},
	{text: `^failed to tokenize|^prompt contains invalid tokens|^input content cannot be empty|^tokenization failed`, reason: Refused},

	// The engine at work.
	{text: `^loading model|model is loading`, reason: Loading},
	{text: `^(?:slot unavailable|no slot|too many requests)`, reason: Busy},
	{text: memory, reason: OutOfMemory},
	{text: `^(?:compute error|invalid input batch)|^(?:pre_|post_)?decode\(\) failed|^failed to (?:decode|process speculative)`, reason: EngineFailed},
}

// template are the signs of an error in the execution of a chat template: of llama.cpp's own
// interpreter, and of minja before 2026.
const template = `jinja|raise_exception|^-{3,}\s+while executing|^while executing \w+ at line|\bat row \d+, column \d+|^value is not callable|^callee is not a function|^cannot (?:call something|perform operation|access property)`
