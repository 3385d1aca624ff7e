"""What skipline is measured against: scripts that the Python of the peers' environment runs, one process a peer.

They import one another and the peers' libraries, never skipline, which that environment does not have.
"""
