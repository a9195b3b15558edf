package gateway

import (
	"encoding/json"
	"net/http"
	"time"
)

// listModels answers GET /v1/models with the runner's models, in Anthropic's shape.
func (g *Gateway) listModels(w http.ResponseWriter, r *http.Request) {
	models, f := g.transport.models(r.Context())
	if f != nil {
		f.write(w)
		return
	}
	data := []map[string]any{}
	for _, m := range models {
		data = append(data, map[string]any{"type": "model", "id": m.ID, "display_name": short(m.ID),
			"created_at": time.Unix(m.Created, 0).UTC().Format(time.RFC3339)})
	}
	list := map[string]any{"data": data, "has_more": false, "first_id": nil, "last_id": nil}
	if len(data) > 0 {
		list["first_id"], list["last_id"] = data[0]["id"], data[len(data)-1]["id"]
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}
