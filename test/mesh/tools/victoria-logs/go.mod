module victoria-logs

go 1.26.7

require github.com/VictoriaMetrics/VictoriaLogs v1.52.1
