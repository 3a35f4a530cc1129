"""The rate-limit-aware semaphore pool: who waits, on which lane, and for what."""
