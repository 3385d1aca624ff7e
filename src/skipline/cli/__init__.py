"""skipline."""
