package gpu

// apple describes the GPU of an Apple chip: total is the machine's memory, wiredMB
// the limit that a person set for the GPU (iogpu.wired_limit_mb), 0 for none,
// available what programs can still get, −1 when unknown. Without a limit Metal
// recommends about 72 % of the memory (measured by others; Metal's own number needs cgo).
func apple(total, wiredMB, available int64) Device {
	limit := total / 100 * 72
	if wiredMB > 0 {
		limit = min(wiredMB<<20, total)
	}
	d := Device{Name: "Apple GPU", Maker: Apple, Total: limit, Free: -1, Unified: true}
	if available >= 0 {
		d.Free = min(limit, available)
	}
	return d
}
