package document

import (
	"testing"

	"github.com/switchyard-app/switchyard/internal/lab/alone"
)

func TestMain(m *testing.M) { alone.Main(m) }
