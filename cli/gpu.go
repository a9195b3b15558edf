package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/switchyard-app/switchyard/gpu"
	"github.com/switchyard-app/switchyard/service/machine"
	"github.com/switchyard-app/switchyard/service/memory"
	"github.com/switchyard-app/switchyard/service/models"
	"github.com/switchyard-app/switchyard/service/runner"
	"github.com/switchyard-app/switchyard/service/state"
	"github.com/switchyard-app/switchyard/service/words"
)

func (c *commands) gpu() *cobra.Command {
	var watch, probe bool
	cmd := &cobra.Command{
		Use: "gpu", Short: "Show the GPUs and their memory", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if probe {
				return json.NewEncoder(c.Stdout).Encode(gpu.Probe(cmp.Or(os.Getenv("SWITCHYARD_GPU_ROOT"), "/"), os.Getenv("SWITCHYARD_NVML")))
			}
			m, err := c.open()
			if err != nil {
				return err
			}
			const often = 2 * time.Second
			var history []float64 // how full, of the last ten minutes
			for {
				v := memory.Read(cmd.Context(), m)
				if free, total := gpu.Free(v.Devices), gpu.Total(v.Devices); free >= 0 && total > 0 {
					history = append(history[max(0, len(history)-int(10*time.Minute/often)+1):], 1-float64(free)/float64(total))
				}
				switch {
				case c.json:
					err = c.print(v)
				case watch:
					_, err = io.WriteString(c.Stdout, gpuText(v)+sparkline(history)+"\n")
				default:
					_, err = io.WriteString(c.Stdout, gpuText(v))
				}
				if err != nil || !watch {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(often):
				}
			}
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "repeat every two seconds")
	cmd.Flags().BoolVar(&probe, "probe", false, "")
	_ = cmd.Flags().MarkHidden("probe")
	return cmd
}

// gpuText is what "gpu" prints.
func gpuText(v state.VRAM) string {
	var b strings.Builder
	if v.Why != "" {
		fmt.Fprintf(&b, "! %s\n", v.Why)
	}
	if len(v.Devices) == 0 && v.Why == "" {
		b.WriteString("No supported GPU found. Models run on the CPU.\n")
	}
	w := columns(&b, 3)
	for _, d := range v.Devices {
		held := "memory unknown"
		if used := d.Used(); used >= 0 {
			held = fmt.Sprintf("%s of %s used, %s free", amount(used), words.Size(d.Total), amount(d.Free))
		}
		kind := ""
		if d.Unified {
			kind = "shared with the CPU"
		}
		fmt.Fprintf(w, "%s\t%s\n", d.Name, strings.Join(nonEmpty(held, kind, d.Why), " · "))
	}
	_ = w.Flush()
	return b.String()
}

// sparkline draws fractions of one as a line of at most 60 places, the newest last.
func sparkline(values []float64) string {
	const width = 60
	bars := []rune("▁▂▃▄▅▆▇█")
	each := max(1, (len(values)+width-1)/width)
	var b strings.Builder
	for part := range slices.Chunk(values, each) {
		b.WriteRune(bars[min(max(int(slices.Max(part)*float64(len(bars))), 0), len(bars)-1)])
	}
	return b.String()
}

// amount is a size that may be nothing.
func amount(bytes int64) string {
	if bytes == 0 {
		return "0 B"
	}
	return words.Size(bytes)
}

func (c *commands) fit() *cobra.Command {
	var file, tokens, kv string
	var s gpu.Setting
	cmd := &cobra.Command{
		Use: "fit [MODEL]", Short: "Estimate whether a model fits the GPU's memory", Args: atMostOne, ValidArgsFunction: c.completeModel,
		Long: `Fit estimates how much memory a model needs at a given context: for its weights,
the conversation's cache, and the computation. With --metadata it needs no runner:
the file is Model Runner's description of the model (GET /models/NAME).`,
		RunE: c.with(func(ctx context.Context, m *machine.Machine, args []string) error {
			var err error
			if s.Context, err = parseTokens(tokens); err != nil {
				return err
			}
			if s.KV = kv; !isCacheType(kv) {
				return usageError{fmt.Errorf("invalid --kv %q: use f16, q8_0 or q4_0", kv)}
			}
			if s.Parallel < 0 || (file == "") == (len(args) == 0) {
				return usageError{fmt.Errorf("name a model, or give --metadata FILE; not both")}
			}
			var fit memory.Fit
			if file != "" {
				fit, err = models.FitFile(ctx, m, file, s)
			} else {
				fit, err = models.Fit(ctx, m, args[0], s)
			}
			if err != nil {
				return err
			}
			return c.result(fit, fitText(fit))
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&file, "metadata", "", "a file with Model Runner's description of the model")
	flags.StringVar(&tokens, "context", "", "the context in tokens, such as 64K (default: the model's)")
	flags.StringVar(&kv, "kv", "", "the type of the conversation's cache: f16, q8_0 or q4_0 (default: f16)")
	flags.IntVar(&s.Parallel, "parallel", 0, "the number of slots (default: four, sharing the context)")
	flags.BoolVar(&s.Separate, "separate", false, "give each slot its own part of the context")
	return cmd
}

// fitText is what "fit" prints.
func fitText(f memory.Fit) string {
	var b strings.Builder
	about := "about "
	if f.Bound == gpu.Upper {
		about = "at most "
	}
	fmt.Fprintf(&b, "%s\n", strings.Join(nonEmpty(runner.Short(f.Model), contextText(f.Context), about+words.Size(f.Total)), " · "))
	w := columns(&b, 3)
	for _, part := range []struct {
		name  string
		bytes int64
	}{{"weights", f.Weights}, {"cache", f.KV}, {"recurrent state", f.Recurrent}, {"computing", f.Compute}, {"overhead", f.Overhead}} {
		if part.bytes > 0 {
			fmt.Fprintf(w, "  %s\t%s\n", part.name, words.Size(part.bytes))
		}
	}
	_ = w.Flush()
	switch f.Verdict {
	case gpu.Fits:
		fmt.Fprintf(&b, "It fits: %s free.\n", amount(f.Free))
	case gpu.Tight:
		fmt.Fprintf(&b, "It is tight: %s free.\n", amount(f.Free))
	case gpu.TooBig:
		fmt.Fprintf(&b, "It is too big: %s free.\n", amount(f.Free))
	case gpu.Unknown:
		b.WriteString("Can't tell whether it fits: no GPU reports its free memory.\n")
	}
	if f.Verdict != gpu.Fits && f.Largest > 0 {
		fmt.Fprintf(&b, "  → the largest context that fits is %s\n", words.Tokens(f.Largest))
	}
	return b.String()
}
