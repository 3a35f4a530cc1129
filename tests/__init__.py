"""The tests: a room of the package has its tests in the directory of its name."""
