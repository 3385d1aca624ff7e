"""The studies: classic experiments as several runs and a table of claims, on any images."""
