// Prometheus for the tests that judge a canary by it: a module of its own, as it would change the versions of the other tools.
module prometheus

go 1.26.7

require github.com/prometheus/prometheus v0.316.0
