"""Programs that tests start, or that people run by ``make``."""
