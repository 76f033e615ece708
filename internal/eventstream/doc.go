// Package eventstream sends what happens to metrics to whoever connects to a TCP
// address: a stream of length-delimited protobuf messages, as the TCP exporter of the
// original server writes them. A stream has no snapshot: a reader first gets the
// metadata of all metrics, and then each operation on one of them as it happens.
//
// The package event.proto, as it stands on the wire:
//
//	message Event    { oneof event { Metadata metadata = 1; Metric metric = 2; } }
//	message Metadata { string name = 1; MetricType metric_type = 2;
//	                   oneof unit { string unit_value = 3; }
//	                   oneof description { string description_value = 4; } }
//	message Metric   { string name = 1; google.protobuf.Timestamp timestamp = 2;
//	                   map<string, string> labels = 3;
//	                   oneof operation { uint64 increment_counter = 4; uint64 set_counter = 5;
//	                     double increment_gauge = 6; double decrement_gauge = 7;
//	                     double set_gauge = 8; double record_histogram = 9; } }
//	enum MetricType  { COUNTER = 0; GAUGE = 1; HISTOGRAM = 2; }
//
// Nothing here ever blocks the one who records: what does not fit is dropped and
// counted, the newest where events come in and the oldest of a reader that is slow.
// While no reader is connected, nothing is recorded at all.
package eventstream
