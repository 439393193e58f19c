"""The vocabulary at the bottom: topics, batches, kinds, the place, decoders, the bridge and the journal."""
