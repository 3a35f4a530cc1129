"""One request path: what is sent, when it may go, where to, and how often it is tried."""
