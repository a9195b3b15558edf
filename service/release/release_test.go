package release

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestLatest(t *testing.T) {
	for answer, want := range map[string]string{
		`{"tag_name": "v1.2.3", "html_url": "https://example.com/v1.2.3"}`: "1.2.3 https://example.com/v1.2.3",
		`{"tag_name": "1.2.3", "html_url": "file:///etc/passwd"}`:          "1.2.3 ",
		`{"tag_name": "nightly"}`:                                          `its tag "nightly" is not a version`,
		`<html>`:                                                           "its answer is not JSON",
		``:                                                                 "its answer is not JSON",
		"404":                                                              "it answers 404",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if answer == "404" {
				w.WriteHeader(http.StatusNotFound)
			}
			fmt.Fprint(w, answer)
		}))
		found, err := Latest(t.Context(), server.URL)
		server.Close()
		got := found.Version + " " + found.Page
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", answer, got, want)
		}
	}
	for _, address := range []string{"http://example.com/latest", "ftp://127.0.0.1/x", "%"} {
		if _, err := Latest(t.Context(), address); err == nil {
			t.Errorf("%s was asked", address)
		}
	}
}

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		release, than string
		want          bool
	}{
		{"1.2.3", "1.2.2", true}, {"1.2.3", "1.2.3", false}, {"1.2.3", "1.10.0", false}, {"2.0.0", "1.99.99", true},
		{"1.2.3", "v1.2.2", true}, {"1.2.3", "0.0.0~20261124.abc", false}, {"1.2.3", "", false},
	} {
		if got := (Release{Version: c.release}).Newer(c.than); got != c.want {
			t.Errorf("%s after %q: %v", c.release, c.than, got)
		}
	}
}
