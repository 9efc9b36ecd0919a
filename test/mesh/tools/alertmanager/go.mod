module alertmanager

go 1.26.7

require github.com/prometheus/alertmanager v0.31.1
