package migrate

import "maps"

// ShareCache gives nodes that are joined a cache that all of them see, which idempotent
// publishes need here. Where there is none, publishes are not idempotent.
func (r *Result) ShareCache() {
	adapter, _ := r.Hub["adapter"].(map[string]any)
	cache, _ := r.Hub["cache"].(map[string]any)
	joined, _ := adapter["driver"].(string)
	if joined == "" || joined == "local" || cache != nil && cache["driver"] != "memory" {
		return
	}
	if joined != "redis" && joined != "redis_cluster" {
		setIn(r.Hub, "idempotency.enabled", false)
		r.Report = append(r.Report, Entry{
			Setting: "idempotent publishes", Outcome: Approximated, Word: "idempotency",
			Note: "they are off, since nodes have no cache in common: with cache redis { … } they may be on",
		})
		return
	}
	shared := maps.Clone(adapter)
	for _, word := range []string{"prefix", "request_timeout", "use_sharded_pubsub"} {
		delete(shared, word)
	}
	r.Hub["cache"] = shared
	r.Report = append(r.Report, Entry{
		Setting: "cache of joined nodes", Outcome: Approximated, Word: "cache",
		Note: "it is in Redis too, so that all nodes see the last events of cache channels and the keys of idempotent publishes",
	})
}
