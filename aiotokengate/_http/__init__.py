"""HTTP through aiohttp, which no other room imports: connections, proxies, bodies, failures."""
