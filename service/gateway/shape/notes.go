package shape

// What a note in the conversation took the place of.
const (
	// ImageLeftOut is for an image that the engine would have to fetch, that is none, or that
	// stands where no template takes one.
	ImageLeftOut Note = "image_left_out"
	// DocumentLeftOut is for a document that is no text, such as a PDF.
	DocumentLeftOut Note = "document_left_out"
	// MediaLeftOut is for sound and film.
	MediaLeftOut Note = "media_left_out"
	// BlockLeftOut is for what Anthropic's servers keep, or what is not known here.
	BlockLeftOut Note = "block_left_out"
)

// ControlWords says that words in the conversation would have been control tokens of the
// model, and were broken with a [Joiner].
const ControlWords Note = "control_words"
