"""Training by several processes: each learns from its share of every batch, on one machine or on many."""
