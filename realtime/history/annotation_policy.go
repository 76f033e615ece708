package history

// AnnotationPolicy is what holds for the annotations of a channel.
type AnnotationPolicy struct {
	// Versions says that messages of the channel can be changed, Enabled that there are
	// annotations at all, Allowed that the app allows them on the channel, and History
	// that the channel has a history. Nothing can be annotated without all of them.
	Versions, Enabled, Allowed, History bool
	// PageSize is the length of a page, at most and by default.
	PageSize int
	// Annotations are those of the channel, and Cache what they sum up to.
	Annotations Annotations
	Cache       *AnnotationCache
}
