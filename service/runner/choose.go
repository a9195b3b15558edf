package runner

import (
	"slices"
	"strings"
)

// Choose finds the model that a person means: a full tag, a short one such as
// "qwen3-coder" or "ai/qwen3-coder", or the beginning of an id. Without a match
// it returns the nearest tags, nearest first.
func Choose(models []Model, name string) (found Model, tag string, nearest []string) {
	want := normal(name)
	for _, m := range models {
		for _, tag := range m.Tags {
			if strings.EqualFold(normal(tag), want) {
				return m, tag, nil
			}
		}
	}
	if id, _ := strings.CutPrefix(name, "sha256:"); len(id) >= 6 {
		for _, m := range models {
			if strings.HasPrefix(strings.TrimPrefix(m.ID, "sha256:"), id) {
				return m, m.Tag(), nil
			}
		}
	}
	type near struct {
		tag      string
		distance int
	}
	var all []near
	for _, m := range models {
		for _, tag := range m.Tags {
			all = append(all, near{tag, distance(short(want), short(normal(tag)))})
		}
	}
	slices.SortStableFunc(all, func(a, b near) int { return a.distance - b.distance })
	for _, n := range all[:min(3, len(all))] {
		nearest = append(nearest, Short(n.tag))
	}
	return Model{}, "", nearest
}

// Full writes a reference out as Model Runner does; nothing stays nothing.
func Full(ref string) string {
	if ref == "" || strings.HasPrefix(ref, "sha256:") {
		return ref
	}
	return normal(ref)
}

// normal writes a reference as the store does (docker/model-runner v1.2.6,
// pkg/distribution/distribution/client.go): the name small, the tag as it is.
func normal(ref string) string {
	if name, tag, ok := cutTag(ref); ok {
		ref = strings.ToLower(name) + ":" + tag
	} else {
		ref = strings.ToLower(ref)
	}
	if rest, ok := strings.CutPrefix(ref, "hf.co/"); ok {
		ref = "huggingface.co/" + rest
	}
	head, _, hasPath := strings.Cut(ref, "/")
	switch {
	case !hasPath:
		ref = "docker.io/ai/" + ref
	case !strings.ContainsAny(head, ".:") && head != "localhost":
		ref = "docker.io/" + ref
	}
	if _, _, ok := cutTag(ref); !ok {
		ref += ":latest"
	}
	return ref
}

// cutTag cuts a reference at its tag's colon, which is not that of a registry's port.
func cutTag(ref string) (name, tag string, ok bool) {
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[:i], ref[i+1:], true
	}
	return ref, "", false
}

// Short is a tag as people write it: without docker.io/ and :latest.
func Short(tag string) string {
	return strings.TrimSuffix(strings.TrimPrefix(tag, "docker.io/"), ":latest")
}

// short keeps what people mistype: the model's name and tag.
func short(ref string) string {
	return strings.TrimSuffix(ref[strings.LastIndexByte(ref, '/')+1:], ":latest")
}

// distance is Levenshtein's, except that one text beginning with the other counts little.
func distance(a, b string) int {
	if strings.HasPrefix(b, a) || strings.HasPrefix(a, b) {
		return 0
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
