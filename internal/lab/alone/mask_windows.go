package alone

func usualMask() {}
