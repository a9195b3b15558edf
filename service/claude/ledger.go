package claude

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Ledger is Switchyard's record of what it changed in each target and what
// stood there before. It holds people's settings: folders 0700, files 0600.
//
//	<dir>/<target>/lock          held during a transaction
//	<dir>/<target>/before-<sum>  the settings file as it will be again
//	<dir>/<target>/pending.json  a transaction that is not finished
//	<dir>/<target>/entry.json    the current entry
//	<dir>/<target>/past-<n>.json entries that ended, the newest few
type Ledger struct {
	dir  string
	disk disk
	now  func() time.Time
	wait time.Duration // how long a transaction waits for another one
}

// OpenLedger uses the folder, which is made when the first target is switched.
func OpenLedger(dir string) *Ledger {
	return &Ledger{dir: dir, now: time.Now, wait: 10 * time.Second}
}

// Dir is the ledger's folder.
func (l *Ledger) Dir() string { return l.dir }

const (
	entryVersion = 1
	keptEntries  = 5
)

// entry is what the ledger knows about one switched target.
type entry struct {
	Version  int       `json:"version"`
	Target   Target    `json:"target"`
	Route    Route     `json:"route"`
	BaseURL  string    `json:"base_url,omitempty"`
	Model    string    `json:"model,omitempty"`
	Context  int       `json:"context,omitempty"`
	Way      Way       `json:"way,omitempty"`
	Direct   string    `json:"direct,omitempty"`
	Switched time.Time `json:"switched"`
	Since    time.Time `json:"since,omitzero"` // when this route came into force
	Agent    *Agent    `json:"agent,omitempty"`

	Before  string `json:"before,omitempty"` // name of the copy; empty when there was no file
	After   string `json:"after"`            // sum of the file as Switchyard wrote it; empty when it removed it
	MadeDir bool   `json:"made_dir,omitempty"`
	MadeEnv bool   `json:"made_env,omitempty"` // there was no env object
	Keys    []key  `json:"keys,omitempty"`

	// Waiting are the sessions for whose sake keys without a former value stay "".
	Waiting []Session `json:"waiting,omitempty"`
	Again   int       `json:"again,omitempty"` // how often a stale copy was repaired

	Temp string `json:"temp,omitempty"` // only in pending.json: the new file before it is moved into place
	Real string `json:"real,omitempty"` // only in pending.json: where it is moved to
}

// key is one owned variable. A nil value stands for "not in the file".
type key struct {
	Name string  `json:"name"`          // with topLevel before it: no variable
	New  *string `json:"new"`           // what Switchyard wants there
	Old  *string `json:"old"`           // what stands there without Switchyard
	Raw  []byte  `json:"raw,omitempty"` // Old as it is spelled in the file
	Was  *string `json:"was"`           // what stood there just before: what a stale copy brings back
}

func (e *entry) returning() bool { return e.Route == Cloud }

// folder is one target's part of the ledger. Reading, journal and writing are its
// methods, more than 25, in files of their own: they share the one lock.
type folder struct {
	*Ledger
	path string
}

func (l *Ledger) folder(t Target) folder {
	return folder{l, filepath.Join(l.dir, t.id())}
}

// BusyError says that another process is switching the same target.
type BusyError struct{ Holder string }

func (e *BusyError) Error() string {
	return "another Switchyard (process " + e.Holder + ") is switching this target"
}

// lock makes the folder if need be and waits for its turn. The error is a *BusyError when the wait was in vain.
func (f folder) lock(ctx context.Context, wait time.Duration) (unlock func(), err error) {
	if err := os.MkdirAll(f.path, 0o700); err != nil {
		return nil, &Refusal{File: f.path, Why: "Switchyard's record of the switch cannot be kept there (" + reason(err) + ")", Remedy: "make the folder writable"}
	}
	path := filepath.Join(f.path, "lock")
	turn := flock.New(path, flock.SetPermissions(0o600))
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	got, err := turn.TryLockContext(ctx, 5*time.Millisecond)
	if !got {
		turn.Close()
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			holder, _ := os.ReadFile(path + ".holder")
			return nil, &BusyError{strings.TrimSpace(string(holder))}
		}
		return nil, err
	}
	_ = os.WriteFile(path+".holder", fmt.Appendln(nil, os.Getpid()), 0o600) // only for the other one's message
	return func() { turn.Close() }, nil
}

// begin waits for its turn and ends what a killed process left open.
func (f folder) begin(ctx context.Context, wait time.Duration) (unlock func(), err error) {
	if unlock, err = f.lock(ctx, wait); err != nil {
		return nil, err
	}
	if err := f.recover(); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// read returns a record of the folder, nil when there is none.
func (f folder) read(name string) (*entry, error) {
	data, err := readIfExists(filepath.Join(f.path, name))
	if err != nil || data == nil {
		return nil, err
	}
	var e entry
	path := filepath.Join(f.path, name)
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, &Refusal{File: path, Why: "this record of Switchyard is damaged",
			Remedy: "move it away; the file before-… beside it is the settings file as it was"}
	}
	if e.Version != entryVersion {
		return nil, &Refusal{File: path, Why: fmt.Sprintf("this record has format %d, which this version of Switchyard does not know", e.Version),
			Remedy: "use the version that wrote it to go back to the cloud first"}
	}
	return &e, nil
}

