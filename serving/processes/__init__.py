"""More than one process: workers on one socket, replicas on Ray."""
