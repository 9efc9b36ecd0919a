// Package fxlogr stands in for the package of this name, which no checksum database knows: it hands the events of fx to logr.
package fxlogr

import (
	"fmt"

	"github.com/go-logr/logr"
	"go.uber.org/fx/fxevent"
)

type adapter struct{ log *logr.Logger }

func (a adapter) LogEvent(event fxevent.Event) {
	a.log.V(1).Info(fmt.Sprintf("%T", event), "event", fmt.Sprintf("%+v", event))
}

// WithLogr returns what fx.WithLogger wants.
func WithLogr(log *logr.Logger) func() fxevent.Logger {
	return func() fxevent.Logger { return adapter{log} }
}
