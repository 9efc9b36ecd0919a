module github.com/chaos-mesh/fx-logr

go 1.25.0

require (
	github.com/go-logr/logr v1.4.3
	go.uber.org/fx v1.19.2
)
