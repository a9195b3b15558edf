// Package release asks a releases URL whether there is a newer version. Nothing is
// asked unless the user has named a URL.
package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// Release is a published version.
type Release struct {
	Version string `json:"version"` // without a v
	Page    string `json:"page"`    // about it
}

const (
	patience = 20 * time.Second
	largest  = 1 << 20
)

// Latest asks a URL that answers as GitHub's and Gitea's "latest release" do: tag_name
// and html_url. It must be https, or on this machine.
func Latest(ctx context.Context, address string) (Release, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Release{}, err
	}
	if ip := net.ParseIP(u.Hostname()); u.Scheme != "https" && (u.Scheme != "http" || ip == nil || !ip.IsLoopback()) {
		return Release{}, errors.New("it is not https")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Release{}, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "Switchyard")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Release{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Release{}, fmt.Errorf("it answers %s", resp.Status)
	}
	var said struct {
		Tag  string `json:"tag_name"`
		Page string `json:"html_url"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, largest)).Decode(&said); err != nil {
		return Release{}, fmt.Errorf("its answer is not JSON: %w", err)
	}
	found := version.FindStringSubmatch(said.Tag)
	if found == nil {
		return Release{}, fmt.Errorf("its tag %.40q is not a version", said.Tag)
	}
	page, err := url.Parse(said.Page)
	if err != nil || page.Scheme != "https" && page.Scheme != "http" {
		said.Page = ""
	}
	return Release{Version: found[1] + "." + found[2] + "." + found[3], Page: said.Page}, nil
}

var version = regexp.MustCompile(`^v?(\d+)\.(\d+)\.(\d+)$`)

// Newer reports whether a release comes after the version that runs. A version that is not a
// release, such as a development build, is never out of date.
func (r Release) Newer(than string) bool { return Older(than, r.Version) }

// Older reports whether one version comes before another; false for what is not a version.
func Older(one, other string) bool {
	a, b := version.FindStringSubmatch(one), version.FindStringSubmatch(other)
	if a == nil || b == nil {
		return false
	}
	for i := 1; i < len(a); i++ {
		x, _ := strconv.Atoi(a[i])
		y, _ := strconv.Atoi(b[i])
		if x != y {
			return x < y
		}
	}
	return false
}
