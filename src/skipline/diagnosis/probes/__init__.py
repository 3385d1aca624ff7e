"""Measurements inside any network, which leave it as it was."""
