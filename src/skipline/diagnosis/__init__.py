"""Why a network does or does not train: probes, rules, and remedies that are tested by intervention."""