// save makes a file of the folder durable, all of it or nothing.
func (f folder) save(name string, data []byte) error {
	path := filepath.Join(f.path, name)
	temp := path + ".tmp"
	if err := f.disk.remove(temp); err != nil {
		return err
	}
	if err := f.disk.write(temp, data, nil); err != nil {
		return err
	}
	return f.disk.publish(temp, path)
}

// keepBefore stores the settings file as it will be again and returns its name.
func (f folder) keepBefore(data []byte) (string, error) {
	if data == nil {
		return "", nil
	}
	name := beforeName(data)
	if have, _ := readIfExists(filepath.Join(f.path, name)); have != nil && sum(have) == sum(data) {
		return name, nil
	}
	return name, f.save(name, data)
}

// before returns what the settings file was: nil when there was none. kept is
// false when the copy is gone or damaged.
func (f folder) before(e *entry) (data []byte, kept bool) {
	if e.Before == "" {
		return nil, true
	}
	data, err := os.ReadFile(filepath.Join(f.path, e.Before))
	return data, err == nil && beforeName(data) == e.Before
}

func beforeName(data []byte) string { return "before-" + sum(data)[:16] }

func (f folder) savePending(e *entry) error {
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	if err := f.save("pending.json", data); err != nil {
		return err
	}
	return f.disk.syncDir(f.path)
}

// commit makes the pending entry the current one; a finished return to cloud leaves none.
func (f folder) commit(e *entry) error {
	pending := filepath.Join(f.path, "pending.json")
	if e.returning() && len(e.Waiting) == 0 {
		if err := f.disk.publish(pending, filepath.Join(f.path, fmt.Sprintf("past-%020d.json", f.now().UnixNano()))); err != nil {
			return err
		}
		if err := f.disk.remove(filepath.Join(f.path, "entry.json")); err != nil {
			return err
		}
		f.prune()
	} else if err := f.disk.publish(pending, filepath.Join(f.path, "entry.json")); err != nil {
		return err
	}
	return f.disk.syncDir(f.path)
}

// prune removes old entries and the copies that no entry needs any more.
func (f folder) prune() {
	names, err := os.ReadDir(f.path)
	if err != nil {
		return
	}
	var past []string
	needed := map[string]bool{}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), "past-") && strings.HasSuffix(n.Name(), ".json") {
			past = append(past, n.Name())
		}
	}
	slices.Sort(past)
	for len(past) > keptEntries {
		_ = os.Remove(filepath.Join(f.path, past[0])) // tried again at the next switch
		past = past[1:]
	}
	for _, name := range append(past, "entry.json", "pending.json") {
		e, err := f.read(name)
		if err != nil {
			return // better to keep a copy too many
		}
		if e != nil {
			needed[e.Before] = true
		}
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), "before-") && !needed[n.Name()] {
			_ = os.Remove(filepath.Join(f.path, n.Name()))
		}
	}
}

// folders lists the targets that the ledger knows.
func (l *Ledger) folders() ([]folder, error) {
	names, err := os.ReadDir(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []folder
	for _, n := range names {
		if n.IsDir() {
			all = append(all, folder{l, filepath.Join(l.dir, n.Name())})
		}
	}
	return all, nil
}

// Switched lists the targets that are not, or not wholly, back in the cloud.
func (l *Ledger) Switched() ([]Target, error) {
	folders, err := l.folders()
	if err != nil {
		return nil, err
	}
	var targets []Target
	var broken error
	for _, f := range folders {
		e, err := f.read("entry.json")
		if err != nil {
			broken = errors.Join(broken, err)
		}
		if e == nil {
			if e, err = f.read("pending.json"); err != nil {
				broken = errors.Join(broken, err)
			}
		}
		if e != nil {
			targets = append(targets, e.Target)
		}
	}
	return targets, broken
}

// reason is an error of the system without the path that it repeats.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func sum(data []byte) string {
	if data == nil {
		return ""
	}
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// lastEnd is when the target last came back to the cloud; zero when it is not known.
func (f folder) lastEnd() time.Time {
	names, err := os.ReadDir(f.path)
	if err != nil {
		return time.Time{}
	}
	var at time.Time
	for _, n := range names {
		digits, ok := strings.CutPrefix(strings.TrimSuffix(n.Name(), ".json"), "past-")
		if !ok {
			continue
		}
		if nanos, err := strconv.ParseInt(digits, 10, 64); err == nil && time.Unix(0, nanos).After(at) {
			at = time.Unix(0, nanos)
		}
	}
	return at
}
