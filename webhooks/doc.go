// Package webhooks tells the receivers that apps name what happens in them.
//
// A Delivery belongs to one configuration. Tell puts events into buffers, each
// buffer becomes jobs of a durable queue, one for each endpoint, and the workers of
// the Delivery post them, signed with the secret that the app has by then. What the
// deliveries of a hub know of endpoints, such as that one has failed for a while,
// is in its Board, which outlives configurations.
package webhooks
