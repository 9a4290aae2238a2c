"""HTTP and only HTTP: cookies, bodies, replies, the visitor, whose site a request came from."""
